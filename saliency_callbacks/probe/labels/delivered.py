"""The labels that items come with, which may be others than those that their dataset tells of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from saliency_callbacks.errors import ProbeError
from saliency_callbacks.probe.labels.columns import LabelColumn, chosen_column
from saliency_callbacks.probe.reading import Collate, collate_items

__all__ = ["DeliveredLabels"]


@dataclass(frozen=True)
class DeliveredLabels:
    """Reads labels as a batch of a dataloader would hold them.

    Args:
        collate: Makes a batch of items.
        columns_of: Returns what could be the labels of a batch.
    """

    collate: Collate
    columns_of: Callable[[Any], tuple[LabelColumn, ...]]

    def of(self, item: Any) -> int | None:
        """Return the label of an item; ``None`` where it has none, or several."""
        column, _ = chosen_column(self.columns([item]))
        return None if column is None or column.labels.ndim > 1 or not len(column.labels) else int(column.labels[0])

    def are(self, items: list[Any], known: Tensor) -> bool:
        """Return whether some items come with the labels ``known [M]``, as far as can be seen."""
        columns = self.columns(items)
        return not columns or any(torch.equal(column.labels.cpu(), known) for column in columns)

    def columns(self, items: list[Any]) -> tuple[LabelColumn, ...]:
        """Return what could be the labels of some items; nothing where they cannot be read."""
        try:
            return self.columns_of(collate_items(items, self.collate))
        except ProbeError:
            # The module's transfer hooks may yet bring the batch into a form that can be read.
            return ()
