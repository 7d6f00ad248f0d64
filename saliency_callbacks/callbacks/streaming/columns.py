"""A few numbers a sample, in memory that is taken once: what is added bit by bit would break up what lies between."""

from __future__ import annotations

from torch import Tensor

__all__ = ["Columns"]


class Columns:
    """Columns of numbers, a row for each sample.

    Args:
        capacity: Most samples.

    Example:
        >>> import torch
        >>> columns = Columns(capacity=4)
        >>> for start in (0, 2):
        ...     columns.add(2, {"number": torch.arange(start, start + 2), "odd": None if start else torch.ones(2)})
        >>> columns.whole("number"), columns.whole("odd")
        (tensor([0, 1, 2, 3]), None)
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.n_rows = 0
        self._columns: dict[str, Tensor] = {}
        self._filled: dict[str, int] = {}

    @property
    def names(self) -> list[str]:
        """The columns of which every sample has a value."""
        return [name for name, n_rows in self._filled.items() if n_rows == self.n_rows > 0]

    def add(self, n_rows: int, values: dict[str, Tensor | None]) -> None:
        """Add samples.

        Args:
            n_rows: How many.
            values: Column → their values ``[n_rows, …]``; ``None`` where they have none.
        """
        begin, end = self.n_rows, self.n_rows + n_rows
        for name, given in values.items():
            if given is None:
                continue
            if name not in self._columns:
                self._columns[name] = given.new_empty((self.capacity, *given.shape[1:]), device="cpu")
            self._columns[name][begin:end] = given
            self._filled[name] = self._filled.get(name, 0) + n_rows
        self.n_rows = end

    def whole(self, name: str) -> Tensor | None:
        """Return a copy of a column, ``[n, …]``; ``None`` where some sample has no value."""
        return self._columns[name][: self.n_rows].clone() if name in self.names else None

    def of_all(self, name: str) -> Tensor:
        """Return a copy of a column that every sample has, ``[n, …]``."""
        return self._columns[name][: self.n_rows].clone()
