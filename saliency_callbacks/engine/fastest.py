"""How a model computes its maps fastest: measured, and only where the maps keep nearly the same order."""

from __future__ import annotations

import math
import statistics
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from saliency_callbacks.capture.isolation.arithmetic import UNCHANGED, Arithmetic, other_arithmetics
from saliency_callbacks.capture.isolation.waiting import wait_for
from saliency_callbacks.engine.run import run_together
from saliency_callbacks.engine.settings import Settings, count_samples
from saliency_callbacks.engine.wants import Want
from saliency_callbacks.errors import each_kind_once, warn
from saliency_callbacks.methods.smooth import SmoothGrad
from saliency_callbacks.scores.drift import drift, ranks
from saliency_callbacks.targets.selectors import Target
from saliency_callbacks.types import Attribution, Method, Pass

__all__ = ["LEAST_CORRELATION", "Choice", "Measured", "fastest"]

LEAST_CORRELATION = 0.99
"""Rank correlation that every map of every tried sample has to have with the unchanged one."""

# Less is within what a busy machine makes of equal times.
_WORTH_IT = 1.1
# The fewest whose median leaves out one that was disturbed.
_ROUNDS = 3
# Bounds the comparison, which runs all methods on each of them, several times.
_MOST_SAMPLES = 8
# Bounds time and memory of a chunk where the whole probe is run at once; a gain by more rows is not seen.
_MOST_ROWS = 32
# More than a busy machine makes of equal times, so that no further round is spent on it.
_TOO_SLOW = 1.5
# A first run may load or compile kernels, which takes its time once.
_TOO_SLOW_AT_FIRST, _SECONDS_TO_START = 3.0, 1.0

_Maps = Sequence[Attribution]


@dataclass(frozen=True)
class Measured:
    """What was found of one way to compute.

    Args:
        arithmetic: The way.
        speedup: How many times as fast a chunk was; below 1 for slower, 0 where it failed or was given up.
        correlation: The lowest rank correlation of all methods and samples; ``None`` where it was not looked at.
        is_slower_in_all: Whether it was faster by chunk, but took longer for the methods as a whole: some go on until
            an error is small, which rounding may keep from them.
    """

    arithmetic: Arithmetic
    speedup: float
    correlation: float | None = None
    is_slower_in_all: bool = False

    @property
    def is_accepted(self) -> bool:
        """Whether it is fast and exact enough."""
        return self.correlation is not None and not self.is_too_rough and not self.is_slower_in_all

    @property
    def is_too_rough(self) -> bool:
        """Whether its maps are in another order than those of the model as it runs."""
        return self.correlation is not None and self.correlation < LEAST_CORRELATION


@dataclass(frozen=True)
class Choice:
    """Which way is taken.

    Args:
        trials: What was tried, the fastest first.
    """

    trials: tuple[Measured, ...] = ()

    @property
    def taken(self) -> Measured | None:
        """The fastest that is exact enough; ``None`` where none is, and the model is run as it was."""
        return next((trial for trial in self.trials if trial.is_accepted), None)

    @property
    def arithmetic(self) -> Arithmetic:
        """How maps are to be computed."""
        return UNCHANGED if self.taken is None else self.taken.arithmetic


