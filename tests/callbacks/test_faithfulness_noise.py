"""The noise that the stability of a map is tested with."""

from __future__ import annotations

import pytest
import torch

from saliency_callbacks.callbacks.faithfulness.trial import _with_noise


@pytest.mark.parametrize("size", [(1, 3), (1, 5, 7), (3, 8, 8)], ids=str)
@pytest.mark.parametrize("n_samples", [1, 2, 3, 11])
def test_noise_of_a_sample_is_the_same_in_any_company(size, n_samples):
    explained = torch.rand(12, *size, generator=torch.Generator().manual_seed(0))
    whole = _with_noise(explained, None, level=0.1, seed=3)
    assert not torch.equal(whole, explained)
    assert torch.equal(_with_noise(explained[:n_samples], None, level=0.1, seed=3), whole[:n_samples])
