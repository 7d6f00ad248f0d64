"""How much of a model's score the ranking of a map accounts for, beside a random ranking, and how stable the map is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from saliency_callbacks.functional.faithfulness.gains import Gain, gain_over_random
from saliency_callbacks.functional.faithfulness.intervals import mean_interval
from saliency_callbacks.types import Cell, Table
from saliency_callbacks.types.tables import as_interval

__all__ = ["CAUTION", "FaithfulnessResult", "MethodFaithfulness", "Remaining"]

CAUTION = (
    "Gains and stability do not show that a map is right, and do not rank methods: edges gain, a map that never "
    "changes is stable, and other replacements give other numbers. Read them beside similarity and floor."
)
"""What has to be said wherever these numbers are shown side by side."""

_INTERVALS = (
    "With 95% intervals over the samples; undefined are the samples whose map has no order or too few "
    "positions, or whose score hardly changes."
)


@dataclass(frozen=True, eq=False)
class Remaining:
    """The evidence that is left of partly removed samples, in [0, 1]; NaN where it is undefined.

    Args:
        removed: After the first positions of an order are replaced, ``[replacements, shares, N]``.
        inserted: Where only these are shown, the same shape.
    """

    removed: Tensor
    inserted: Tensor

    def without(self, samples: Tensor) -> Remaining:
        """Return the same with nothing known of some ``samples``, bool ``[N]``."""
        return Remaining(self.removed.masked_fill(samples, math.nan), self.inserted.masked_fill(samples, math.nan))


@dataclass(frozen=True, eq=False)
class MethodFaithfulness:
    """What was found of one method.

    Args:
        evidence: In the order of its maps.
        by_chance: In the order of the same maps somewhere else.
        replacements: What takes the place of what is removed, one for each row of the evidence.
        stability: Rank correlation of each map with that of the sample with a little noise, ``[N]``; ``None`` where it
            was not measured.
        n_forwards: How often the whole probe was run for it, with its part of what all methods are compared with.
    """

    evidence: Remaining
    by_chance: Remaining
    replacements: tuple[str, ...]
    stability: Tensor | None
    n_forwards: float

    @cached_property
    def gains(self) -> Mapping[str, Gain]:
        """The gains, by the last part of their tags: of all replacements, and of each where there are several."""
        found = {"deletion_gain": self._deletion(slice(None)), "insertion_gain": self._insertion(slice(None))}
        if len(self.replacements) > 1:
            for number, name in enumerate(self.replacements):
                rows = slice(number, number + 1)
                found[f"deletion_gain_{name}"] = self._deletion(rows)
                found[f"insertion_gain_{name}"] = self._insertion(rows)
        return found

    def sample_scores(self) -> dict[str, Tensor]:
        """Return the values ``[N]`` behind those scores that are means over samples, by the last part of their tags."""
        found = {name: gain.samples for name, gain in self.gains.items()}
        return found if self.stability is None else {**found, "stability": self.stability}

    def scores(self) -> dict[str, float]:
        """Return every number, by the last part of its tag."""
        found: dict[str, float] = {}
        for name, gain in self.gains.items():
            is_whole = name in ("deletion_gain", "insertion_gain")
            found |= _with_ends(name, gain.value, gain.lower, gain.upper) if is_whole else {name: gain.value}
        if self.stability is not None:
            found |= _with_ends("stability", *_within(mean_interval(self.stability)))
        return {**found, "undefined": self.undefined, "n_forwards": self.n_forwards}

    @property
    def undefined(self) -> float:
        """Share of the samples without a gain: of a map that orders nothing, or a score that hardly changes."""
        samples = _areas(self.evidence.removed)
        return 1 - float(samples.isfinite().double().mean()) if len(samples) else 1.0

    def _deletion(self, rows: slice) -> Gain:
        return gain_over_random(
            _areas(self.evidence.removed[rows]), _areas(self.by_chance.removed[rows]), low_is_good=True
        )

    def _insertion(self, rows: slice) -> Gain:
        return gain_over_random(
            _areas(self.evidence.inserted[rows]), _areas(self.by_chance.inserted[rows]), low_is_good=False
        )


@dataclass(frozen=True, eq=False)
class FaithfulnessResult:
    """What was found of all methods.

    Args:
        methods: By name.
        shares: Shares of the positions that were removed, or inserted.
        target: The explained classes, ``[N]``.
        target_layers: Names of the target layers.
    """

    methods: Mapping[str, MethodFaithfulness]
    shares: tuple[float, ...]
    target: Tensor
    target_layers: tuple[str, ...] = ()

    def scores(self, namespace: str) -> dict[str, float]:
        """Return every number under its full tag."""
        return {
            f"{namespace}/{name}/{score}": value
            for name, found in self.methods.items()
            for score, value in found.scores().items()
        }

    def sample_scores(self, namespace: str) -> dict[str, Tensor]:
        """Return the values ``[N]`` behind the scores under their full tags."""
        return {
            f"{namespace}/{name}/{score}": values
            for name, found in self.methods.items()
            for score, values in found.sample_scores().items()
        }

    def table(self) -> Table:
        """Return one row for each method, with a caution."""
        rows = [(Cell(name, "name"), *_cells(found)) for name, found in self.methods.items()]
        columns = ("method", "deletion gain", "insertion gain", "stability", "undefined")
        return Table(columns, tuple(rows), note=f"{_INTERVALS} {CAUTION}")


def _cells(found: MethodFaithfulness) -> Sequence[Cell]:
    gains = [found.gains[name] for name in ("deletion_gain", "insertion_gain")]
    intervals = [(gain.value, gain.lower, gain.upper) for gain in gains]
    intervals.append((math.nan,) * 3 if found.stability is None else _within(mean_interval(found.stability)))
    n_undefined = round(found.undefined * found.evidence.removed.shape[-1])
    return [*(Cell(as_interval(*interval)) for interval in intervals), Cell(str(n_undefined))]


def _with_ends(name: str, value: float, lower: float, upper: float) -> dict[str, float]:
    """Return a mean and the ends of its interval, which has none if fewer than two samples have a value."""
    return {name: value} if math.isnan(lower) else {name: value, f"{name}_lower": lower, f"{name}_upper": upper}


def _within(interval: tuple[float, float, float]) -> tuple[float, float, float]:
    """Return the interval of a correlation, none of which is beyond 1."""
    mean, lower, upper = interval
    return mean, max(lower, -1.0), min(upper, 1.0)


def _areas(evidence: Tensor) -> Tensor:
    """Return the mean over shares, and over the replacements that have one, ``[N]``."""
    return evidence.mean(dim=1).nanmean(dim=0)
