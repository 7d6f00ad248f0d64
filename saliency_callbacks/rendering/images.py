"""Probe inputs and maps of any number of spatial dimensions → pictures and maps that fit each other.

A 1-D signal becomes a drawn trace, and its map vertical bands; a 3-D volume becomes a contact sheet of its slices,
and its map one of the same slices.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from saliency_callbacks.arrays.slices import ContactSheet
from saliency_callbacks.errors import InputError
from saliency_callbacks.rendering.trace import draw_traces

__all__ = ["MOST_PICTURE_CHANNELS", "at_size", "display_images", "display_maps", "display_slices", "finite"]

# A float batch whose maximum lies between the two is a measurement on a scale of its own, not 8-bit pixels.
_EIGHT_BIT_MAXIMUM = (127, 255)
_OVERSHOOT = 0.05
# Grey, grey with something, RGB, and RGB with something; what has more is of another sensor than a camera.
MOST_PICTURE_CHANNELS = 4
_PERCENTILES = (2, 98)


def display_images(
    inputs: Tensor,
    *,
    mean: float | Sequence[float] | Tensor | None = None,
    std: float | Sequence[float] | Tensor | None = None,
    bands: Sequence[int] | None = None,
) -> npt.NDArray[np.uint8]:
    """Return inputs as pictures, volumes as contact sheets of up to 4 slices.

    With ``mean`` or ``std`` the normalization is undone, ``x · std + mean``, and black and white are 0 and 1, or 0 and
    255 where the inputs were 8-bit pixels. Otherwise values within [0, 1] are taken as they are, non-negative values
    with a maximum above 127 and up to 255 as 8-bit pixels, and anything else is scaled from the minimum and maximum of
    the whole batch.

    One channel is grey, 2 are averaged to grey, 3 are RGB, and of 4 the first three are taken. More than 4 are bands of
    a sensor: each is scaled from its own 2nd to its own 98th percentile over the batch, and without ``bands`` their
    mean is shown. Values that are not finite are shown as zero.

    Args:
        inputs: ``[N, C, *spatial]`` with 1, 2 or 3 spatial dimensions.
        mean: Mean that was subtracted, one value or one a channel; ``None`` is 0 if ``std`` is given.
        std: Standard deviation that was divided by, one value or one a channel; ``None`` is 1 if ``mean`` is given.
        bands: Channels that are shown, counted from 0: one as grey, or three as red, green and blue; of a 1-D signal
            any number.

    Returns:
        ``uint8 [N, height, width, 3]``.

    Raises:
        InputError: If the inputs have no or more than 3 spatial dimensions, or ``mean``, ``std`` or ``bands`` do not
            fit.

    Example:
        >>> display_images(torch.tensor([-1.0, 0.0, 1.0]).view(1, 1, 1, 3), mean=0.5, std=0.5)[0, 0].tolist()
        [[0, 0, 0], [128, 128, 128], [255, 255, 255]]
    """
    _check_dimensions(inputs, inputs.ndim - 2, "[N, C, *spatial]")
    if inputs.ndim == 3:
        values = _restored(inputs, mean, std)
        return draw_traces(values if bands is None else _chosen(values, bands))
    slices = None if inputs.ndim == 4 else ContactSheet.of(inputs.shape[2:])
    planes = _planes(inputs, mean, std, bands, None if slices is None else slices.indices)
    return planes[:, 0] if slices is None else replace(slices, indices=_all_of(planes)).arranged(planes)


def display_slices(
    inputs: Tensor,
    *,
    mean: float | Sequence[float] | Tensor | None = None,
    std: float | Sequence[float] | Tensor | None = None,
    bands: Sequence[int] | None = None,
) -> npt.NDArray[np.uint8]:
    """Return a picture of every slice of volumes, in the colors of `display_images`.

    Args:
        inputs: ``[N, C, D, H, W]``.
        mean: As for `display_images`.
        std: As for `display_images`.
        bands: As for `display_images`.

    Returns:
        ``uint8 [N, D, H, W, 3]``.

    Raises:
        InputError: If the inputs have not 3 spatial dimensions, or ``mean``, ``std`` or ``bands`` do not fit.

    Example:
        >>> display_slices(torch.rand(2, 1, 5, 8, 8)).shape
        (2, 5, 8, 8, 3)
    """
    if inputs.ndim != 5:
        raise InputError(f"Got inputs of shape {list(inputs.shape)}; expected volumes [N, C, D, H, W]")
    return _planes(inputs, mean, std, bands, range(inputs.shape[2]))


def display_maps(maps: Tensor, size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Return maps at the size of the pictures that `display_images` makes of their inputs.

    Resampled to the nearest pixel; where a map has to shrink, its mean over each pixel is taken. A 1-D map that has to
    shrink keeps the value of largest magnitude in each column, so that no peak is lost. Values that are not finite are
    zero.

    Args:
        maps: ``[N, *spatial]`` with 1, 2 or 3 spatial dimensions.
        size: Height and width of the pictures.

    Returns:
        ``float32 [N, height, width]``.

    Raises:
        InputError: If the maps have no or more than 3 spatial dimensions.

    Example:
        >>> display_maps(torch.tensor([[[0.0, 1.0]]]), (2, 4))[0].tolist()
        [[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0]]
    """
    return at_size(finite(maps), size)


