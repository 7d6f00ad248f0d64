"""Orders of removal against sorting by hand, and how smooth they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from saliency_callbacks.functional.faithfulness.orders import (
    count_removed,
    random_maps,
    removal_order,
    smoothness,
)


def test_the_largest_value_is_removed_first_and_ties_are_drawn() -> None:
    generator = torch.Generator().manual_seed(0)
    maps = torch.randint(4, (3, 5, 6), generator=generator).float()
    ties = torch.rand(3, 5, 6, generator=generator)
    order = removal_order(maps, ties=ties)
    for row, values, drawn in zip(order, maps.flatten(1), ties.flatten(1), strict=True):
        expected = np.lexsort((-drawn.numpy(), -values.numpy()))
        assert row.argsort().tolist() == expected.tolist()


def test_what_does_not_count_is_never_removed() -> None:
    counted = torch.tensor([[True, False, True, True]])
    order = removal_order(torch.tensor([[1.0, 9.0, torch.nan, 3.0]]), counted)
    assert order.tolist() == [[1, 4, 2, 0]]


@pytest.mark.parametrize("share", [0.1, 0.25, 1 / 3, 0.5])
@pytest.mark.parametrize("n_positions", [1, 7, 10, 64])
def test_what_is_removed_and_what_is_left_is_everything(share: float, n_positions: int) -> None:
    order = torch.arange(n_positions)[None]
    removed = count_removed(order, share)
    assert int(removed + count_removed(order, round(1 - share, 6))) == n_positions or share == 0.5
    assert int(removed) == round(n_positions * round(share, 6))


@pytest.mark.parametrize("size", [(64,), (24, 24), (8, 12, 12)])
def test_regions_are_removed_together_and_single_positions_are_not(size: tuple[int, ...]) -> None:
    fine = smoothness(removal_order(random_maps(8, size)), size)
    coarse = smoothness(removal_order(random_maps(8, size, cells=4)), size)
    assert fine.abs().max() < 0.4
    assert coarse.min() > 0.6
    assert coarse.mean() > 0.8


def test_smoothness_knows_the_positions_that_count_alone() -> None:
    order = torch.tensor([[0, 1, 2, 3, 6, 6]])
    torch.testing.assert_close(smoothness(order, (6,)), smoothness(order[:, :4], (4,)))
    assert smoothness(torch.tensor([[0]]), (1,)).isnan().all()


def test_random_maps_are_the_same_again() -> None:
    assert torch.equal(random_maps(2, (5,), seed=3), random_maps(2, (5,), seed=3))
    assert not torch.equal(random_maps(2, (5,), seed=3), random_maps(2, (5,), seed=4))
