"""Putting a mark at a place into images of other classes, and controls of the same shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from saliency_callbacks.discovery.candidate import Count, Trial
from saliency_callbacks.discovery.changes import Change, Overlay
from saliency_callbacks.discovery.images.transplants import cut_out, filled, recipients
from saliency_callbacks.discovery.samples import Samples

__all__ = ["marked"]

_MOST_CONTROLS = 3
_FEWEST_OF_A_KIND = 8
"""Images that a mean and a variance are taken of."""

_LEAST_Z = 4.0
"""Of thousands of pixels hardly one is beyond it by chance."""

_SMALLEST_VARIANCE = 1e-5
"""About that of rounding to 8 bits."""

_EVEN = 1e-3
"""Variance below which a ground is too even to tell how much of it a mark hides."""

_ROUGH = 0.05
"""How far an overlay that is estimated from a few dozen images may be off."""

_MOST_SPREAD = 1.3
"""An overlay never raises the variance; the slack allows for estimates from a few dozen images."""

_MOST_OUTSIDE = 0.02
"""Share of pixels that no image under the overlay explains: measured below .01 for one mark, above .04 for dates."""


def marked(class_index: int, samples: Samples, count: Count) -> Trial | None:
    """Put the mark that sets bearers apart from others into images of other classes.

    Bearers of one mark are more alike where it is than other images are, since it hides some of them or all; it is laid
    over images with the opacity that follows. A mark that differs from one bearer to the next, such as a date, is no
    overlay, and its mean is a blur; then the pixels of bearers are pasted.

    Args:
        class_index: The class c.
        samples: What is searched.
        count: Who bears it.

    Returns:
        ``None`` where too few images bear it, or no other class has two without it to make a control of.
    """
    into = recipients(class_index, samples, count)
    bearing = samples.of_class(class_index, count.bears)
    lacking = samples.of_class(class_index, count.lacks)
    others = _of_other_classes(class_index, samples, count.lacks)
    is_told_by_own = len(lacking) >= _FEWEST_OF_A_KIND
    if len(into) < 2 or len(bearing) < _FEWEST_OF_A_KIND or not others:
        return None
    ours = _moments(samples.inputs[bearing])
    # With the class's own images the object cancels out; where nearly all bear the mark, it cannot.
    theirs = _moments(samples.inputs[lacking]) if is_told_by_own else _within_classes(others)
    region = _region(ours, theirs, by_likeness=is_told_by_own)
    if not region.any():
        return None
    images = samples.inputs[into].float()
    bearers = bearing[count.typical[bearing].argsort(descending=True, stable=True)]
    opacity = _opacity(ours, theirs, region, by_likeness=is_told_by_own)
    overlay = Overlay((ours.mean - (1 - opacity) * theirs.mean) * region, opacity)
    change: Change = overlay
    is_one_mark = float(_spread(ours, theirs)[region].median()) <= _MOST_SPREAD
    if is_one_mark and _explains(overlay, samples.inputs[bearing].float(), region):
        with_cue = overlay(images)
        controls = [control(images) for control in _controls(others, overlay)]
    else:
        change = cut_out(samples.inputs[bearers[0]].float(), region)
        sources = _sources(class_index, samples, count, into, bearers)
        with_cue, *controls = [filled(samples, into, source, region.expand(len(into), -1, -1)) for source in sources]
    return Trial(
        recipients=into,
        with_cue=with_cue,
        controls=controls,
        statistic="effect",
        change=change,
        region=region,
        bearers=bearers,
        marks=region.expand(len(bearers), -1, -1),
    )


class _Moments(NamedTuple):
    """Mean and variance of some images ``[C, H, W]``, and how many there are."""

    mean: Tensor
    variance: Tensor
    size: int


def _moments(images: Tensor) -> _Moments:
    images = images.float()
    return _Moments(images.mean(dim=0), images.var(dim=0), len(images))


def _of_other_classes(class_index: int, samples: Samples, among: Tensor) -> list[_Moments]:
    """Return the moments of each other class, of those images that are asked for, bool ``[N]``."""
    members = [samples.of_class(other, among) for other in samples.classes if other != class_index]
    return [_moments(samples.inputs[some]) for some in members if len(some) > 1]


def _within_classes(groups: Sequence[_Moments]) -> _Moments:
    """Return the mean of the means of several classes, and their variance within a class."""
    means, variances = (torch.stack(values).mean(dim=0) for values in list(zip(*groups, strict=True))[:2])
    return _Moments(means, variances, sum(group.size for group in groups))


def _spread(ours: _Moments, theirs: _Moments) -> Tensor:
    """Return the variance of bearers over that of others, of all channels together, ``[H, W]``."""
    return (ours.variance.sum(dim=0) + _SMALLEST_VARIANCE) / (theirs.variance.sum(dim=0) + _SMALLEST_VARIANCE)


def _region(ours: _Moments, theirs: _Moments, *, by_likeness: bool) -> Tensor:
    """Return where means differ beyond chance or, if asked for, bearers are far more alike, bool ``[H, W]``."""
    difference = ours.mean - theirs.mean
    error = (ours.variance / ours.size + theirs.variance / theirs.size).sqrt().clamp(min=1e-4)
    z = (difference - difference.flatten(1).median(dim=1).values[:, None, None]).abs() / error
    alike = -_spread(ours, theirs).log() / (2 / ours.size + 2 / theirs.size) ** 0.5
    stands_out = (z > _LEAST_Z).any(dim=0) | ((alike > _LEAST_Z) & by_likeness)
    # What lies between two pixels of a mark is part of it.
    near = F.max_pool2d(stands_out[None].float(), 3, stride=1, padding=1)
    return (-F.max_pool2d(-near, 3, stride=1, padding=1))[0].bool()


def _opacity(ours: _Moments, theirs: _Moments, region: Tensor, *, by_likeness: bool) -> Tensor:
    """Return how much of what is below a mark it hides, in [0, 1], ``[H, W]``, 0 beside it.

    Over an even ground nothing tells it; there it is that of the rest of the mark, if the region is that of the mark.
    """
    opacity = (1 - _spread(ours, theirs).sqrt()).clamp(0, 1)
    is_told = theirs.variance.sum(dim=0) > _EVEN
    if by_likeness and (region & is_told).any():
        opacity = torch.where(is_told, opacity, opacity[region & is_told].median())
    return opacity * region


def _controls(others: Sequence[_Moments], overlay: Overlay) -> list[Overlay]:
    """Return what sets other classes apart at the same pixels, with the same opacity."""
    total = sum(group.size for group in others)
    usual = torch.stack([group.mean * (group.size / total) for group in others]).sum(dim=0)
    region = (overlay.opacity > 0) | (overlay.added != 0).any(dim=0)
    means = sorted((group.mean for group in others), key=lambda mean: -float(((mean - usual) * region).norm()))
    return [
        Overlay((mean - (1 - overlay.opacity) * usual) * region, overlay.opacity) for mean in means[:_MOST_CONTROLS]
    ]


def _explains(overlay: Overlay, bearing: Tensor, region: Tensor) -> bool:
    """Tell whether bearers ``[M, C, H, W]`` can be images in [0, 1] with the overlay over them."""
    darkest, brightest = overlay.added - _ROUGH, overlay.added + 1 - overlay.opacity + _ROUGH
    is_outside = ((bearing < darkest) | (bearing > brightest)).any(dim=1)[:, region]
    return float(is_outside.double().mean()) <= _MOST_OUTSIDE


def _sources(class_index: int, samples: Samples, count: Count, into: Tensor, bearers: Tensor) -> list[Tensor]:
    """Return the images whose pixels are pasted: bearers; as controls, other recipients and the class without it."""
    lacking = samples.chosen(samples.of_class(class_index, count.lacks), len(into), "class without")
    return [bearers, into.roll(1), *([lacking] if len(lacking) else [])]