def fastest(
    model: nn.Module,
    inputs: Any,
    settings: Settings,
    target: Target,
    clock: Callable[[], float] = time.perf_counter,
) -> Choice | None:
    """Time a chunk of each way to compute, and compare the maps of the fast ones with those of the model as it runs.

    Of up to 8 samples, or of all where ``target`` is a callable. A way that fails is out, as is one that takes too long
    at once.

    Args:
        model: Any module; it is left as it was.
        inputs: As for :func:`~saliency_callbacks.engine.run.run_engine`.
        settings: How it is explained.
        target: The explained score.
        clock: Seconds, from any start.

    Returns:
        The choice; ``None`` where there is nothing to compare with yet: the model cannot be explained as it is, or all
        of its maps are constant or not finite, which is warned of.
    """
    others = other_arithmetics(model, settings.forward_context)
    # Those that run the model themselves do so in full precision.
    settings = replace(settings, methods=tuple(one for one in settings.methods if isinstance(one, Method)))
    if not others or not settings.methods:
        return Choice()
    # What there is to warn of, the observation itself will.
    with each_kind_once(set()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            n_samples = count_samples(inputs, settings)
            # A callable may have been written for exactly as many rows as there are.
            tried = None if callable(target) else range(min(n_samples, _MOST_SAMPLES))
            work = _Work(model, inputs, replace(settings, samples=tried, arithmetic=UNCHANGED), target, clock)
            return _chosen(work, _speedups(work, others, _chunk(work.settings, target, n_samples)))
        except _UnexplainedError:
            return None
        except _NoRanksError:
            pass
    warn(
        "precision='fast' without ranks",
        "precision='fast' postpones its choice to a later observation: all maps are still constant or not finite (as "
        "with a zero-initialized head), so their ranks cannot be compared yet",
    )
    return None


class _UnexplainedError(Exception):
    """The model as it is raises an error, which the observation will tell of."""


class _NoRanksError(Exception):
    """No map of the model as it is has ranks."""


@dataclass(frozen=True, eq=False)
class _Work:
    model: nn.Module
    inputs: Any
    settings: Settings
    target: Target
    clock: Callable[[], float]

    def run(self, arithmetic: Arithmetic, settings: Settings) -> tuple[float, _Maps]:
        """Return seconds and maps."""
        running = replace(settings, arithmetic=arithmetic)
        # One by one, as methods of several callbacks may have the same name.
        wants = [Want((method,), (0,)) for method in settings.methods]
        begin = self._now()
        try:
            found = run_together(self.model, self.inputs, running, [self.target], wants)
            maps = [attribution for one in found for attribution in one.attributions[0].values()]
        except Exception as error:
            if arithmetic == UNCHANGED:
                raise _UnexplainedError from error
            return math.inf, ()
        return self._now() - begin, maps

    def seconds(self, arithmetic: Arithmetic, settings: Settings) -> float:
        return self.run(arithmetic, settings)[0]

    def _now(self) -> float:
        for device in {parameter.device for parameter in self.model.parameters()}:
            wait_for(device)
        return self.clock()


def _chunk(settings: Settings, target: Target, n_samples: int) -> Settings:
    """Return settings that run about as many rows as are run at once, by one forward and one gradient."""
    if {pass_ for method in settings.methods for pass_ in method.requires()} == {Pass()}:
        return settings
    if callable(target):
        return replace(settings, methods=(SmoothGrad(nt_samples=1),))
    rows = min(settings.internal_batch_size or n_samples, _MOST_ROWS)
    copies = SmoothGrad(nt_samples=-(-rows // len(settings.samples_of(n_samples))))
    return replace(settings, methods=(copies,), internal_batch_size=rows)


def _speedups(work: _Work, others: Sequence[Arithmetic], chunk: Settings) -> dict[Arithmetic, float]:
    """Return how many times as fast a chunk is, by the medians of a few rounds."""
    usual = work.seconds(UNCHANGED, chunk)
    longest = _TOO_SLOW_AT_FIRST * usual + _SECONDS_TO_START
    times: dict[Arithmetic, list[float]] = {one: [] for one in others if work.seconds(one, chunk) <= longest}
    own: list[float] = []
    for _ in range(_ROUNDS):
        own.append(work.seconds(UNCHANGED, chunk))
        for one in list(times):
            times[one].append(work.seconds(one, chunk))
            if times[one][-1] > _TOO_SLOW * own[-1]:
                del times[one]
    median = statistics.median(own)
    found = {one: median / max(statistics.median(seconds), 1e-9) for one, seconds in times.items()}
    return {one: found.get(one, 0.0) for one in others}


def _chosen(work: _Work, speedups: Mapping[Arithmetic, float]) -> Choice:
    """Compare the maps of the methods themselves, from the fastest way on until one is exact."""
    trials: list[Measured] = []
    exact: tuple[float, _Maps] | None = None
    for one, speedup in sorted(speedups.items(), key=lambda item: -item[1]):
        trial = Measured(one, speedup)
        # What rounds too much does so in any memory format.
        is_settled = any(
            other.is_accepted or (other.is_too_rough and other.arithmetic.autocast == one.autocast) for other in trials
        )
        if speedup >= _WORTH_IT and not is_settled:
            exact = exact or _run_twice(work)
            trial = _compared(work, trial, *exact)
        trials.append(trial)
    return Choice(tuple(sorted(trials, key=lambda trial: -trial.speedup)))


def _run_twice(work: _Work) -> tuple[float, _Maps]:
    """Return the maps of the model as it is, and the seconds of the faster run: the first may be a cold one."""
    first, maps = work.run(UNCHANGED, work.settings)
    return min(first, work.seconds(UNCHANGED, work.settings)), maps


def _compared(work: _Work, trial: Measured, usual: float, exact: _Maps) -> Measured:
    """Return what is found of the methods as a whole, which take ``usual`` seconds in the model as it is."""
    seconds, maps = work.run(trial.arithmetic, work.settings)
    if not maps:
        return replace(trial, speedup=0.0)
    trial = replace(trial, correlation=_lowest(exact, maps))
    if trial.is_too_rough:
        return trial
    return replace(trial, is_slower_in_all=min(seconds, work.seconds(trial.arithmetic, work.settings)) > usual)


def _lowest(exact: _Maps, others: _Maps) -> float:
    """Return the lowest rank correlation of two maps of a sample, by the signed maps that drift compares."""
    found: list[float] = []
    for attribution, rounded in zip(exact, others, strict=True):
        usual, other = ranks(attribution), ranks(rounded)
        # A map that is constant, or not finite, as it is has no ranks to keep.
        has_ranks = drift(usual, usual).isfinite()
        correlation = (1 - drift(other, usual)).nan_to_num(nan=-1.0)
        found += correlation[has_ranks].tolist()
    if not found:
        raise _NoRanksError
    return min(found)
