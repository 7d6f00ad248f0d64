"""Where the maps of an observation say that the object is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from torch import Tensor

from saliency_callbacks.callbacks.runtime.appearance import Appearance
from saliency_callbacks.callbacks.saliency.inputs import further_images
from saliency_callbacks.localization.find import check_dimensions, found_outlines
from saliency_callbacks.localization.opencv import opencv
from saliency_callbacks.localization.settings import Localization
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.types import Attribution, Outlines

__all__ = ["check_localization", "localization_facts", "localized"]


def check_localization(how: Localization, inputs: Tensor) -> None:
    """Raise unless objects can be found in maps of the explained inputs, ``[N, C, *spatial]``.

    Raises:
        ConfigurationError: If OpenCV is not installed, or it is a GraphCut of what are no pictures.
    """
    check_dimensions(inputs.ndim - 2, how)
    opencv()


def localization_facts(how: Localization | None) -> dict[str, Any]:
    """Return what is written of how outlines are found; nothing where none are."""
    return {} if how is None else {"localization": asdict(how)}


def localized(
    attributions: Mapping[str, Attribution],
    inputs: Tensor,
    probe: ProbeBatch,
    appearance: Appearance,
    how: Localization | None,
) -> dict[str, Outlines]:
    """Return method → the outlines that are found in its maps; nothing where that is not asked for.

    Args:
        attributions: Method → its maps.
        inputs: The explained inputs, ``[N, C, *spatial]``.
        probe: The samples, or others of the same data.
        appearance: How inputs are shown, which are cut as they are seen.
        how: How outlines are found.
    """
    if how is None:
        return {}
    pictures = further_images(inputs, probe, appearance) if how.mask == "grabcut" else None
    return {name: found_outlines(attribution, pictures, how) for name, attribution in attributions.items()}
