"""From the maps of a batch to masks and boxes."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from saliency_callbacks.errors import ConfigurationError, InputError
from saliency_callbacks.functional.localization import mask_boxes
from saliency_callbacks.functional.maps import degenerate
from saliency_callbacks.localization.components import largest_component, without_holes
from saliency_callbacks.localization.masks import above_otsu, above_share, grabcut
from saliency_callbacks.localization.opencv import aside
from saliency_callbacks.localization.settings import Localization
from saliency_callbacks.rendering.images import display_images
from saliency_callbacks.types import Attribution, Outlines

__all__ = ["check_dimensions", "found_outlines", "localize"]

_PICTURE_DIMENSIONS = 2

_Pictures = npt.NDArray[np.uint8]


def localize(
    attribution: Attribution, images: Tensor | None = None, localization: Localization = Localization()
) -> Outlines:
    """Return where maps say that the object is: a mask for each sample, and of images the box around it.

    Args:
        attribution: The maps, e.g. of :func:`saliency_callbacks.explain`.
        images: What was explained, ``[N, C, H, W]``, for ``mask="grabcut"``; shown as
            :func:`saliency_callbacks.rendering.display_images` shows it.
        localization: How they are found.

    Returns:
        ``masks [N, *spatial]`` and, of images, ``boxes [N, 4]``. A map that is constant or not finite has an empty mask
        and no box, which is NaN.

    Raises:
        ConfigurationError: If OpenCV is not installed, or maps of signals or volumes are to be found by GrabCut.
        InputError: If the images are missing, or not those of the maps.

    Example:
        >>> from saliency_callbacks import explain
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 2, bias=False))
        >>> _ = model[1].weight.data.zero_()[1].view(4, 4)[1:3, 2:] = 1.0
        >>> attribution = explain(model, torch.ones(1, 1, 4, 4), methods="gradient", target=1)["gradient"]
        >>> localize(attribution, localization=Localization(mask=0.2)).boxes
        tensor([[2., 1., 4., 3.]])
    """
    spatial = tuple(attribution.heatmap.shape)
    if localization.mask != "grabcut":
        return found_outlines(attribution, None, localization)
    check_dimensions(len(spatial) - 1, localization)
    if images is None:
        raise InputError(
            "mask='grabcut' needs the images, which were not given; expected localize(attribution, images) with what "
            "was explained, [N, C, H, W]. Or use mask='otsu', which looks at the map alone"
        )
    if images.ndim != 4 or (len(images), *images.shape[2:]) != spatial:
        raise InputError(
            f"got images of shape {list(images.shape)} for maps of shape {list(spatial)}; expected [N, C, H, W] with "
            "one image per map, of the same height and width"
        )
    return found_outlines(attribution, display_images(images), localization)


def check_dimensions(n_spatial: int, localization: Localization) -> None:
    """Raise unless samples of that many spatial dimensions can be localized in that way.

    Raises:
        ConfigurationError: If they are signals or volumes, and it is a GraphCut of pictures.
    """
    if localization.mask == "grabcut" and n_spatial != _PICTURE_DIMENSIONS:
        raise ConfigurationError(
            f"mask='grabcut' of samples with {n_spatial} spatial dimension{'s' if n_spatial != 1 else ''}; expected 2, "
            "because it cuts pictures. Use Localization(mask='otsu') or a share of the maximum, e.g. "
            "Localization(mask=0.2), which look at the map alone"
        )


def found_outlines(attribution: Attribution, pictures: _Pictures | None, how: Localization) -> Outlines:
    """Return what :func:`localize` returns.

    Args:
        attribution: The maps.
        pictures: The samples as pictures, ``uint8 [N, H, W, 3]``; only needed for a GraphCut.
        how: How outlines are found.

    Raises:
        ConfigurationError: If OpenCV is not installed.
    """
    heat = attribution.heatmap.detach().float().cpu().numpy()
    is_usable = ~degenerate(attribution.heatmap).cpu().numpy()
    masks = torch.from_numpy(aside(partial(_masks, heat, is_usable, pictures, how)))
    return Outlines(boxes=mask_boxes(masks) if heat.ndim - 1 == _PICTURE_DIMENSIONS else None, masks=masks)


def _masks(
    heat: npt.NDArray[np.float32],
    is_usable: npt.NDArray[np.bool_],
    pictures: _Pictures | None,
    how: Localization,
    cv2: Any,
) -> npt.NDArray[np.bool_]:
    masks = np.zeros(heat.shape, np.bool_)
    for place in np.flatnonzero(is_usable):
        picture = None if pictures is None else pictures[place]
        largest = largest_component(_mask(heat[place], picture, how, cv2), cv2)
        masks[place] = without_holes(largest, cv2) if how.mask == "grabcut" else largest
    return masks


def _mask(
    heat: npt.NDArray[np.float32], picture: _Pictures | None, how: Localization, cv2: Any
) -> npt.NDArray[np.bool_]:
    if how.mask == "otsu":
        return above_otsu(heat, cv2)
    if how.mask != "grabcut":
        return above_share(heat, float(how.mask))
    assert picture is not None, "checked before"
    return grabcut(heat, picture, how, cv2)
