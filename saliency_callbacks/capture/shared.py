"""Which of a batch's tensors all samples share, although they happen to have as many rows as there are samples."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn

from saliency_callbacks.capture.inputs import ModelInputs
from saliency_callbacks.capture.oom import is_out_of_memory

__all__ = ["recognize_shared"]

# Between runs of the whole batch and of a part of it, relative to the largest value.
_TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-3}
_HALF_TOLERANCE = 5e-2
# Of more tensors, only one is taken to be shared, or all.
_MOST_COMBINED = 5


def recognize_shared(
    model: nn.Module,
    batch: ModelInputs,
    read: Callable[[Any, Tensor], Tensor],
    forward_context: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> frozenset[str] | None:
    """Find which tensors have to be fed whole, so that samples have the same scores in any part of the batch.

    The whole batch is run once; then two of its samples, with the other tensors cut to their rows. Where that gives
    other scores, or fails, some of the tensors are fed whole instead.

    Args:
        model: The model, quiescent.
        batch: The batch.
        read: ``(model output, sample of each row [M]) -> [M, …]``, what is compared.
        forward_context: Opened around every forward, e.g. for autocast.

    Returns:
        Names of the tensors, none where all of them have one row a sample; ``None`` where no choice gives the same
        scores, or several could be meant.
    """
    names = batch.undeclared
    if not names:
        return batch.shared
    every = torch.arange(batch.n_samples, device=batch.explained.device)
    # In another order, and not one row alone, which broadcasts with anything.
    rows = every[[-1, 0]]
    whole = _read(model, batch, every, read, forward_context)
    expected = None if whole is None else whole[rows]
    fitting: list[frozenset[str]] = []
    for chosen in _choices(names):
        fed = replace(batch, shared=batch.shared | chosen)
        found = _read(model, fed, rows, read, forward_context)
        if found is None or (expected is not None and found.shape != expected.shape):
            continue
        if expected is not None and _same(found, expected):
            return fed.shared
        more = _read(model, fed, rows[[0, 1, 1]], read, forward_context)
        if more is not None and more.shape[1:] == found.shape[1:]:
            fitting.append(fed.shared)
    # Too large a batch, or scores that differ from run to run or with the other samples: then the form of the output
    # decides, whose width must not change with the number of rows.
    return fitting[0] if len(fitting) == 1 else None


def _choices(names: tuple[str, ...]) -> Iterator[frozenset[str]]:
    """Yield none, all, and then ever more of the names."""
    yield frozenset()
    yield frozenset(names)
    for size in range(1, len(names) if len(names) <= _MOST_COMBINED else 2):
        yield from map(frozenset, combinations(names, size))


def _read(
    model: nn.Module,
    batch: ModelInputs,
    samples: Tensor,
    read: Callable[[Any, Tensor], Tensor],
    forward_context: Callable[[], AbstractContextManager[Any]],
) -> Tensor | None:
    """Return what is read of the output for some samples; ``None`` where that fails."""
    try:
        with torch.no_grad(), forward_context(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = read(batch.call(model, batch.explained.index_select(0, samples), samples), samples)
    except Exception as error:
        if is_out_of_memory(error) and len(samples) < batch.n_samples:
            raise
        return None
    return found.detach().clone() if len(found) == len(samples) else None


def _same(found: Tensor, expected: Tensor) -> bool:
    tolerance = _TOLERANCE.get(expected.dtype, _HALF_TOLERANCE)
    found, expected = found.nan_to_num(), expected.nan_to_num()
    return bool((found - expected).abs().max() <= tolerance * expected.abs().max())
