"""When to observe, and what an observation costs the training: measured, told once, and kept within a limit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch

from saliency_callbacks.callbacks.runtime import notices
from saliency_callbacks.callbacks.runtime.observation import State
from saliency_callbacks.callbacks.runtime.ranks import Ranks
from saliency_callbacks.callbacks.runtime.sink_writer import SinkWriter, WritingCost
from saliency_callbacks.capture.isolation.waiting import wait_for
from saliency_callbacks.config.wording import counted
from saliency_callbacks.types import Snapshot

__all__ = ["ObservationCost", "describe_cost", "is_due", "takes_turn"]


def is_due(epoch: int, last_observed: int | None, every_n_epochs: int) -> bool:
    """Return whether a validation in ``epoch`` is observed.

    The first validation always is, so that monitored scores exist from the start. All validations of one epoch are
    observed alike (``val_check_interval``), and the interval is counted from the last observation, so that it works
    together with ``check_val_every_n_epoch``.

    Args:
        epoch: The Trainer's epoch, counted from 0.
        last_observed: Epoch of the last observation; ``None`` before the first.
        every_n_epochs: Epochs between two observations.

    Example:
        >>> [is_due(epoch, 0, 2) for epoch in range(4)]
        [True, False, True, True]
    """
    return last_observed is None or epoch == last_observed or epoch - last_observed >= every_n_epochs


_NOTICEABLE_SECONDS = 1.0


@dataclass
class ObservationCost:
    """The time that the training waits for observations.

    The first observation of a process warms up caches and is not judged. Where a later one takes longer than
    ``max_seconds`` for each scheduled observation, only every second of those is made that were made so far: with an
    observation of 5 s and a limit of 2 s, every fourth.

    Args:
        max_seconds: Most seconds for each scheduled observation, on average; ``None`` for no limit.
        clock: Seconds, from any start.

    Attributes:
        seconds: How long the last observation took; ``None`` before the first.
        validation_seconds: How long the validation epoch before it took; ``None`` where there was none.
        start_seconds: How long the run waited for checks, probe and first observation before its first step.
        end_seconds: How long it waited after its last step, for the summary and for what was still to be written.
    """

    max_seconds: float | None = None
    clock: Callable[[], float] = time.perf_counter
    seconds: float | None = field(default=None, init=False, compare=False)
    validation_seconds: float | None = field(default=None, init=False, compare=False)
    start_seconds: float = field(default=0.0, init=False, compare=False)
    end_seconds: float = field(default=0.0, init=False, compare=False)
    _charged: float = field(default=0.0, init=False, compare=False)
    _validating_since: float | None = field(default=None, init=False, compare=False)
    _n_measured: int = field(default=0, init=False, compare=False)
    _is_told: bool = field(default=False, init=False, compare=False)

    def restart(self) -> None:
        """Tell the cost of the next run, too."""
        self._is_told = False
        self.start_seconds = self.end_seconds = 0.0

    @contextmanager
    def at_start(self) -> Iterator[None]:
        """Measure something that comes before the first step."""
        begin = self.clock()
        yield
        self.start_seconds += self.clock() - begin

    @contextmanager
    def at_end(self) -> Iterator[None]:
        """Measure something that comes after the last step."""
        begin = self.clock()
        yield
        self.end_seconds += self.clock() - begin

    def tell_end(self, name: str) -> None:
        """Say how long the end of the run waited, if anybody has noticed.

        Args:
            name: Of the callback.
        """
        if self.end_seconds >= _NOTICEABLE_SECONDS:
            notices.tell(
                f"{name}: the run took {self.end_seconds:.2g} s after the last step to write the summary and pending "
                "observations"
            )

    def validation_begins(self, device: torch.device) -> None:
        """Note that a validation epoch begins."""
        self._validating_since = self.now(device)

    @contextmanager
    def measured(self, device: torch.device) -> Iterator[None]:
        """Measure an observation."""
        start, self._charged = self.now(device), 0.0
        self.validation_seconds = None if self._validating_since is None else start - self._validating_since
        self._validating_since = None
        yield
        self.seconds = self.now(device) - start + self._charged
        self._n_measured += 1

    def charge(self, seconds: float) -> None:
        """Add what another callback has spent for an observation; take away what this one spends for others."""
        self._charged += seconds

    def judged(self, state: State, ranks: Ranks, name: str) -> State:
        """Return the state with half as many observations to come, where the last one took too long.

        All ranks must call it: rank zero decides for all of them.

        Args:
            state: The state after the observation.
            ranks: All processes of the training.
            name: Of the callback, for the warning.
        """
        if self.max_seconds is None:
            return state
        is_too_long = self._n_measured > 1 and (self.seconds or 0.0) > self.max_seconds * state.thinning
        if not ranks.from_zero(is_too_long):
            return state
        thinned = replace(state, thinning=2 * state.thinning)
        notices.warn(
            ("thinning", name, thinned.thinning),
            f"{name}: an observation takes {self.seconds:.2g} s, with "
            f"max_seconds_per_observation={self.max_seconds:g}; from now on, only 1 in {thinned.thinning} scheduled "
            "observations is made",
        )
        return thinned

    def tell_once(self, name: str, snapshot: Snapshot | None, writer: SinkWriter | None) -> None:
        """Say, as soon as it is written, what the first observation of the training cost.

        Args:
            name: Of the callback.
            snapshot: What was observed; ``None`` where that failed.
            writer: Who writes it.
        """
        if snapshot is None or writer is None or self._is_told:
            return
        self._is_told = True
        # Of now: the next observation may be measured before this one is written.
        told = partial(describe_cost, copy(self), snapshot.metadata, in_background=writer.in_background)
        writer.when_written(lambda writing: notices.tell(f"{name}: {told(writing=writing)}"))

    def now(self, device: torch.device) -> float:
        """Return the time at which a device has done what it was given so far."""
        wait_for(device)
        return self.clock()


def takes_turn(state: State, epoch: int, every_n_epochs: int) -> tuple[State, bool]:
    """Return whether a validation in ``epoch`` is observed, and the state, which counts one that is skipped.

    Args:
        state: The state before it.
        epoch: The epoch, counted from 0.
        every_n_epochs: Epochs between two observations.
    """
    if not is_due(epoch, state.last_observed, every_n_epochs):
        return state, False
    if state.skipped + 1 >= state.thinning:
        return state, True
    return replace(state, skipped=state.skipped + 1, last_observed=epoch), False


def describe_cost(
    cost: ObservationCost, metadata: Mapping[str, Any], *, writing: WritingCost | None, in_background: bool
) -> str:
    """Return a line on the last observation.

    Args:
        cost: What was measured.
        metadata: Of its snapshot.
        writing: Of drawing and writing; ``None`` where nothing is written.
        in_background: Whether the training goes on meanwhile, with what the processor has left.
    """
    seconds, validation = cost.seconds or 0.0, cost.validation_seconds
    observation = f"an observation takes {seconds:.2g} s"
    if validation is not None and validation + seconds > 0:
        share = seconds / (validation + seconds)
        observation += f" ({share:.0%} of the validation epoch, including the observation)"
    parts = [observation]
    external = metadata.get("external", {})
    n_passes, n_methods = metadata.get("n_passes"), len(set(metadata.get("methods", ())) - set(external))
    if n_passes is not None and n_methods:
        shared = f"shared by {n_methods} methods" if n_methods > 1 else "for one method"
        parts.append(f"{counted(n_passes, 'pass', 'passes')} {shared}")
    if external:
        listed = ", ".join(f"{name} {cost['forwards']:.3g}" for name, cost in external.items())
        parts.append(f"further forward passes for each sample: {listed}")
    if metadata.get("n_forwards"):
        parts.append(f"{counted(metadata['n_forwards'], 'forward pass', 'forward passes')} without maps")
    if cost.start_seconds > 0:
        parts.append(f"{cost.start_seconds:.2g} s of delay before the first step")
    if writing is not None:
        how = f"in the background ({writing.processor_seconds:.2g} s of processor time)"
        parts.append(
            f"{writing.seconds:.2g} s of drawing and writing {how if in_background else 'included in that time'}"
        )
    return "; ".join(parts)
