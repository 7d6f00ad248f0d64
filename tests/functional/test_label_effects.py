"""Effects on labels of which a sample can have several, against loops over the formulas."""

from __future__ import annotations

import math

import pytest
import torch

from saliency_callbacks.errors import ConfigurationError, TargetError
from saliency_callbacks.functional import label_effects, label_flips, margin_effects


@pytest.fixture
def pair():
    return torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_effects_by_loops(pair):
    clean, changed = pair
    scale = sum(abs(float(z)) / 2 for row in clean for z in row) / clean.numel()
    found = label_effects(clean, changed)
    for sample in range(6):
        for label in range(4):
            expected = float(changed[sample, label] - clean[sample, label]) / scale
            assert float(found[sample, label]) == pytest.approx(expected)


def test_a_single_label_is_moved_as_the_second_of_two_classes(pair):
    clean, changed = pair[..., :1]
    both = [torch.cat([torch.zeros_like(z), z], dim=1) for z in (clean, changed)]
    torch.testing.assert_close(label_effects(clean, changed), margin_effects(*both)[:, 1:])


def test_flips_by_loops(pair):
    clean, changed = pair
    for label in range(4):
        expected = [bool(a <= 0 < b) for a, b in zip(clean[:, label], changed[:, label], strict=True)]
        assert label_flips(clean, changed, label).tolist() == expected


def test_what_is_not_finite(pair):
    clean, changed = pair.clone()
    changed[0, 1] = math.nan
    assert label_effects(clean, changed).isnan().nonzero().tolist() == [[0, 1]]
    assert not label_flips(-clean.abs(), changed, 0)[0]
    assert label_effects(torch.zeros(2, 3), torch.ones(2, 3)).isnan().all()


def test_what_does_not_fit():
    with pytest.raises(ConfigurationError, match="clean logits have shape"):
        label_effects(torch.zeros(2, 3), torch.zeros(3, 3))
    with pytest.raises(TargetError, match="label 3 does not exist; expected an index from 0 to 2"):
        label_flips(torch.zeros(2, 3), torch.zeros(2, 3), 3)
