"""The explained inputs of a probe as pictures, and what was found out about them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from saliency_callbacks.callbacks.runtime import notices
from saliency_callbacks.callbacks.runtime.appearance import Appearance, shown_bands
from saliency_callbacks.capture.axes import describe_axes
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.rendering.images import MOST_PICTURE_CHANNELS, display_images

__all__ = ["further_images", "input_facts", "probe_images"]


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
