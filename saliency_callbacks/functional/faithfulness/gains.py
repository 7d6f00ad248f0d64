r"""From scores of partly removed samples to a gain over a random order.

With the score s(0) of a sample as it is and s(1) of what is left where everything is replaced, the evidence that is
left at a score s is e = (s - s(1)) / (s(0) - s(1)), clipped to [0, 1]: 1 for nothing lost, 0 for nothing left. It does
not matter whether the evidence raises the score or lowers it, nor in which unit the score is.

The area of an order is the mean of e over the shares. Deletion removes the first positions of an order, and a good one
has a small area; insertion shows only these, and a good one has a large area.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from saliency_callbacks.functional.faithfulness.intervals import mean_interval
from saliency_callbacks.functional.precision import widen

__all__ = ["LEAST_ROOM", "LEAST_SPAN", "Gain", "evidence_left", "gain_over_random", "has_evidence"]

LEAST_SPAN = 0.1
"""A sample whose score changes by less than this share of what that of the median sample changes has no gain."""

LEAST_ROOM = 0.05
"""Where a random order leaves less room than this for a better one, there is no gain to speak of."""

_ROUNDING = 8
"""Changes of a score within this many of its last digits are rounding."""


@dataclass(frozen=True, eq=False)
class Gain:
    """How much better than a random order the order of a map is.

    Args:
        value: In [-1, 1]; NaN where it is undefined.
        lower: Lower end of its 95% interval over the samples; NaN where fewer than two have a gain.
        upper: Upper end.
        samples: The gain of each sample ``[N]``, clipped to [-1, 1], without which ``value`` is their mean; NaN where
            it is undefined.
    """

    value: float
    lower: float
    upper: float
    samples: Tensor

    @property
    def n_defined(self) -> int:
        """How many samples have a gain."""
        return int(self.samples.isfinite().sum())


def has_evidence(clean: Tensor, replaced: Tensor) -> Tensor:
    """Tell in which samples there is something to remove: the score is another one where everything is replaced.

    Of a sample whose score hardly changes, shares of the change are noise. Hardly is less than a tenth of what the
    median sample changes, or what rounding explains.

    Args:
        clean: Scores s(0) of the samples as they are, ``[N]``.
        replaced: Scores s(1) where everything is replaced, ``[..., N]``.

    Returns:
        Bool of the shape of ``replaced``.

    Example:
        >>> has_evidence(torch.tensor([5.0, 5.0, 5.0]), torch.tensor([0.0, 1.0, 4.9]))
        tensor([ True,  True, False])
    """
    span = widen(clean - replaced).abs()
    known = span.isfinite()
    typical = span.masked_fill(~known, torch.nan).nanmedian(dim=-1, keepdim=True).values
    rounding = _ROUNDING * torch.finfo(clean.dtype).eps * torch.maximum(widen(clean).abs(), widen(replaced).abs())
    return known & (span > rounding) & (span >= LEAST_SPAN * typical)


def evidence_left(scores: Tensor, clean: Tensor, replaced: Tensor) -> Tensor:
    """Return the share of the evidence that is left, (s - s(1)) / (s(0) - s(1)), clipped to [0, 1].

    Args:
        scores: Scores s of partly removed samples, ``[..., K, N]``.
        clean: s(0), ``[N]``.
        replaced: s(1), ``[..., N]``.

    Returns:
        The shape of ``scores``, in float64; NaN where a score is not finite, and at samples without evidence.

    Example:
        >>> evidence_left(torch.tensor([[4.0], [-1.0]]), torch.tensor([5.0]), torch.tensor([1.0]))
        tensor([[0.7500],
                [0.0000]], dtype=torch.float64)
    """
    below = replaced.unsqueeze(-2)
    left = widen(scores - below) / widen(clean - below)
    is_known = has_evidence(clean, replaced).unsqueeze(-2) & scores.isfinite()
    return left.clamp(0, 1).masked_fill(~is_known, torch.nan)


def gain_over_random(areas: Tensor, random_areas: Tensor, *, low_is_good: bool) -> Gain:
    r"""Return how much of the room between a random order and the best possible one a map's orders take.

    With the mean areas A of the map and R of a random order over the same samples, the gain of a deletion is
    (R - A) / R where A < R: 0 for no better than random, 1 if the first share that is removed holds all the evidence. It is
    (R - A) / (1 - R) where A > R: -1 if nothing is lost until everything is removed. The gain of an insertion is the
    same of 1 - A and 1 - R. So it is bounded, and its denominator is a mean over samples that is far from 0: where
    the random order leaves less room than 0.05, no order could show that it is better, and there is no gain.

    The interval is Student's t of the paired differences R_n - A_n, divided by the denominator of their mean, which is
    taken for known, and clipped to [-1, 1]. So it contains 0 if and only if that of the differences does.

    Args:
        areas: Of the map's orders, ``[N]`` in [0, 1]; NaN where they are undefined.
        random_areas: Of the random order, ``[N]``.
        low_is_good: Whether the evidence is removed, so that the best area is 0; else it is 1.

    Example:
        >>> gain = gain_over_random(torch.tensor([0.2, 0.3]), torch.tensor([0.4, 0.6]), low_is_good=True)
        >>> round(gain.value, 4), [round(float(value), 4) for value in gain.samples]
        (0.5, [0.4, 0.6])
    """
    rest, random_rest = (areas, random_areas) if low_is_good else (1 - areas, 1 - random_areas)
    differences = widen(random_rest) - widen(rest)
    is_known = differences.isfinite()
    nothing = torch.full_like(differences, torch.nan)
    if not bool(is_known.any()):
        return Gain(math.nan, math.nan, math.nan, nothing)
    room = float(widen(random_rest)[is_known].mean())
    if room < LEAST_ROOM:
        return Gain(math.nan, math.nan, math.nan, nothing)
    mean, lower, upper = mean_interval(differences)
    denominator = room if mean >= 0 else max(1 - room, LEAST_ROOM)
    value, lower, upper = (_clamped(one / denominator) for one in (mean, lower, upper))
    return Gain(value, lower, upper, (differences / denominator).clamp(-1, 1))


def _clamped(value: float) -> float:
    return value if math.isnan(value) else min(1.0, max(-1.0, value))
