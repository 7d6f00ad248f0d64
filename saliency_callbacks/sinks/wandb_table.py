"""Tables of Weights & Biases that grow with the run."""

from __future__ import annotations

import inspect
import itertools
from typing import Any

from saliency_callbacks.sinks.sample_table import SampleTable

__all__ = ["GrowingTable"]

_MOST_INCREMENTS = 100


class GrowingTable:
    """A ``wandb.Table`` to which every observation adds rows, and of which only these rows are sent.

    W&B shows the latest 100 increments of a table, and each increment names those before it. So every hundred
    observations, and where the columns change, a new table begins under the next free key: ``name``, ``name_2``, ...
    What one observation sends and what is kept in memory stay the same however long the run is.

    Before wandb 0.20 a table cannot grow. There every observation logs a table of its own rows under the same key; a
    query panel with ``runs.history.concat["<key>"]`` puts them together.

    Args:
        wandb: The package.
        run: The W&B run.
        first: What is added first; it tells name and columns.
    """

    def __init__(self, wandb: Any, run: Any, first: SampleTable) -> None:
        self._wandb = wandb
        self._table: Any = None
        self._run = run
        self.columns = first.columns
        self.grows = "log_mode" in inspect.signature(wandb.Table).parameters
        self.key = self._free_key(first.name) if self.grows else first.name
        self._additions = 0

    def takes(self, added: SampleTable, run: Any) -> bool:
        """Return whether the rows belong into this table."""
        is_full = self.grows and self._additions == _MOST_INCREMENTS
        return self._run is run and not is_full and set(added.columns) <= set(self.columns)

    def add(self, added: SampleTable) -> Any:
        """Add rows, and return what is to be logged under :attr:`key`."""
        self._additions += 1
        rows = added.under(self.columns)
        if not self.grows:
            return self._wandb.Table(columns=list(self.columns), data=rows)
        if self._table is None:
            self._table = self._wandb.Table(columns=list(self.columns), log_mode="INCREMENTAL")
        for row in rows:
            self._table.add_data(*row)
        return self._table

    def _free_key(self, name: str) -> str:
        # A run that goes on, and a second training in the same run, must not hide the rows of the first.
        used = [str(key) for key in self._run.summary.keys()]  # noqa: SIM118 - W&B's summary cannot be iterated
        candidates = itertools.chain([name], (f"{name}_{n}" for n in itertools.count(2)))
        # The logger may put a prefix before the keys.
        return next(key for key in candidates if not any(other.endswith(key) for other in used))
