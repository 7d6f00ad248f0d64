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


@pytest.mark.parametrize("size", [(12,), (4, 5), (2, 3, 4)])
def test_elsewhere_is_every_crop_of_the_mirrored_order(size: tuple[int, ...]) -> None:
    n_positions = int(np.prod(size))
    order = torch.randperm(n_positions, generator=torch.Generator().manual_seed(0))
    mirrored = np.pad(order.reshape(size).numpy(), [(0, 2 * length) for length in size], mode="symmetric")
    offsets = list(np.ndindex(*(2 * length for length in size)))
    drawn = (torch.tensor(offsets) + 0.5) / (2 * torch.tensor(size))
    came_to = np.zeros((n_positions, n_positions), dtype=int)
    for found, offset in zip(elsewhere(order.expand(len(drawn), -1), size, drawn), offsets, strict=True):
        crop = mirrored[tuple(slice(start, start + length) for start, length in zip(offset, size, strict=True))]
        assert np.array_equal(found.argsort().numpy(), crop.ravel().argsort(kind="stable"))
        came_to[np.arange(n_positions), crop.ravel()] += 1
    assert (came_to == 2 ** len(size)).all(), "each position is as likely as any other to come to each place"


def test_the_turns_of_words_are_moved_along_the_words() -> None:
    order = torch.tensor([[6, 0, 1, 6, 2, 3], [6, 0, 6, 6, 6, 6], [6] * 6])
    found = elsewhere(order, (6,), torch.tensor([[0.0], [0.5], [0.5]]), order < 6)
    assert found.tolist() == [[6, 1, 2, 6, 3, 0], order[1].tolist(), order[2].tolist()]
