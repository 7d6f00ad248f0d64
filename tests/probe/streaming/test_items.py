"""Which samples of a large probe are not shown, and items that cannot be read."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import TensorDataset

from saliency_callbacks.errors import ItemError, SaliencyWarning
from saliency_callbacks.probe.labels.classes import dataset_labels
from saliency_callbacks.probe.streaming.items import NamedItems, other_positions

_LABELS = torch.arange(90) % 3
_DATA = TensorDataset(torch.zeros(90, 1), _LABELS)


def test_others_are_balanced_and_none_is_shown() -> None:
    taken = (0, 1, 2, 3, 4, 5)
    chosen = other_positions(_DATA, taken, 36, stratify=True, seed=0)
    assert len(chosen) == 30
    assert not set(chosen) & set(taken)
    assert list(chosen) == sorted(chosen)
    assert _LABELS[list(chosen)].bincount().tolist() == [10, 10, 10]
    assert chosen != other_positions(_DATA, taken, 36, stratify=True, seed=1)
    at_random = other_positions(_DATA, taken, 36, stratify=False, seed=0)
    assert len(set(at_random) - set(taken)) == 30
    among = other_positions(_DATA, (2, 4), 5, stratify=True, seed=0, candidates=(2, 4, 8, 16, 32))
    assert among == (8, 16, 32)


def test_a_dataset_with_fewer_items_gives_all() -> None:
    with pytest.warns(SaliencyWarning, match="90 samples instead of 1000"):
        assert other_positions(_DATA, (7,), 1000, stratify=True, seed=0) == tuple(
            index for index in range(90) if index != 7
        )


def test_a_view_names_the_item_that_cannot_be_read() -> None:
    class Broken(TensorDataset):
        def __getitem__(self, index: int) -> tuple[torch.Tensor, ...]:
            if index == 5:
                raise OSError("truncated")
            return super().__getitem__(index)

    view = NamedItems(Broken(*_DATA.tensors))
    assert len(view) == 90
    assert torch.equal(dataset_labels(view), _LABELS)
    assert view[4][1] == 1
    with pytest.raises(ItemError, match=r"item 5 of the dataset cannot be read \(OSError: truncated\)") as caught:
        view[5]
    assert caught.value.position == 5
