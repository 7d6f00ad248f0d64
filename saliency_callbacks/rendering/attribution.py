"""Attributions → pictures at the size of the pictures of their inputs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from saliency_callbacks.errors import InputError
from saliency_callbacks.functional.maps import percentile, resize, signed_map
from saliency_callbacks.rendering import colormap as colors
from saliency_callbacks.rendering.images import at_size, display_maps, finite
from saliency_callbacks.rendering.legend import Style, check_style
from saliency_callbacks.rendering.tiles import check_pictures
from saliency_callbacks.types import Attribution

__all__ = ["as_attribution", "drawn_maps", "render", "signed_scale"]

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

    ``overlay``, ``heatmap`` and ``greyscale`` show ``magnitude / scale`` if a scale is given, so that colors compare
    between epochs, else each map's own ``heatmap``. ``signed`` (channel sum; red positive, blue negative) and
    ``signed_color`` (channels as RGB, grey zero) show ``values``, relative to ``scale`` or else to `signed_scale`.

    Args:
        attribution: What to show.
        images: The samples as pictures, ``uint8 [N, H, W, 3]``, from `display_images`. Reduce large ones first: maps
            are drawn at their size.
        style: One of ``overlay``, ``heatmap``, ``signed``, ``signed_color``, ``greyscale``.
        scale: The value that gets the full color, ``[N]`` or one number for all; in units of ``magnitude``, or of
            ``values`` for signed styles. Where it is not positive the map is shown as zero.
        colormap: Name of a Matplotlib color map, for ``overlay`` and ``heatmap``; ``auto`` is ``inferno``, of which an
            overlay has the bright part over a dimmed grey picture.
        alpha: Opacity of an ``overlay`` at the map maximum, in [0, 1].

    Returns:
        ``uint8 [N, H, W, 3]``.

    Raises:
        ConfigurationError: If there is no such style or color map, or ``alpha`` is outside [0, 1].
        InputError: If the images are not ``uint8 [N, H, W, 3]``, or their number is not that of the maps or scales.

    Example:
        >>> from saliency_callbacks import explain
        >>> from saliency_callbacks.rendering import display_images
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 10))
        >>> inputs = torch.rand(2, 3, 8, 8)
        >>> attribution = explain(model, inputs, methods="gradient")["gradient"]
        >>> render(attribution, display_images(inputs)).shape
        (2, 8, 8, 3)
    """
    check_style(style)
    check_pictures(images, "images")
    count = attribution.heatmap.shape[0]
    if len(images) != count:
        raise InputError(f"got {len(images)} images for an attribution of {count} samples; expected one per sample")
    size = images.shape[1], images.shape[2]
    if style in ("signed", "signed_color"):
        return _render_signed(attribution, size, style, scale)
    heat = at_size(_heat(attribution, scale), size)
    if style == "greyscale":
        return colors.greyscale(heat)
    if style == "heatmap":
        return colors.apply(heat, colormap)
    return colors.overlay(images, heat, colormap=colormap, alpha=alpha)


def drawn_maps(attribution: Attribution, *, is_signed: bool) -> Tensor:
    """Return the maps whose values are drawn, ``[N, *spatial]``: signed sums for signed styles, else magnitudes."""
    if is_signed:
        return resize(signed_map(attribution.values), attribution.magnitude.shape[1:])
    return attribution.magnitude


def as_attribution(method: str, maps: Tensor) -> Attribution:
    """Return maps that are drawn, ``[N, *spatial]``, as an attribution of which nothing else is known."""
    peak = maps.abs().flatten(1).amax(dim=1).reshape(-1, *[1] * (maps.ndim - 1))
    unit = torch.where(peak > 0, maps.abs() / peak, torch.zeros_like(maps))
    nothing = torch.zeros(len(maps))
    return Attribution(method, maps.unsqueeze(1), maps, unit, nothing.long(), nothing)


def signed_scale(values: Tensor) -> Tensor:
    """Return the 99th percentile of the absolute values of each sample, or their maximum where that is 0.

    Args:
        values: ``[N, ...]``; what is not finite counts as 0.

    Returns:
        ``[N]``, on the CPU.

    Example:
        >>> signed_scale(torch.tensor([[-1.0, 0.5], [0.0, 0.0]]))
        tensor([1., 0.])
    """
    sizes = finite(values).abs().flatten(1)
    full = percentile(sizes, _SIGNED_QUANTILE)
    return torch.where(full > 0, full, sizes.amax(dim=1))


def _heat(attribution: Attribution, scale: Tensor | None) -> Tensor:
    """Return finite maps in [0, 1]."""
    if scale is None:
        return finite(attribution.heatmap)
    magnitude = finite(attribution.magnitude)
    divisor = _per_sample(scale, len(magnitude)).view(-1, *[1] * (magnitude.ndim - 1))
    # What has no scale is divided by infinity.
    return (magnitude / torch.where(divisor > 0, divisor, torch.inf)).clamp_(0, 1)


def _render_signed(
    attribution: Attribution, size: tuple[int, int], style: Style, scale: Tensor | None
) -> npt.NDArray[np.uint8]:
    values = finite(attribution.values)
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
    given = finite(torch.as_tensor(scale)).flatten()
    if given.numel() not in (1, count):
        raise InputError(f"got {given.numel()} scales for {count} samples; expected one, or one per sample")
    return given.expand(count)
