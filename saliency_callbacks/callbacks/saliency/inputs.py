"""The explained inputs of a probe as pictures, and what was found out about them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from saliency_callbacks.callbacks.runtime import notices
from saliency_callbacks.callbacks.runtime.appearance import Appearance, shown_bands
from saliency_callbacks.capture.axes import RECOGNIZED_VOLUME, describe_axes
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.errors import InputError
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.rendering.images import MOST_PICTURE_CHANNELS, display_images, display_slices
from saliency_callbacks.rendering.tiles import reduce_area

__all__ = ["axis_names", "further_images", "input_facts", "probe_images", "probe_volumes"]

# Of all volumes of a probe together; what is larger is made smaller within the slices, of which all stay.
_MOST_BYTES = 2**25
_VOLUME_DIMENSIONS = 5
_AXES = {"T": "time", "D": "depth", "Z": "depth", "H": "height", "Y": "height", "W": "width", "X": "width"}


def probe_images(inputs: Tensor, probe: ProbeBatch, appearance: Appearance, namespace: str) -> npt.NDArray[np.uint8]:
    """Return the explained inputs ``[N, C, *spatial]`` of a probe as pictures ``uint8 [N, height, width, 3]``.

    Raises:
        InputError: If bands or a normalization that were asked for do not fit them.
    """
    n_channels = inputs.shape[1]
    if shown_bands(appearance, probe, inputs) is None and n_channels > MOST_PICTURE_CHANNELS:
        notices.tell(
            f"{namespace}: pictures show the mean of all {n_channels} bands, each scaled separately; choose one or "
            "three bands with Appearance(bands=…)"
        )
    return further_images(inputs, probe, appearance)


def further_images(inputs: Tensor, probe: ProbeBatch, appearance: Appearance) -> npt.NDArray[np.uint8]:
    """Return inputs that are like those of a probe as pictures, of which nothing is said.

    Raises:
        InputError: If bands or a normalization that were asked for do not fit them.
    """
    mean, std = appearance.normalization or probe.normalization or (None, None)
    return display_images(inputs, mean=mean, std=std, bands=shown_bands(appearance, probe, inputs))


def probe_volumes(inputs: Tensor, probe: ProbeBatch, appearance: Appearance) -> npt.NDArray[np.uint8] | None:
    """Return a picture of every slice of volumes ``[N, C, D, H, W]``; ``None`` where there are none.

    Returns:
        ``uint8 [N, D, height, width, 3]``, or with one channel where all are grey.

    Raises:
        InputError: If bands or a normalization that were asked for do not fit them.
    """
    if inputs.ndim != _VOLUME_DIMENSIONS:
        return None
    mean, std = appearance.normalization or probe.normalization or (None, None)
    slices = display_slices(inputs, mean=mean, std=std, bands=shown_bands(appearance, probe, inputs))
    count, depth = slices.shape[:2]
    is_grey = bool((slices == slices[..., :1]).all())
    most = _MOST_BYTES // (count * depth * (1 if is_grey else 3))
    small = reduce_area(slices.reshape(-1, *slices.shape[2:]), largest=max(1, math.isqrt(most)))
    return small.reshape(count, depth, *small.shape[1:])[..., : 1 if is_grey else 3]


def axis_names(inputs: Tensor, layout: str | None, appearance: Appearance) -> tuple[str, ...] | None:
    """Return the names of the spatial axes of inputs ``[N, C, *spatial]``; ``None`` where nobody says so.

    Args:
        inputs: The explained inputs.
        layout: Their axes as letters, where they are known.
        appearance: What the user says.

    Raises:
        InputError: If the user names another number of axes.
    """
    n_axes = inputs.ndim - 2
    if appearance.axis_names is not None:
        if len(appearance.axis_names) != n_axes:
            raise InputError(
                f"axis_names={tuple(appearance.axis_names)} names {len(appearance.axis_names)} axes, but the explained "
                f"input has {n_axes} spatial dimensions: shape {list(inputs.shape)} with the channels second"
            )
        return tuple(appearance.axis_names)
    letters = [letter for letter in layout or "" if letter not in "NC"]
    names = tuple(_AXES[letter] for letter in letters if letter in _AXES)
    # Channels first is what volumes and videos have alike; that it was recognized does not tell which.
    return names if len(names) == n_axes and layout != RECOGNIZED_VOLUME else None


def input_facts(inputs: Tensor, probe: ProbeBatch, settings: Settings, appearance: Appearance) -> dict[str, Any]:
    """Return what was found out, or said, about the explained inputs ``[N, C, *spatial]`` and their pictures."""
    facts: dict[str, Any] = {}
    if settings.layout is not None:
        facts["layout"] = describe_axes(settings.layout, inputs)
    if settings.shared:
        facts["shared"] = list(settings.shared)
    given = appearance.normalization
    statistics, source = (given, "appearance") if given else (probe.normalization, probe.normalized_by)
    if statistics is not None:
        facts["normalization"] = {"mean": list(statistics[0]), "std": list(statistics[1]), "source": source}
    bands = shown_bands(appearance, probe, inputs)
    if bands is not None:
        facts["bands"] = list(bands)
    return facts
