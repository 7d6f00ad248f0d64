"""Putting a mark at a place into images of other classes, and controls of the same shape."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F

from saliency_callbacks.discovery.candidate import Count, Trial
from saliency_callbacks.discovery.changes import Change, Overlay
from saliency_callbacks.discovery.images.transplants import cut_out, filled, recipients
from saliency_callbacks.discovery.samples import Samples

__all__ = ["marked"]

_MOST_CONTROLS = 3
_FEWEST_OF_A_KIND = 8
_LEAST_Z = 4.0
_SMALLEST_VARIANCE = 1e-5
_ROUGH = 0.05
"""How far an overlay that is estimated from some dozens of images may be off."""

_MOST_SPREAD = 1.3
"""No overlay makes images differ more; what is estimated from some dozens of them may say so."""

_MOST_OUTSIDE = 0.02
"""Share of pixels that no image below an overlay explains: of one mark less than .01, of dates more than .04."""


def marked(class_index: int, samples: Samples, count: Count) -> Trial | None:
    """Put the mark that sets bearers apart from others into images of other classes.

    Bearers of one mark are more alike where it is than other images are, since it hides some of them or all; it is laid
    over images with the opacity that follows. A mark that differs from one bearer to the next, such as a date, is no
    overlay, and its mean is a blur; then the pixels of bearers are pasted.

    Args:
        class_index: The class c.
        samples: What is searched.
        count: Who bears it.
    """
    into = recipients(class_index, samples, count)
    bearing = samples.of_class(class_index, count.bears)
    lacking = samples.of_class(class_index, ~count.bears)
    if len(lacking) < _FEWEST_OF_A_KIND:
        # With the class's own images the object cancels out; where all bear the mark, it has to be told apart.
        lacking = ((samples.labels != class_index) & ~count.bears).nonzero()[:, 0]
    if len(into) < 2 or len(bearing) < _FEWEST_OF_A_KIND or len(lacking) < _FEWEST_OF_A_KIND:
        return None
    ours, theirs = _moments(samples.inputs[bearing]), _moments(samples.inputs[lacking])
    region = _region(ours, theirs)
    if not region.any():
        return None
    images = samples.inputs[into].float()
    bearers = bearing[count.typical[bearing].argsort(descending=True, stable=True)]
    overlays = _overlays(class_index, samples, count, ours, theirs, region)
    change: Change = overlays[0]
    is_one_mark = float(_spread(ours, theirs)[region].median()) <= _MOST_SPREAD
    if is_one_mark and _explains(overlays[0], samples.inputs[bearing].float(), region):
        with_cue, *controls = [overlay(images) for overlay in overlays]
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


def _spread(ours: _Moments, theirs: _Moments) -> Tensor:
    """Return the variance of bearers over that of others, of all channels together, ``[H, W]``."""
    return (ours.variance.sum(dim=0) + _SMALLEST_VARIANCE) / (theirs.variance.sum(dim=0) + _SMALLEST_VARIANCE)


def _region(ours: _Moments, theirs: _Moments) -> Tensor:
    """Return where means differ beyond chance, or bearers are far more alike, bool ``[H, W]``."""
    difference = ours.mean - theirs.mean
    error = (ours.variance / ours.size + theirs.variance / theirs.size).sqrt().clamp(min=1e-4)
    z = (difference - difference.flatten(1).median(dim=1).values[:, None, None]).abs() / error
    alike = -_spread(ours, theirs).log() / (2 / ours.size + 2 / theirs.size) ** 0.5
    stands_out = (z > _LEAST_Z).any(dim=0) | (alike > _LEAST_Z)
    # What lies between two pixels of a mark is part of it.
    near = F.max_pool2d(stands_out[None].float(), 3, stride=1, padding=1)
    return (-F.max_pool2d(-near, 3, stride=1, padding=1))[0].bool()


def _overlays(
    class_index: int, samples: Samples, count: Count, ours: _Moments, theirs: _Moments, region: Tensor
) -> list[Overlay]:
    """Return the mark as an overlay; and for a control, with the same opacity, what sets other classes apart there."""
    opacity = (1 - _spread(ours, theirs).sqrt()).clamp(0, 1) * region
    usual = samples.inputs[count.lacks].float().mean(dim=0)
    members = [samples.of_class(other, count.lacks) for other in samples.classes if other != class_index]
    means = [samples.inputs[some].float().mean(dim=0) for some in members if len(some)]
    means.sort(key=lambda mean: float(((mean - usual) * region).norm()), reverse=True)
    pairs = [(ours.mean, theirs.mean), *((mean, usual) for mean in means[:_MOST_CONTROLS])]
    return [Overlay((with_it - (1 - opacity) * without) * region, opacity) for with_it, without in pairs]


def _explains(overlay: Overlay, bearing: Tensor, region: Tensor) -> bool:
    """Tell whether bearers ``[M, C, H, W]`` can be images in [0, 1] with the overlay over them."""
    darkest, brightest = overlay.added - _ROUGH, overlay.added + 1 - overlay.opacity + _ROUGH
    is_outside = ((bearing < darkest) | (bearing > brightest)).any(dim=1)[:, region]
    return float(is_outside.double().mean()) <= _MOST_OUTSIDE


def _sources(class_index: int, samples: Samples, count: Count, into: Tensor, bearers: Tensor) -> list[Tensor]:
    """Return whose pixels are pasted: bearers'; for controls other recipients', and those of the class without it."""
    lacking = samples.chosen(samples.of_class(class_index, count.lacks), len(into), "class without")
    return [bearers, into.roll(1), *([lacking] if len(lacking) else [])]
