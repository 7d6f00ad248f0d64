"""The precision of sums and of scores."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from saliency_callbacks.functional.precision import score_dtype, widen


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.float16, torch.bfloat16, torch.float32])
def test_sums_are_double_and_scores_at_least_single(dtype):
    values = torch.ones(2, dtype=dtype)
    assert widen(values).dtype == torch.float64
    assert score_dtype(values) == torch.float32


def test_a_device_without_double_sums_in_single():
    values = SimpleNamespace(device=torch.device("mps"), to=lambda dtype: dtype)
    assert widen(values) == torch.float32


def test_double_stays_double():
    values = torch.ones(2, dtype=torch.float64)
    assert widen(values) is values
    assert score_dtype(values) == torch.float64
