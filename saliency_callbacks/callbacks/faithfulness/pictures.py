"""The pictures of a test: what is left of the evidence in the order of a method's maps, here and elsewhere."""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from saliency_callbacks.functional.faithfulness.intervals import mean_interval
from saliency_callbacks.rendering.curves import Line, draw_lines
from saliency_callbacks.rendering.lazy import LazyPictures
from saliency_callbacks.scores.faithfulness import FaithfulnessResult, MethodFaithfulness
from saliency_callbacks.types.tables import as_number

__all__ = ["curves"]


def curves(result: FaithfulnessResult, namespace: str, moment: str) -> LazyPictures:
    """Return the curves of each method under its tag, drawn on demand.

    Args:
        result: What was found.
        namespace: First part of every tag.
        moment: Title of the moment.
    """
    return LazyPictures(
        {
            f"{namespace}/{name}/curves": partial(_draw, name, found, result.shares, moment)
            for name, found in result.methods.items()
        }
    )


def _draw(name: str, found: MethodFaithfulness, shares: tuple[float, ...], moment: str) -> npt.NDArray[np.uint8]:
    mine, chance = found.evidence, found.by_chance
    gains = found.gains
    panels = {
        f"removed first: gain {_number(gains['deletion_gain'].value)}": (
            _line(name, mine.removed, shares, ends=(1.0, 0.0)),
            _line("the same map elsewhere", chance.removed, shares, ends=(1.0, 0.0), like=mine.removed),
        ),
        f"shown alone: gain {_number(gains['insertion_gain'].value)}": (
            _line(name, mine.inserted, shares, ends=(0.0, 1.0)),
            _line("the same map elsewhere", chance.inserted, shares, ends=(0.0, 1.0), like=mine.inserted),
        ),
    }
    n_samples = mine.removed.shape[-1]
    n_defined = n_samples - round(found.undefined * n_samples)
    return draw_lines(
        panels,
        title=f"{name} · {moment}",
        note=f"{n_defined} of {n_samples} samples · {' and '.join(found.replacements)} · bands: 95% of the mean",
        across="share of the positions",
        up="share of the evidence that is left",
    )


def _line(
    name: str, evidence: Tensor, shares: tuple[float, ...], *, ends: tuple[float, float], like: Tensor | None = None
) -> Line:
    """Return the mean over the samples at each share; of those that ``like`` has a value of."""
    if like is not None:
        evidence = torch.where(like.isfinite(), evidence, torch.nan)
    of_samples = evidence.nanmean(dim=0)
    found = [mean_interval(values) for values in of_samples]
    mean, low, high = (
        [first, *middle, last] for first, *middle, last in zip(_all(ends[0]), *found, _all(ends[1]), strict=True)
    )
    return Line(name, (0.0, *shares, 1.0), mean, low, high)


def _all(value: float) -> tuple[float, float, float]:
    return (value, value, value)


def _number(value: float) -> str:
    return "not defined" if np.isnan(value) else as_number(value)
