"""Checks of what a user writes as arguments of a cue, and of whether the cue fits the images."""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable
from typing import Any

from torch import Tensor

from saliency_callbacks.config.checks import is_real
from saliency_callbacks.config.nested import describe
from saliency_callbacks.config.wording import counted
from saliency_callbacks.errors import CueError

__all__ = [
    "Box",
    "as_box",
    "as_channel_values",
    "as_name",
    "as_number",
    "box_slices",
    "channel_values",
    "check_changed",
    "checked_output",
    "checked_region",
    "require_planes",
]

Box = tuple[int, int, int, int]
"""``(top, left, height, width)`` in pixels; a negative top or left counts from the far edge."""

_NAME = re.compile(r"[A-Za-z0-9_-]+")


def check_changed(changed: Tensor, cue: object) -> None:
    """Refuse a cue that changes no sample.

    Args:
        changed: Which samples it changes, bool ``[N]``.
        cue: The cue, named in the message.

    Raises:
        CueError: No sample is changed.
    """
    if not changed.any():
        raise CueError(
            f"the cue {cue!r} changes none of the probe's {counted(len(changed), 'sample')}; expected samples without "
            "the cue. Give a probe without it, or another value, position or amount"
        )


def as_name(owner: object, name: str | None, default: str) -> str:
    """Return the name of a cue, which becomes part of the logged tags; ``default`` for ``None``."""
    if name is None:
        return default if _NAME.fullmatch(default) else "function"
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise CueError(
            f"{type(owner).__name__}(name={name!r}) cannot be part of a tag; expected letters, digits, '_' and '-', "
            "such as 'hospital_tag'"
        )
    return name


def as_box(owner: object, box: Any) -> Box:
    """Return ``box`` as four integers, of which the last two are positive."""
    try:
        top, left, height, width = (operator.index(number) for number in box)
    except (TypeError, ValueError):
        height = width = 0
    if height < 1 or width < 1:
        raise CueError(
            f"{type(owner).__name__}(box={box!r}); expected four integers (top, left, height, width) with positive "
            "height and width, such as (-2, -2, 2, 2) for the lower right corner"
        )
    return top, left, height, width


def as_number(owner: object, argument: str, value: Any, *, low: float) -> float:
    """Return ``value`` as a ``float`` from ``low`` to 1."""
    if not is_real(value, low, 1):
        raise CueError(
            f"{type(owner).__name__}({argument}={value!r}); expected a number from {low:g} to 1, because cues work on "
            "images with values from 0 (black) to 1 (white). Divide 8-bit values by 255"
        )
    return float(value)


def as_channel_values(owner: object, argument: str, value: Any, *, low: float) -> float | tuple[float, ...]:
    """Return ``value``, one number or one for each channel, as a float or a tuple of such."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        return as_number(owner, argument, value, low=low)
    return tuple(as_number(owner, argument, each, low=low) for each in value)


def channel_values(owner: object, argument: str, value: float | tuple[float, ...], images: Tensor) -> Tensor:
    """Return ``value`` in a shape that broadcasts with images ``[N, C, *spatial]``."""
    values = images.new_tensor(value).flatten()
    if isinstance(value, tuple) and len(value) != images.shape[1]:
        raise CueError(
            f"{owner!r} has {counted(len(value), 'number')} as its {argument}, but the images {list(images.shape)} "
            f"have {counted(images.shape[1], 'channel')}. Give one number per channel, or a single number for all"
        )
    return values.view(1, -1, *[1] * (images.ndim - 2))


def require_planes(owner: object, images: Tensor) -> None:
    """Refuse images that are not ``[N, C, height, width]``."""
    if images.ndim != 4:
        raise CueError(
            f"{owner!r} was given images of shape {list(images.shape)}; expected [N, C, height, width]. For signals "
            "and volumes, use BrightnessCue, ChannelShiftCue or FunctionCue"
        )


def box_slices(owner: object, box: Box, images: Tensor) -> tuple[slice, slice]:
    """Return rows and columns of the box in images ``[N, C, height, width]``.

    Raises:
        CueError: The images are not planes, or the box is not inside them.
    """
    require_planes(owner, images)
    size = tuple(images.shape[2:])
    starts = [start + extent if start < 0 else start for start, extent in zip(box[:2], size, strict=True)]
    spans = [slice(start, start + length) for start, length in zip(starts, box[2:], strict=True)]
    if any(span.start < 0 or span.stop > extent for span, extent in zip(spans, size, strict=True)):
        height, width = (min(length, extent) for length, extent in zip(box[2:], size, strict=True))
        raise CueError(
            f"the box {box} of {owner!r} extends beyond the images, which are {size[0]} pixels high and {size[1]} "
            f"wide; expected (top, left, height, width) inside them, such as {(-height, -width, height, width)} for "
            "the lower right corner"
        )
    return spans[0], spans[1]


def checked_region(owner: object, region: Any, images: Tensor) -> Tensor:
    """Return a mask ``[N, *spatial]``, bool or shares, as bool on the device of the images.

    Raises:
        CueError: It has another shape than the images without their channels.
    """
    expected = [len(images), *images.shape[2:]]
    if not isinstance(region, Tensor) or list(region.shape) != expected:
        raise CueError(
            f"{owner!r} has masks {describe(region)} for images {list(images.shape)}; expected {expected}, one mask "
            "per image, without a channel dimension (masks.squeeze(1))"
        )
    return (region >= 0.5).to(images.device)


def checked_output(owner: object, output: Any, images: Tensor) -> Tensor:
    """Return what a user's function made of images, kept in [0, 1].

    Raises:
        CueError: It is no tensor of finite numbers of the same shape.
    """
    if not isinstance(output, Tensor) or output.shape != images.shape or not output.isfinite().all():
        found = f"{describe(output)} with values that are not finite" if _is_alike(output, images) else describe(output)
        raise CueError(
            f"{owner!r} returned {found} for images of shape {list(images.shape)}; expected images of the same shape "
            "with values in [0, 1]"
        )
    return output.detach().to(images).clamp(0, 1)


def _is_alike(output: Any, images: Tensor) -> bool:
    """Whether ``output`` is a tensor of the shape of ``images``."""
    return isinstance(output, Tensor) and output.shape == images.shape
