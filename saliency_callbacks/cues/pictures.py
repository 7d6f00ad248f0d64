"""Cues made of pictures: a watermark, and another background."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from saliency_callbacks.config.dotted_paths import resolve_callable
from saliency_callbacks.config.nested import describe
from saliency_callbacks.config.wording import counted
from saliency_callbacks.cues.basic import CueSettings, everywhere
from saliency_callbacks.cues.checks import (
    as_box,
    as_channel_values,
    as_name,
    as_number,
    box_slices,
    channel_values,
    checked_region,
    require_planes,
)
from saliency_callbacks.errors import CueError

__all__ = ["BackgroundCue", "ImageCue"]

_LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in grey, ITU-R BT.601."""


class ImageCue(CueSettings):
    """A picture at a fixed position, such as a watermark, a logo or a hospital tag.

    The picture is read when the cue is made, and resized to the box. Its own transparency is respected: a second or a
    fourth channel is opacity, unless the images it is put into have as many channels. A grey picture fits images of
    any number of channels, and a colored one is made grey for grey images.

    Args:
        image: Path of a file that Pillow reads, an array ``[H, W]`` or ``[H, W, C]``, or a tensor ``[H, W]`` or
            ``[C, H, W]``; ``uint8``, or floats in [0, 1].
        box: ``(top, left, height, width)`` in pixels; a negative top or left counts from the far edge.
        alpha: Opacity in [0, 1], which multiplies the picture's own.
        name: ``{cue}`` in the logged tags.

    Raises:
        CueError: No picture can be read, or an argument is out of its range. When it is used: images that are not
            two-dimensional or whose channels do not fit, or a box outside them.

    Example:
        >>> ImageCue(torch.ones(1, 1), (0, 0, 1, 1), alpha=0.5).insert(torch.zeros(1, 1, 1, 2))
        tensor([[[[0.5000, 0.0000]]]])
    """

    def __init__(
        self,
        image: str | os.PathLike[str] | npt.NDArray[Any] | Tensor,
        box: Sequence[int],
        alpha: float = 1.0,
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(as_name(self, name, "image"))
        self._picture = _read(self, "image", image)
        self.image = os.fspath(image) if isinstance(image, str | os.PathLike) else self._picture
        self.box = as_box(self, box)
        self.alpha = as_number(self, "alpha", alpha, low=0)

    def insert(self, images: Tensor) -> Tensor:
        """Lay the picture over the box."""
        rows, columns = box_slices(self, self.box, images)
        color, opacity = _fitted(self, self._picture, self.box[2:], images)
        marked = images.clone()
        below = marked[:, :, rows, columns]
        marked[:, :, rows, columns] = (below * (1 - self.alpha * opacity) + self.alpha * color).clamp(0, 1)
        return marked

    def mask(self, images: Tensor) -> Tensor:
        """Return the part of the box that is not fully transparent."""
        rows, columns = box_slices(self, self.box, images)
        _, opacity = _fitted(self, self._picture, self.box[2:], images)
        inside = ~everywhere(images)
        inside[:, rows, columns] = self.alpha * opacity > 0
        return inside


class BackgroundCue(CueSettings):
    """Another background behind the object, such as water behind a land bird.

    Args:
        masks: Where the *object* is, bool or shares of which ≥ ½ is object: a tensor ``[N, H, W]`` with one mask for
            each image, a function ``images -> masks`` or its dotted import path, or ``"probe"`` for the probe's own
            masks, which :meth:`with_masks` supplies.
        background: A color in [0, 1], one number or one for each channel; or a picture as in :class:`ImageCue`,
            resized to the images; or a tensor ``[N, C, H, W]`` with a background for each image.
        name: ``{cue}`` in the logged tags.

    Raises:
        ConfigurationError: Nothing can be imported under the path of a function.
        CueError: No picture can be read, or an argument is out of its range. When it is used: images that are not
            two-dimensional, or masks or backgrounds that do not fit them.

    Example:
        >>> images, masks = torch.tensor([[[[0.5, 0.0]]]]), torch.tensor([[[True, False]]])
        >>> BackgroundCue(masks, background=1.0).insert(images)
        tensor([[[[0.5000, 1.0000]]]])
    """

    def __init__(
        self,
        masks: str | Callable[[Tensor], Tensor] | npt.NDArray[Any] | Tensor,
        background: float | Sequence[float] | str | os.PathLike[str] | npt.NDArray[Any] | Tensor,
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(as_name(self, name, "background"))
        self.masks = _as_masks(masks)
        self.background, self._scenery = _as_background(self, background)

    @property
    def is_bound(self) -> bool:
        """Whether it fits only the images that its masks or backgrounds were made for, one for each."""
        return isinstance(self.masks, Tensor) or (isinstance(self._scenery, Tensor) and self._scenery.ndim == 4)

    def with_masks(self, masks: Tensor | None) -> BackgroundCue:
        """Return this cue with the probe's masks ``[N, H, W]`` where it waits for them, else itself.

        Raises:
            CueError: The probe has no masks.
        """
        if not (isinstance(self.masks, str) and self.masks == "probe"):
            return self
        if masks is None:
            raise CueError(
                f"{self!r} needs the masks of the objects, but the probe has none. Use a probe with masks, e.g. "
                "Probe.from_tensors(inputs, labels, masks=masks), or give BackgroundCue(masks=…) a function"
            )
        bound = copy.copy(self)
        bound.masks = _as_masks(masks)
        return bound

    def insert(self, images: Tensor) -> Tensor:
        """Replace every pixel outside the object."""
        if isinstance(self._scenery, Tensor):
            color, opacity = self._pictures(self._scenery, images)
        else:
            require_planes(self, images)
            color, opacity = channel_values(self, "background", self._scenery, images), images.new_ones(1)
        return torch.where(self.mask(images)[:, None], (images * (1 - opacity) + color).clamp(0, 1), images)

    def mask(self, images: Tensor) -> Tensor:
        """Return the background."""
        require_planes(self, images)
        if isinstance(self.masks, Tensor):
            return ~checked_region(self, self.masks, images)
        if self.masks == "probe":
            raise CueError(f"{self!r} has no masks yet. Call with_masks(masks) with the masks of the probe first")
        find_objects = resolve_callable("BackgroundCue(masks=...)", self.masks)
        assert find_objects is not None, "checked when the cue was made"
        return ~checked_region(self, find_objects(images.clone()), images)

    def _pictures(self, scenery: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
        if scenery.ndim == 3:
            require_planes(self, images)
            return _fitted(self, scenery, tuple(images.shape[2:]), images)
        if scenery.shape != images.shape:
            raise CueError(
                f"the backgrounds of {self!r} have shape {list(scenery.shape)}, but the images {list(images.shape)}. "
                "Give one background per image, of the same shape, or a single one [C, H, W] for all"
            )
        return scenery.to(images), images.new_ones(1)


def _as_masks(masks: Any) -> str | Callable[[Tensor], Tensor] | Tensor:
    if isinstance(masks, Tensor | np.ndarray):
        return torch.as_tensor(masks).detach().cpu().clone()
    if masks == "probe":
        return "probe"
    if masks is None:
        raise CueError(
            "BackgroundCue(masks=None); expected masks of the objects: a tensor [N, H, W], a function images -> masks "
            "or its import path, or 'probe' for the probe's masks"
        )
    resolve_callable("BackgroundCue(masks=...)", masks)
    return masks  # type: ignore[no-any-return]


def _as_background(owner: object, background: Any) -> tuple[Any, Tensor | float | tuple[float, ...]]:
    """Return the setting as it is kept, and the background as numbers."""
    if isinstance(background, str | os.PathLike):
        return os.fspath(background), _read(owner, "background", background)
    if isinstance(background, Tensor | np.ndarray):
        pixels = _pixels(owner, "background", background, dimensions=(2, 3, 4))
        return pixels, pixels
    color = as_channel_values(owner, "background", background, low=0)
    return color, color


def _read(owner: object, argument: str, source: Any) -> Tensor:
    """Return a picture ``[C, H, W]`` in [0, 1] from a file, an array or a tensor."""
    if not isinstance(source, str | os.PathLike):
        return _pixels(owner, argument, source, dimensions=(2, 3))
    path = Path(source).expanduser().absolute()
    try:
        with Image.open(path) as file:
            if file.mode.startswith("I"):  # 16 bits a pixel, which a conversion to 8 would cut off
                return _pixels(owner, argument, np.asarray(file, dtype=np.float32) / 65535, dimensions=(2,))
            colors = "L" if file.mode in {"1", "L", "LA", "La"} else "RGB"
            opacity = "A" if file.has_transparency_data else ""
            return _pixels(owner, argument, np.array(file.convert(colors + opacity)), dimensions=(2, 3))
    except OSError as error:
        raise CueError(
            f"{type(owner).__name__}({argument}={os.fspath(source)!r}) cannot be read as an image "
            f"({type(error).__name__}: {error}). Give the path of an image file, such as a PNG; relative paths start "
            f"at {Path.cwd()}"
        ) from error


def _pixels(owner: object, argument: str, given: Any, dimensions: tuple[int, ...]) -> Tensor:
    """Return an array (channels last) or a tensor (channels first) as a copy in float32, in [0, 1]."""
    pixels = torch.tensor(given) if isinstance(given, np.ndarray) else given
    if not isinstance(pixels, Tensor) or pixels.ndim not in dimensions or not pixels.numel():
        raise CueError(
            f"{type(owner).__name__}({argument}={describe(given)}); expected the path of an image, an array [H, W] or "
            "[H, W, C], or a tensor [H, W] or [C, H, W]"
        )
    scale = 255 if pixels.dtype == torch.uint8 else 1
    pixels = pixels.detach().to("cpu", torch.float32, copy=True) / scale
    if not ((pixels >= 0) & (pixels <= 1)).all():
        raise CueError(
            f"{type(owner).__name__}({argument}={describe(given)}) has values from {pixels.min():g} to "
            f"{pixels.max():g}; expected uint8, or floats from 0 (black) to 1 (white). Divide 8-bit values by 255"
        )
    if pixels.ndim == 2:
        return pixels[None]
    return pixels.movedim(-1, -3) if isinstance(given, np.ndarray) else pixels


def _fitted(owner: object, picture: Tensor, size: tuple[int, ...], images: Tensor) -> tuple[Tensor, Tensor]:
    """Return color times opacity ``[C, *size]``, for the channels of the images, and opacity ``[1, *size]``."""
    channels = images.shape[1]
    has_opacity = len(picture) in {2, 4} and len(picture) != channels
    color, opacity = (picture[:-1], picture[-1:]) if has_opacity else (picture, torch.ones_like(picture[:1]))
    if len(color) == 3 and channels == 1:
        color = (color * torch.tensor(_LUMA).view(3, 1, 1)).sum(dim=0, keepdim=True)
    if len(color) not in {1, channels}:
        raise CueError(
            f"the image of {owner!r} has {counted(len(color), 'color channel')}, but the inputs {list(images.shape)} "
            f"have {channels}. Give an image with as many channels, or a gray one"
        )
    # Multiplied before it is resized: the color of a transparent pixel, often black, must not bleed into the edge.
    resized = _resized(torch.cat([color.expand(channels, -1, -1) * opacity, opacity]), size).to(images)
    return resized[:-1], resized[-1:]


def _resized(planes: Tensor, size: tuple[int, ...]) -> Tensor:
    if planes.shape[1:] == size:
        return planes
    height, width = size
    resized = [Image.fromarray(plane.numpy()).resize((width, height), Image.Resampling.BILINEAR) for plane in planes]
    return torch.stack([torch.tensor(np.asarray(plane)) for plane in resized])
