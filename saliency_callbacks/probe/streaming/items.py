"""Items of a dataset that may be broken: which one cannot be read is known, and the others are read."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from saliency_callbacks.errors import ItemError
from saliency_callbacks.probe.dataset_state import preserved
from saliency_callbacks.probe.labels.classes import dataset_labels
from saliency_callbacks.probe.selection import fit_size, positions_of, random_sample, stratified

__all__ = ["NamedItems", "other_positions"]


class NamedItems:
    """A view of a map-style dataset that says which item cannot be read.

    Args:
        dataset: The dataset.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, position: int) -> Any:
        """Return an item.

        Raises:
            ItemError: If the dataset raises anything.
        """
        try:
            return self.dataset[position]
        except Exception as error:
            raise ItemError.of(position, error) from error


def other_positions(
    dataset: Any,
    taken: Collection[int],
    size: int,
    *,
    stratify: bool,
    seed: int,
    candidates: Sequence[int] | None = None,
) -> tuple[int, ...]:
    """Choose the samples of a large probe that are not shown; none is read.

    Args:
        dataset: A map-style dataset.
        taken: Positions of the samples that are shown.
        size: Number of all samples.
        stratify: Choose equally many items of each class, where an attribute of the dataset holds the labels.
        seed: Decides the choice, together with the labels.
        candidates: Positions to choose from; all by default.

    Returns:
        Positions in ascending order, as files are read fastest in theirs.

    Warns:
        SaliencyWarning: There are fewer than ``size`` items.
    """
    with preserved(dataset):
        everything = positions_of(dataset, candidates)
        taken = frozenset(taken)
        left = [position for position in everything if position not in taken]
        wanted = fit_size(size, len(left) + len(taken)) - len(taken)
        if wanted >= len(left):
            return tuple(sorted(left))
        labels = dataset_labels(dataset) if stratify else None
    chosen = random_sample(len(left), wanted, seed) if labels is None else stratified(labels[left], wanted, seed)
    return tuple(sorted(left[rank] for rank in chosen))
