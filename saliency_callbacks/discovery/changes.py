"""What puts a discovered cue into an input: pasted pixels, an added difference, a shifted property.

Each is a small value of tensors, numbers and strings, so that it can be stored; :meth:`Change.to_cue` makes of it a cue
that :class:`~saliency_callbacks.callbacks.cue.alarm.CueAlarm` takes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from saliency_callbacks.config.nested import describe
from saliency_callbacks.cues.basic import FunctionCue
from saliency_callbacks.cues.pictures import ImageCue
from saliency_callbacks.discovery.images.resampling import through_smaller, widened
from saliency_callbacks.functional.image_properties import shift_property

__all__ = ["AddedDifference", "Change", "OtherSize", "PastedPixels", "ShiftedProperty"]


class Change(Protocol):
    """Puts a cue into inputs."""

    def __call__(self, inputs: Tensor, /) -> Tensor:
        """Return inputs of the same shape with the cue."""

    def to_cue(self, name: str) -> Any:
        """Return the same as a cue that :class:`~saliency_callbacks.callbacks.cue.alarm.CueAlarm` takes."""


@dataclass(frozen=True, eq=False)
class PastedPixels:
    """Pixels at a fixed place.

    Args:
        pixels: ``[C, h, w]`` in [0, 1].
        mask: Which of them are pasted, bool ``[h, w]``.
        top: Row of the first one.
        left: Column of the first one.

    Example:
        >>> PastedPixels(torch.ones(1, 1, 1), torch.ones(1, 1, dtype=torch.bool), 0, 1)(torch.zeros(1, 1, 1, 2))
        tensor([[[[0., 1.]]]])
    """

    pixels: Tensor
    mask: Tensor
    top: int
    left: int

    def __repr__(self) -> str:
        return f"{type(self).__name__}({describe(self.pixels)}, top={self.top}, left={self.left})"

    def __call__(self, images: Tensor) -> Tensor:
        """Paste the pixels into images ``[N, C, H, W]``."""
        height, width = self.mask.shape
        rows, columns = slice(self.top, self.top + height), slice(self.left, self.left + width)
        pasted = images.clone()
        mask, pixels = self.mask.to(images.device), self.pixels.to(images)
        pasted[:, :, rows, columns] = torch.where(mask, pixels, images[:, :, rows, columns])
        return pasted

    def to_cue(self, name: str) -> Any:
        """Return an :class:`~saliency_callbacks.probe.ImageCue`, or a function's for other than 1 or 3 channels."""
        if len(self.pixels) not in (1, 3):
            return FunctionCue(self, name=name)
        picture = torch.cat([self.pixels, self.mask[None].to(self.pixels)])
        return ImageCue(picture, (self.top, self.left, *self.mask.shape), name=name)


@dataclass(frozen=True, eq=False)
class AddedDifference:
    """A difference that is added everywhere, such as that of a translucent mark.

    Args:
        difference: ``[C, H, W]``, 0 where nothing is added.

    Example:
        >>> AddedDifference(torch.tensor([[[0.0, 0.25]]]))(torch.full((1, 1, 1, 2), 0.5))
        tensor([[[[0.5000, 0.7500]]]])
    """

    difference: Tensor

    def __repr__(self) -> str:
        return f"{type(self).__name__}({describe(self.difference)})"

    def __call__(self, images: Tensor) -> Tensor:
        """Add the difference to images ``[N, C, H, W]``, kept in [0, 1]."""
        return (images + self.difference.to(images)).clamp(0, 1)

    def to_cue(self, name: str) -> Any:
        """Return a :class:`~saliency_callbacks.probe.FunctionCue`."""
        return FunctionCue(self, name=name)


@dataclass(frozen=True, eq=False)
class ShiftedProperty:
    """A property of the whole image, such as its brightness, moved by an amount.

    Args:
        name: Which one, see :data:`~saliency_callbacks.functional.image_properties.PROPERTIES`.
        amount: How far, in the property's unit.

    Example:
        >>> round(ShiftedProperty("brightness", 0.25)(torch.full((1, 1, 4, 4), 0.5)).mean().item(), 2)
        0.75
    """

    name: str
    amount: float

    def __call__(self, images: Tensor) -> Tensor:
        """Shift the property of images ``[N, C, H, W]``, kept in [0, 1]."""
        return shift_property(images, self.name, self.amount)

    def to_cue(self, name: str) -> Any:
        """Return a :class:`~saliency_callbacks.probe.FunctionCue`."""
        return FunctionCue(self, name=name)


@dataclass(frozen=True, eq=False)
class OtherSize:
    """Another size or aspect ratio of the stored image, as it shows in the image that was resized from it.

    Args:
        name: ``"size"`` or ``"aspect"``.
        amount: Logarithm of the factor: of the pixels, or of width over height. More pixels than there were change
            nothing.

    Example:
        >>> import math
        >>> OtherSize("size", -2 * math.log(2))(torch.eye(2)[None, None])
        tensor([[[[0.5000, 0.5000],
                  [0.5000, 0.5000]]]])
    """

    name: str
    amount: float

    def __call__(self, images: Tensor) -> Tensor:
        """Return images ``[N, C, H, W]`` as if they had been stored in another size."""
        if self.name == "size":
            return through_smaller(images, math.exp(self.amount / 2)).clamp(0, 1)
        return widened(images, math.exp(self.amount)).clamp(0, 1)

    def to_cue(self, name: str) -> Any:
        """Return a :class:`~saliency_callbacks.probe.FunctionCue`."""
        return FunctionCue(self, name=name)
