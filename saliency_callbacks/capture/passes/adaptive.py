"""Passes that go on until an error is small: which points come next, and which samples still need them.

A round is a pass with a fixed number of points, and its mean joins the mean of the rounds before it: no point is run
twice. On a path, the trapezoid rule with half the distance is T₂ₙ = (Tₙ + Mₙ) / 2, where the midpoint rule Mₙ has the
new points alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from saliency_callbacks.functional.gradients import convergence_delta
from saliency_callbacks.types import Evidence, Pass, Quantity, Until

__all__ = ["Estimate", "Round", "measured_by", "rounds"]


class Round(NamedTuple):
    """A part of a pass.

    Args:
        pass_: What is fed, a fixed number of points.
        share: Weight of its mean in the mean of all rounds so far.
        n_points: Points on each path, or noisy copies, of all rounds so far.
    """

    pass_: Pass
    share: float
    n_points: int


def rounds(pass_: Pass) -> Iterator[Round]:
    """Yield the parts of a pass; one that does not go on ``until`` something is a single round.

    Example:
        >>> from saliency_callbacks.types import Path
        >>> halved = Pass(Path(3, "trapezoid", until=Until(0.05, at_most=9)))
        >>> [(one.pass_.path.rule, one.pass_.path.n_steps, one.n_points) for one in rounds(halved)]
        [('trapezoid', 3, 3), ('midpoint', 2, 5), ('midpoint', 4, 9)]
    """
    if pass_.path is not None and pass_.path.until is not None:
        return _halvings(pass_, pass_.path.until)
    if pass_.noise is not None and pass_.noise.until is not None:
        return _more_copies(pass_, pass_.noise.until)
    return iter([Round(pass_, 1.0, 0)])


def _halvings(pass_: Pass, until: Until) -> Iterator[Round]:
    assert pass_.path is not None
    path = replace(pass_.path, until=None)
    yield Round(replace(pass_, path=path), 1.0, path.n_steps)
    n_new = path.n_steps - 1
    while 2 * n_new + 1 <= until.at_most:
        yield Round(replace(pass_, path=replace(path, n_steps=n_new, rule="midpoint")), 0.5, 2 * n_new + 1)
        n_new *= 2


def _more_copies(pass_: Pass, until: Until) -> Iterator[Round]:
    assert pass_.noise is not None
    noise = replace(pass_.noise, until=None)
    for number in range(until.at_most // noise.nt_samples):
        n_before = number * noise.nt_samples
        of_round = replace(noise, first=noise.first + n_before)
        yield Round(replace(pass_, noise=of_round), 1 / (number + 1), n_before + noise.nt_samples)


def measured_by(pass_: Pass) -> Quantity:
    """Return what a pass needs to tell whether it may stop, whatever else is asked of it."""
    if pass_.path is not None and pass_.path.until is not None:
        return Quantity.PATH_INTEGRAL
    if pass_.noise is not None and pass_.noise.until is not None:
        return Quantity.GRADIENT | Quantity.GRADIENT_SQUARE
    return Quantity(0)


class Estimate:
    """What the rounds of one pass have found, for one target.

    Args:
        pass_: The whole pass.
        first: Its first round.
        found: What that found.
    """

    def __init__(self, pass_: Pass, first: Round, found: Evidence) -> None:
        self._pass = pass_
        self._found = found
        self._spread: _Spread | None = None
        if measured_by(pass_):
            self._found = replace(found, n_points=torch.full_like(found.target, first.n_points))
        if pass_.noise is not None and pass_.noise.until is not None:
            self._spread = _Spread(found)

    def add(self, round_: Round, found: Evidence) -> None:
        """Add a round, to those samples that need it."""
        is_open = self.is_open
        _join(self._found, found, is_open, round_)
        if self._spread is not None:
            self._spread.add(found, is_open)

    @property
    def is_open(self) -> Tensor:
        """Which samples need another round, bool ``[N]``; what is not finite will not become so."""
        found = self.evidence()
        path, noise = self._pass.path, self._pass.noise
        if path is not None and path.until is not None:
            assert found.path_integral is not None
            assert found.score_change is not None
            delta = convergence_delta(found.path_integral, found.score_change)
            return delta.abs() > path.until.tolerance * found.score_change.abs()
        if noise is not None and noise.until is not None:
            assert found.standard_error is not None
            return found.standard_error > noise.until.tolerance
        return torch.zeros_like(found.target, dtype=torch.bool)

    def evidence(self) -> Evidence:
        """Return what all rounds have found together."""
        if self._spread is None:
            return self._found
        return replace(self._found, standard_error=self._spread.standard_error(self._found))


class _Spread:
    """How much the means of equally many noisy copies differ from round to round."""

    def __init__(self, found: Evidence) -> None:
        self._n_rounds = torch.ones_like(found.target)
        self._squares = [_norm_square(mean) for mean in _means(found)]

    def add(self, found: Evidence, is_open: Tensor) -> None:
        self._n_rounds += is_open
        for squares, mean in zip(self._squares, _means(found), strict=True):
            squares.add_(torch.where(is_open, _norm_square(mean), 0.0))

    def standard_error(self, found: Evidence) -> Tensor:
        """Return that of the means of all rounds, relative to them, ``[N]``; infinite after a single round."""
        errors = []
        for square, mean in zip(self._squares, _means(found), strict=True):
            norm_square = _norm_square(mean)
            variance = (square / self._n_rounds - norm_square).clamp(min=0) / (self._n_rounds - 1)
            # A map that is zero has no error at all.
            errors.append(torch.where(norm_square == 0, 0.0, (variance / norm_square).sqrt()))
        larger = torch.maximum(*errors)
        return torch.where(self._n_rounds > 1, larger, torch.inf)


def _means(found: Evidence) -> tuple[Tensor, Tensor]:
    assert found.gradient is not None
    assert found.gradient_square is not None
    return found.gradient, found.gradient_square


def _norm_square(values: Tensor) -> Tensor:
    return values.flatten(1).square().sum(dim=1)


def _join(found: Evidence, new: Evidence, is_open: Tensor, round_: Round) -> None:
    """Let the mean of a round join that of all before, in place, for the samples that are open."""
    pairs = (
        (found.score, new.score),
        (found.gradient, new.gradient),
        (found.gradient_square, new.gradient_square),
        (found.path_integral, new.path_integral),
    )
    for mean, joining in pairs:
        if mean is not None and joining is not None:
            mean[is_open] = torch.lerp(mean[is_open], joining[is_open], round_.share)
    assert found.n_points is not None
    found.n_points[is_open] = round_.n_points
