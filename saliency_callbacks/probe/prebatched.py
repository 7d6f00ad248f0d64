"""The probe of a dataset that delivers whole batches: the first rows of its first items."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor

from saliency_callbacks.config.fields import fields_of, with_fields
from saliency_callbacks.config.wording import counted
from saliency_callbacks.errors import warn
from saliency_callbacks.probe.selection import fit_size

__all__ = ["first_rows"]


def first_rows(batches: Iterable[Any], size: int) -> Any:
    """Return the first ``size`` rows of ``batches``, joined, in the structure that they have.

    Tensors and arrays with as many rows as the first one are cut, and so are lists with one entry a row; anything
    else is kept as the first batch has it. A batch without tensors is returned as it is: only the module's transfer
    hooks can tell what it holds.

    Raises:
        ProbeError: There are no rows.

    Warns:
        SaliencyWarning: There are fewer rows, or the batches do not fit together.
    """
    joined: Any = None
    available = 0
    for batch in batches:
        rows = _number_of_rows(batch)
        if rows is None:
            return batch if joined is None else joined
        if not rows:
            continue
        kept = min(rows, size - available)
        part = batch if kept == rows else _map_rows(lambda each, kept=kept: each[:kept], rows, batch)
        try:
            joined = part if joined is None else _map_rows(_concatenate, available, joined, part)
        except Exception as error:
            message = (
                f"the probe has {counted(available, 'sample')} instead of {size}, because its batches cannot be "
                f"combined ({error})"
            )
            warn("batches of the probe", message)
            return joined
        available += kept
        if available == size:
            return joined
    fit_size(size, available)
    return joined


def _number_of_rows(batch: Any) -> int | None:
    return next((len(each) for each in _tensors(batch) if each.ndim), None)


def _tensors(value: Any) -> Iterator[Any]:
    if isinstance(value, Tensor | np.ndarray):
        yield value
    elif (fields := fields_of(value)) is not None:
        yield from chain.from_iterable(map(_tensors, fields.values()))
    elif isinstance(value, list | tuple):
        yield from chain.from_iterable(map(_tensors, value))


def _map_rows(function: Callable[..., Any], rows: int, first: Any, *others: Any) -> Any:
    """Apply ``function`` to everything that has an entry for each of the ``rows`` rows of ``first``."""
    if isinstance(first, Tensor | np.ndarray):
        return function(first, *others) if first.shape[:1] == (rows,) else first
    fields = fields_of(first)
    if fields is not None:
        more = [fields_of(each) or {} for each in others]
        mapped = {key: _map_rows(function, rows, fields[key], *(each[key] for each in more)) for key in fields}
        return with_fields(first, mapped)
    if not isinstance(first, list | tuple):
        return first
    if len(first) == rows and _has_one_entry_per_row(first):
        return function(first, *others)
    return type(first)(_map_rows(function, rows, *each) for each in zip(first, *others, strict=True))


def _has_one_entry_per_row(entries: list[Any] | tuple[Any, ...]) -> bool:
    """Whether entries, as many as there are rows, belong to one row each; a pair of two rows is no such list."""
    # The annotations of a sample, of which it may have as many as the batch has rows.
    if isinstance(entries, list) and all(isinstance(entry, Mapping) for entry in entries):
        return True
    return not any(tensor.shape[:1] == (len(entries),) for tensor in _tensors(entries))


def _concatenate(first: Any, second: Any) -> Any:
    if isinstance(first, Tensor):
        return torch.cat([first, second])
    return np.concatenate([first, second]) if isinstance(first, np.ndarray) else first + second
