"""Items of a dataset that may be broken: which one cannot be read is known, and the others are read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from saliency_callbacks.errors import ItemError
from saliency_callbacks.probe.labels.delivered import DeliveredLabels
from saliency_callbacks.probe.probe import Probe
from saliency_callbacks.probe.reading import Collate, as_if_not_read, batch_collate
from saliency_callbacks.probe.selection import select_indices

__all__ = ["NamedItems", "choose_positions", "unreadable_items"]


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


def choose_positions(
    probe: Probe, dataset: Any, collate_fn: Collate | None, candidates: Sequence[int]
) -> tuple[int, ...]:
    """Choose the samples of a probe as one that is held whole does, and in its order; none is kept.

    Items are read only where labels are needed and no attribute of the dataset holds them; of these, what
    :class:`NamedItems` cannot read is left out.

    Args:
        probe: Says how many samples, and how they are chosen.
        dataset: A map-style dataset, or a view of one.
        collate_fn: The dataloader's; it makes the batch that labels are read from.
        candidates: Positions to choose from, in their order.

    Returns:
        Distinct positions.

    Raises:
        ProbeError: There is nothing to choose from.

    Warns:
        SaliencyWarning: There are fewer items than the probe has samples.
    """
    delivered = DeliveredLabels(batch_collate(collate_fn), probe.columns)
    with as_if_not_read(dataset):
        return select_indices(
            dataset,
            probe.size,
            stratify=probe.stratify,
            seed=probe.seed,
            read_label=delivered.of,
            candidates=candidates,
        )


def unreadable_items(view: NamedItems, positions: Iterable[int]) -> dict[int, ItemError]:
    """Try to read some items, keep none, and return the errors of those that cannot be read, by their positions."""
    with as_if_not_read(view):
        errors = {position: _error_at(view, position) for position in positions}
    return {position: error for position, error in errors.items() if error is not None}


def _error_at(view: NamedItems, position: int) -> ItemError | None:
    try:
        view[position]
    except ItemError as error:
        return error
    return None
