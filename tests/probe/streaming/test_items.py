"""Which samples of a large probe are not shown, and items that cannot be read."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import Dataset, TensorDataset

from saliency_callbacks.errors import ItemError, SaliencyWarning
from saliency_callbacks.probe.labels.classes import dataset_labels
from saliency_callbacks.probe.probe import Probe
from saliency_callbacks.probe.streaming.items import NamedItems, choose_positions, unreadable_items

_LABELS = torch.arange(90) % 3
_DATA = TensorDataset(torch.zeros(90, 1), _LABELS)


class Unlabeled(Dataset):
    """Items whose labels nobody knows before they are read; some cannot be read."""

    def __init__(self, broken: tuple[int, ...] = ()) -> None:
        self.broken = broken

    def __len__(self) -> int:
        return 90

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        if index in self.broken:
            raise OSError("truncated")
        return torch.zeros(1), int(_LABELS[index])


@pytest.mark.parametrize("dataset", [_DATA, Unlabeled()], ids=["told", "read"])
@pytest.mark.parametrize("stratify", [True, False])
@pytest.mark.parametrize("candidates", [range(90), range(20, 60)])
def test_samples_are_those_of_a_probe_held_whole(dataset: Dataset, stratify: bool, candidates: range) -> None:
    probe = Probe(36, stratify=stratify)
    _, held = probe.read(dataset, None, candidates)
    assert choose_positions(probe, NamedItems(dataset), None, candidates) == held
    assert len(set(held)) == 36


def test_what_cannot_be_read_is_not_chosen_where_labels_are_read() -> None:
    view = NamedItems(Unlabeled(tuple(range(0, 90, 2))))
    chosen = choose_positions(Probe(30), view, None, range(90))
    assert all(index % 2 for index in chosen)
    assert _LABELS[list(chosen)].bincount().tolist() == [10, 10, 10]
    assert set(unreadable_items(view, (1, 2, 3, 4))) == {2, 4}


def test_a_dataset_with_fewer_items_gives_all() -> None:
    with pytest.warns(SaliencyWarning, match="90 samples instead of 1000"):
        assert choose_positions(Probe(1000), NamedItems(_DATA), None, range(90)) == tuple(range(90))


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
