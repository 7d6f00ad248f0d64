"""How each score is spread over the samples of each class, as a table."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from saliency_callbacks.config.wording import counted
from saliency_callbacks.scores import mean_of_finite
from saliency_callbacks.types import Cell, ProbeStatistics, Table

__all__ = ["class_table"]

_MOST_CLASSES = 20
_COLUMNS = ("class", "samples", "score", "mean", "10%", "median", "90%")
_NAMED = 20


def class_table(statistics: ProbeStatistics, namespace: str) -> Table:
    """Return the mean and quantiles of every score by class; of more than 20 classes only those of all samples.

    Args:
        statistics: What was found of the samples.
        namespace: First part of every tag, which the table leaves out.
    """
    n_classes = len(statistics.classes)
    numbers = range(n_classes if n_classes - 1 <= _MOST_CLASSES else 1)
    rows = [row for number in numbers for row in _rows_of(statistics, number, namespace)]
    return Table(_COLUMNS, tuple(rows), _note(statistics))


def _rows_of(statistics: ProbeStatistics, number: int, namespace: str) -> Iterator[tuple[Cell, ...]]:
    name = Cell(statistics.classes[number], "name" if number else "emphasis")
    for tag, values in statistics.sample_scores.items():
        own = statistics.of_class(number, values)
        numbers = [mean_of_finite(own), *statistics.quantiles(number, tag).tolist()]
        shown = (Cell(f"{value:.3f}") for value in numbers)
        yield (name, Cell(str(_count(own))), Cell(tag.removeprefix(f"{namespace}/")), *shown)


def _count(values: Tensor) -> int:
    return int(values.isfinite().sum())


def _note(statistics: ProbeStatistics) -> str | None:
    unreadable = statistics.unreadable
    if not unreadable:
        return None
    named = ", ".join(list(unreadable)[:_NAMED]) + (", …" if len(unreadable) > _NAMED else "")
    return f"{counted(len(unreadable), 'unreadable item')} of the dataset left out: {named}."