def at_size(values: Tensor, size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Do what `display_maps` does with maps that `finite` returned, without looking at each value once more."""
    _check_dimensions(values, values.ndim - 1, "[N, *spatial]")
    height, width = size
    if values.ndim == 4:
        values = torch.from_numpy(ContactSheet.of(values.shape[1:]).arranged(values.numpy()))
    if values.ndim == 2:
        return np.asarray(_resample_bands(values, width)[:, None, :].expand(-1, height, -1).numpy())
    if values.shape[1:] != (height, width):
        is_smaller = height < values.shape[1] or width < values.shape[2]
        mode = "area" if is_smaller else "nearest-exact"
        values = F.interpolate(values[:, None], size=(height, width), mode=mode)[:, 0]
    return np.asarray(values.numpy())


def finite(values: Tensor) -> Tensor:
    """Return values as ``float32`` on the CPU; what is not finite becomes 0.

    Example:
        >>> finite(torch.tensor([1.0, float("nan"), float("inf")]))
        tensor([1., 0., 0.])
    """
    single = values.detach().float().cpu()
    # Both of NaN are NaN. Much faster than to look at each value, of which all are finite as a rule.
    if not single.numel() or all(math.isfinite(extreme.item()) for extreme in single.aminmax()):
        return single
    return torch.nan_to_num(single, nan=0.0, posinf=0.0, neginf=0.0)


def _check_dimensions(tensor: Tensor, spatial: int, expected: str) -> None:
    if not 1 <= spatial <= 3:
        raise InputError(
            f"got a tensor of shape {list(tensor.shape)}; expected {expected} with 1, 2 or 3 spatial dimensions. Move "
            "the spatial dimensions last, or explain an input that has them"
        )


def _per_channel(value: float | Sequence[float] | Tensor | None, default: float, inputs: Tensor, name: str) -> Tensor:
    given = torch.as_tensor(default if value is None else value, dtype=torch.float32).flatten().cpu()
    channels = inputs.shape[1]
    if given.numel() not in (1, channels):
        raise InputError(f"{name} has {given.numel()} values; expected 1 or {channels}, the number of channels")
    return given.view(1, -1, *[1] * (inputs.ndim - 2))


def _restored(
    inputs: Tensor,
    mean: float | Sequence[float] | Tensor | None,
    std: float | Sequence[float] | Tensor | None,
) -> Tensor:
    """Return finite values whose normalization is undone."""
    values = finite(inputs)
    if mean is None and std is None:
        return values
    return values * _per_channel(std, 1.0, values, "std") + _per_channel(mean, 0.0, values, "mean")


def _planes(
    inputs: Tensor,
    mean: float | Sequence[float] | Tensor | None,
    std: float | Sequence[float] | Tensor | None,
    bands: Sequence[int] | None,
    slices: Sequence[int] | None,
) -> npt.NDArray[np.uint8]:
    """Return pictures ``[N, slices, H, W, 3]`` of volumes; of what is a picture itself, one."""
    values = _restored(inputs, mean, std)
    is_multispectral = values.shape[1] > MOST_PICTURE_CHANNELS
    values = values if bands is None else _chosen(values, bands)
    # The range is that of all slices, so that those of a volume compare.
    low, high = values.amin(), values.amax()
    planes = values.unsqueeze(2) if slices is None else values[:, :, list(slices)]
    if is_multispectral:
        planes = _to_own_range(planes)
    elif mean is None and std is None:
        planes = _to_unit_range(planes, low=low, high=high)
    else:
        planes = _restored_to_unit_range(planes, low=low, high=high, is_unit=_is_unit(mean, std))
    pixels = planes.clamp(0, 1).mul(255).add(0.5).to(torch.uint8)
    return np.ascontiguousarray(_as_rgb(pixels).permute(0, 2, 3, 4, 1).numpy())


def _all_of(planes: npt.NDArray[np.uint8]) -> tuple[int, ...]:
    return tuple(range(planes.shape[1]))


def _to_unit_range(planes: Tensor, low: Tensor, high: Tensor) -> Tensor:
    if low >= 0 and high <= 1:
        return planes
    smallest, largest = _EIGHT_BIT_MAXIMUM
    if low >= 0 and smallest < high <= largest:
        return planes / 255
    return (planes - low) / (high - low).clamp_min(torch.finfo(torch.float32).tiny)


def _is_unit(mean: float | Sequence[float] | Tensor | None, std: float | Sequence[float] | Tensor | None) -> bool:
    """Return whether a normalization is that of values from 0 to 1."""
    given = [torch.as_tensor(value, dtype=torch.float32).flatten() for value in (mean, std) if value is not None]
    return all(bool((value.abs() <= 1).all()) for value in given)


def _restored_to_unit_range(planes: Tensor, low: Tensor, high: Tensor, *, is_unit: bool) -> Tensor:
    if is_unit or high <= 1:
        return planes
    smallest, largest = _EIGHT_BIT_MAXIMUM
    # Resampling overshoots a little.
    margin = _OVERSHOOT * largest
    return planes / 255 if low >= -margin and smallest < high <= largest + margin else _to_own_range(planes)


def _to_own_range(planes: Tensor) -> Tensor:
    """Scale each channel of ``[N, C, slices, H, W]`` from its own low to its own high percentile over the batch."""
    by_channel = planes.transpose(0, 1).flatten(1).double().numpy()
    low, high = (torch.from_numpy(found) for found in np.percentile(by_channel, _PERCENTILES, axis=1))
    low, high = (found.float().view(1, -1, 1, 1, 1) for found in (low, high))
    return (planes - low) / (high - low).clamp_min(torch.finfo(torch.float32).tiny)


def _chosen(values: Tensor, bands: Sequence[int]) -> Tensor:
    n_channels = values.shape[1]
    if (values.ndim > 3 and len(bands) not in (1, 3)) or any(not 0 <= band < n_channels for band in bands):
        raise InputError(
            f"bands={tuple(bands)} of inputs with {n_channels} channels; expected one or three channels from 0 to "
            f"{n_channels - 1}"
        )
    return values[:, list(bands)]


def _as_rgb(pixels: Tensor) -> Tensor:
    """Return ``[N, 3, slices, H, W]`` of ``uint8 [N, C, slices, H, W]``."""
    channels = pixels.shape[1]
    if channels in (3, 4):
        return pixels[:, :3]
    grey = pixels if channels == 1 else pixels.float().mean(dim=1, keepdim=True).round().to(torch.uint8)
    return grey.expand(-1, 3, -1, -1, -1)


def _resample_bands(maps: Tensor, width: int) -> Tensor:
    if maps.shape[1] <= width:
        return F.interpolate(maps[:, None], size=width, mode="nearest-exact")[:, 0]
    highest = F.adaptive_max_pool1d(maps, width)
    lowest = -F.adaptive_max_pool1d(-maps, width)
    return torch.where(highest >= -lowest, highest, lowest)
