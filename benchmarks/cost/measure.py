"""Time and memory of several sides of one comparison, measured side by side in one process."""

from __future__ import annotations

import gc
import statistics
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = ["Clock", "Row", "Timings", "cost", "gain", "interleave", "peak_tensor_bytes", "timed"]

Clock = Literal["wall", "cpu"]
"""Seconds on the wall, or of processor time of the whole process, which other processes hardly change."""

Timings = Mapping[str, Sequence[float]]
"""Side → seconds of each round; equal positions were measured right after each other."""


@dataclass(frozen=True)
class Row:
    """One comparison.

    Args:
        name: ``topic/case``.
        ours: What was measured of this package.
        other: What it is compared with.
        ours_value: Median of ours, in ``unit``.
        other_value: Median of the other side, in ``unit``.
        ratio: Median over the rounds of the ratio within a round, which a machine that slows down for a while hardly
            changes. ``cost``: ours / other. ``gain``: other / ours.
        limit: Bound of the ratio; ``None`` for rows that only inform.
        kind: ``cost`` is met at or below the limit, ``gain`` at or above it.
        unit: ``s`` or ``MiB``.
        samples: Every single measurement, by side.
    """

    name: str
    ours: str
    other: str
    ours_value: float
    other_value: float
    ratio: float
    limit: float | None
    kind: Literal["cost", "gain"] = "cost"
    unit: Literal["s", "MiB"] = "s"
    samples: Mapping[str, Sequence[float]] = field(default_factory=dict)

    @property
    def is_met(self) -> bool | None:
        """Whether the target is met; ``None`` without a target."""
        if self.limit is None:
            return None
        return self.ratio <= self.limit if self.kind == "cost" else self.ratio >= self.limit


def timed(work: Callable[[], Any], clock: Clock = "wall") -> float:
    """Return the seconds of one call, with no garbage of earlier work to collect."""
    now = time.perf_counter if clock == "wall" else time.process_time
    gc.collect()
    begin = now()
    work()
    return now() - begin


def interleave(
    sides: Mapping[str, Callable[[], Any]], rounds: int, clock: Clock = "wall", *, warm_up: bool = True
) -> Timings:
    """Time all sides in turn; every round starts with another side, so that none always runs after the same one.

    Args:
        sides: What is timed.
        rounds: How often.
        clock: In which seconds.
        warm_up: Whether each side is called once before; calls that repeat the same work many times need not.
    """
    names = list(sides)
    if warm_up:
        for name in names:
            sides[name]()
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            seconds[name].append(timed(sides[name], clock))
    return seconds


def cost(name: str, timings: Timings, *, ours: str, other: str, limit: float | None) -> Row:
    """Return the row of ours / other, which should be at most ``limit``."""
    ratios = [mine / theirs for mine, theirs in zip(timings[ours], timings[other], strict=True)]
    return _row(name, timings, ours=ours, other=other, ratio=statistics.median(ratios), limit=limit, kind="cost")


def gain(name: str, timings: Timings, *, ours: str, other: str, limit: float | None) -> Row:
    """Return the row of other / ours, which should be at least ``limit``."""
    ratios = [theirs / mine for mine, theirs in zip(timings[ours], timings[other], strict=True)]
    return _row(name, timings, ours=ours, other=other, ratio=statistics.median(ratios), limit=limit, kind="gain")


def peak_tensor_bytes(work: Callable[[], Any]) -> int:
    """Return the most bytes that tensors made by ``work`` held at one time, its autograd graphs included.

    Storages are followed from the operator that made them to their release, so the number is the same at every run.
    """
    gc.collect()
    with _StorageTracker() as tracker:
        work()
    peak: int = tracker.peak
    return peak


class _StorageTracker(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = 0
        self.peak = 0
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        # What the operator was given (weights, inputs) was there before, unless it is already counted.
        given = {leaf.untyped_storage().data_ptr() for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        result = func(*args, **kwargs)
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor) and leaf.untyped_storage().data_ptr() not in given:
                self._count(leaf.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        if storage in self._known:
            return
        size = storage.nbytes()
        self._known.add(storage)
        weakref.finalize(storage, self._release, size)
        self.live += size
        self.peak = max(self.peak, self.live)

    def _release(self, size: int) -> None:
        self.live -= size


def _row(
    name: str,
    timings: Timings,
    *,
    ours: str,
    other: str,
    ratio: float,
    limit: float | None,
    kind: Literal["cost", "gain"],
) -> Row:
    return Row(
        name=name,
        ours=ours,
        other=other,
        ours_value=statistics.median(timings[ours]),
        other_value=statistics.median(timings[other]),
        ratio=ratio,
        limit=limit,
        kind=kind,
        samples={ours: list(timings[ours]), other: list(timings[other])},
    )
