"""Sorting by NumPy gives what torch's gives, and leaves what is sorted alone."""

from __future__ import annotations

import pytest
import torch

from saliency_callbacks.functional.sorting import ascending, kth_smallest, sorted_with_order, ties

DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64]


@pytest.fixture(params=DTYPES, ids=str)
def values(request):
    drawn = torch.randn(3, 200, generator=torch.Generator().manual_seed(0)) * 20
    return drawn.round().to(request.param)


def test_ascending(values):
    before = values.clone()
    torch.testing.assert_close(ascending(values), values.sort(dim=1).values, rtol=0, atol=0)
    assert torch.equal(values, before)


@pytest.mark.parametrize("k", [1, 2, 198, 200])
def test_the_kth_smallest(values, k):
    before = values.clone()
    torch.testing.assert_close(kth_smallest(values, k), values.kthvalue(k, dim=1).values, rtol=0, atol=0)
    assert torch.equal(values, before)


@pytest.mark.parametrize("at_once", [1, 200, 450, 10_000])
def test_the_kth_smallest_of_some_rows_at_a_time(values, at_once, monkeypatch):
    monkeypatch.setattr("saliency_callbacks.functional.sorting._VALUES_AT_ONCE", at_once)
    torch.testing.assert_close(kth_smallest(values, 150), values.kthvalue(150, dim=1).values, rtol=0, atol=0)


def test_an_order_puts_values_back(values):
    found, order = sorted_with_order(values)
    back = torch.empty_like(found).scatter_(1, order, found)
    assert torch.equal(back.to(values.dtype), values)


def test_nan_comes_last_and_infinities_at_the_ends():
    values = torch.tensor([[torch.nan, 1.0, torch.inf, -torch.inf]])
    torch.testing.assert_close(ascending(values), values.sort(dim=1).values, equal_nan=True)
    torch.testing.assert_close(sorted_with_order(values)[0], values.sort(dim=1).values, equal_nan=True)


def test_what_has_a_gradient_is_sorted_without_one():
    values = torch.tensor([[2.0, 1.0]], requires_grad=True)
    assert not ascending(values).requires_grad
    assert not kth_smallest(values, 1).requires_grad


def test_no_samples_and_no_positions():
    assert ascending(torch.zeros(0, 3)).shape == (0, 3)
    assert ascending(torch.zeros(2, 0)).shape == (2, 0)
    assert kth_smallest(torch.zeros(0, 3), 2).shape == (0,)


@pytest.mark.parametrize("rows", [2, 3, 5])
def test_threads_sort_as_one_does(rows, monkeypatch):
    monkeypatch.setattr("saliency_callbacks.functional.sorting._WORTH_THREADS", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    values = torch.rand(rows, 50, generator=torch.Generator().manual_seed(0))
    found, order = sorted_with_order(values)
    expected = values.sort(dim=1)
    assert torch.equal(found, expected.values)
    assert torch.equal(order, expected.indices)


def test_ties_are_found_within_rows(values):
    found = ascending(values)
    expected = [
        row * 200 + position
        for row, numbers in enumerate(found.tolist())
        for position in range(1, 200)
        if numbers[position] == numbers[position - 1]
    ]
    assert expected
    assert ties(found).tolist() == expected


def test_nan_ties_with_nothing_and_an_infinity_with_itself():
    values = torch.tensor([[1.0, torch.inf, torch.inf, torch.nan, torch.nan], [torch.nan] * 5])
    assert ties(values).tolist() == [2]
