"""Attributions → pictures at the size of the probe's own pictures."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from saliency_callbacks.errors import InputError
from saliency_callbacks.functional.maps import percentile
from saliency_callbacks.rendering import colormap as colors
from saliency_callbacks.rendering.images import display_maps
from saliency_callbacks.rendering.legend import Style, check_style
from saliency_callbacks.rendering.tiles import check_pictures
from saliency_callbacks.types import Attribution

__all__ = ["render", "signed_scale"]

_INTERPOLATION = {1: "linear", 2: "bilinear", 3: "trilinear"}
_SIGNED_QUANTILE = 0.99


def render(
    attribution: Attribution,
    images: npt.NDArray[np.uint8],
    *,
    style: Style = "overlay",
    scale: Tensor | None = None,
    colormap: str = colors.DEFAULT_COLORMAP,
    alpha: float = colors.DEFAULT_ALPHA,
) -> npt.NDArray[np.uint8]:
    """Render an attribution for pictures of the same samples.

    ``overlay``, ``heatmap`` and ``greyscale`` show ``magnitude / scale`` if a scale is given, so that colours compare
    between epochs, else each map's own ``heatmap``. ``signed`` (channel sum; red positive, blue negative) and
    ``signed_color`` (channels as RGB, grey zero) show ``values``, relative to ``scale`` or else to `signed_scale`.

    Args:
        attribution: What to show.
        images: The samples as pictures, ``uint8 [N, H, W, 3]``, from `display_images`.
        style: One of ``overlay``, ``heatmap``, ``signed``, ``signed_color``, ``greyscale``.
        scale: What gets the full colour, ``[N]`` or one number for all; in units of ``magnitude``, or of ``values``
            for signed styles. Where it is not positive the map is shown as zero.
        colormap: Name of a Matplotlib colour map, for ``overlay`` and ``heatmap``; ``auto`` is ``rainbow`` for an
            overlay and ``inferno`` for a heatmap.
        alpha: Opacity of the hottest place of an ``overlay``, in [0, 1].

    Returns:
        ``uint8 [N, H, W, 3]``.

    Raises:
        ConfigurationError: If there is no such style or colour map, or ``alpha`` is outside [0, 1].
        InputError: If the images are not ``uint8 [N, H, W, 3]``, or are not as many as the maps or the scales.
    """
    check_style(style)
    check_pictures(images, "images")
    count = attribution.heatmap.shape[0]
    if len(images) != count:
        raise InputError(f"Got {len(images)} images for an attribution of {count} samples; expected one for each")
    size = images.shape[1], images.shape[2]
    if style in ("signed", "signed_color"):
        return _render_signed(attribution, size, style, scale)
    heat = display_maps(_heat(attribution, scale), size)
    if style == "greyscale":
        return colors.greyscale(heat)
    if style == "heatmap":
        return colors.apply(heat, colormap)
    return colors.overlay(images, heat, colormap=colormap, alpha=alpha)


def signed_scale(values: Tensor) -> Tensor:
    """Return the 99th percentile of the absolute values of each sample, or their maximum where that is 0.

    Args:
        values: ``[N, ...]``; what is not finite counts as 0.

    Returns:
        ``[N]``, on the CPU.
    """
    sizes = _finite(values).abs().flatten(1)
    full = percentile(sizes, _SIGNED_QUANTILE)
    return torch.where(full > 0, full, sizes.amax(dim=1))


def _heat(attribution: Attribution, scale: Tensor | None) -> Tensor:
    if scale is None:
        return attribution.heatmap
    magnitude = _finite(attribution.magnitude)
    divisor = _per_sample(scale, len(magnitude)).view(-1, *[1] * (magnitude.ndim - 1))
    return torch.where(divisor > 0, magnitude / divisor, 0.0).clamp(0, 1)


def _render_signed(
    attribution: Attribution, size: tuple[int, int], style: Style, scale: Tensor | None
) -> npt.NDArray[np.uint8]:
    values = _finite(attribution.values)
    if style == "signed" or values.shape[1] not in (1, 3):
        values = values.sum(dim=1, keepdim=True)
        style = "signed"
    spatial = attribution.heatmap.shape[1:]
    if values.shape[2:] != spatial:
        values = F.interpolate(values, size=tuple(spatial), mode=_INTERPOLATION[len(spatial)], align_corners=False)
    full = signed_scale(values) if scale is None else _per_sample(scale, len(values))
    channels = [display_maps(channel, size) for channel in values.unbind(dim=1)]
    if style == "signed":
        return colors.signed(channels[0], full.numpy())
    return colors.signed_color(np.stack(channels, axis=1), full.numpy())


def _per_sample(scale: Tensor, count: int) -> Tensor:
    given = _finite(torch.as_tensor(scale)).flatten()
    if given.numel() not in (1, count):
        raise InputError(f"Got {given.numel()} scales for {count} samples; expected one, or one for each")
    return given.expand(count)


def _finite(tensor: Tensor) -> Tensor:
    return torch.nan_to_num(tensor.detach().float().cpu(), nan=0.0, posinf=0.0, neginf=0.0)
