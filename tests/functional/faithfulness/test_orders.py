"""Orders of removal against sorting by hand, and the same ones somewhere else."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from saliency_callbacks.functional.faithfulness.orders import count_removed, elsewhere, removal_order


def test_the_largest_value_is_removed_first_and_ties_are_drawn() -> None:
    generator = torch.Generator().manual_seed(0)
    maps = torch.randint(4, (3, 5, 6), generator=generator).float()
    drawn = torch.rand(3, 30, generator=generator)
    order = removal_order(maps, shuffled=drawn.argsort(dim=1))
    for row, values, draw in zip(order, maps.flatten(1), drawn, strict=True):
        expected = np.lexsort((draw.numpy(), -values.numpy()))
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


@pytest.mark.parametrize("size", [(12,), (4, 5), (3, 4, 5)])
def test_elsewhere_is_rolled_and_mirrored_to_every_place_but_its_own(size: tuple[int, ...]) -> None:
    n_positions = int(np.prod(size))
    order = torch.randperm(n_positions, generator=torch.Generator().manual_seed(0))
    drawn = torch.zeros(n_positions - 1, 1 + len(size))
    drawn[:, 0] = (torch.arange(n_positions - 1) + 0.5) / (n_positions - 1)
    turns = order.reshape(size).numpy()
    offsets = list(np.ndindex(size))[1:]
    axes = tuple(range(len(size)))
    rows = order.expand(len(drawn), -1)
    for found, offset in zip(elsewhere(rows, size, drawn), offsets, strict=True):
        assert np.array_equal(found.reshape(size), np.roll(turns, [-one for one in offset], axes))
    drawn[:, 1:] = 0.5
    for found, offset in zip(elsewhere(rows, size, drawn), offsets, strict=True):
        expected = np.roll(np.flip(np.roll(turns, [-one for one in offset], axes)), [1] * len(size), axes)
        assert np.array_equal(found.reshape(size), expected)


def test_the_turns_of_words_are_moved_along_the_words() -> None:
    order = torch.tensor([[6, 0, 1, 6, 2, 3], [6, 0, 6, 6, 6, 6], [6] * 6])
    found = elsewhere(order, (6,), torch.tensor([[0.0, 0.9], [0.5, 0.0], [0.5, 0.0]]), order < 6)
    assert found.tolist() == [[6, 1, 2, 6, 3, 0], order[1].tolist(), order[2].tolist()]
