"""Images of several sizes, brought to one: what can still be searched for, and what cannot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from saliency_callbacks.errors import ProbeError, warn

__all__ = ["are_of_several_sizes", "brought_to_one_size", "kinds_of_resized"]

_SEARCHABLE = ("properties",)
"""Resizing blurs copies, and moves marks to other places."""


def are_of_several_sizes(images: Any) -> bool:
    """Return whether these are images ``[C, H, W]`` that do not make one tensor."""
    is_list = isinstance(images, list | tuple) and len(images) > 1
    return is_list and all(_is_image(image) for image in images) and len({image.shape for image in images}) > 1


def brought_to_one_size(images: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Resize images to their median height and width.

    Args:
        images: ``[C, H, W]`` each, in [0, 1] or ``uint8``.

    Returns:
        The images ``[N, C, H, W]``, whose values stay in their range, and the height and width that each had,
        ``int64 [N, 2]``.

    Raises:
        ProbeError: If they do not have equally many channels.

    Example:
        >>> images, sizes = brought_to_one_size([torch.ones(1, 2, 2), torch.ones(1, 4, 4), torch.ones(1, 4, 4)])
        >>> images.shape, sizes.tolist()
        (torch.Size([3, 1, 4, 4]), [[2, 2], [4, 4], [4, 4]])
    """
    channels = {image.shape[0] for image in images}
    if len(channels) > 1:
        raise ProbeError(f"the images have {sorted(channels)} channels; expected the same number for all")
    sizes = torch.tensor([list(image.shape[1:]) for image in images])
    height, width = sizes.median(dim=0).values.tolist()
    display = [image.float() / 255 if image.dtype == torch.uint8 else image.float() for image in images]
    resized = [
        F.interpolate(image[None], size=(height, width), mode="bilinear", antialias=True)[0] for image in display
    ]
    return torch.stack(resized), sizes


def kinds_of_resized(kinds: Sequence[str], sizes: Tensor) -> tuple[str, ...]:
    """Return the kinds that can still be searched for, and say which cannot.

    Args:
        kinds: What is asked for.
        sizes: Height and width of each image, ``[N, 2]``.

    Raises:
        ProbeError: If none is left.
    """
    left = tuple(kind for kind in kinds if kind in _SEARCHABLE)
    lost = [kind for kind in kinds if kind not in _SEARCHABLE]
    n_sizes = len(sizes.unique(dim=0))
    said = (
        f"the {len(sizes)} images are of {n_sizes} sizes and were resized to one, which blurs copies and shifts "
        "positions"
    )
    if not left:
        raise ProbeError(
            f"{said}, so kinds={list(kinds)} cannot be searched for; expected 'properties' among them (which then "
            "include size and aspect ratio), or images of one size"
        )
    if lost:
        warn("several sizes", f"{said}, so {' and '.join(lost)} are not searched for, and {' and '.join(left)} are")
    return left


def _is_image(image: Any) -> bool:
    return isinstance(image, Tensor) and image.ndim == 3
