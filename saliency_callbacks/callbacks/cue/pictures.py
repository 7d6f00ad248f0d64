"""The picture behind an alarm: probe images without and with the cue, and where the model looks in each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from saliency_callbacks.callbacks.runtime.appearance import Appearance
from saliency_callbacks.functional.maps import percentile
from saliency_callbacks.rendering.attribution import drawn_maps, render, signed_scale
from saliency_callbacks.rendering.contact_sheet import sheet_note, sheet_of
from saliency_callbacks.rendering.contour import top_region
from saliency_callbacks.rendering.images import display_images, display_maps
from saliency_callbacks.rendering.panel import Caption, panel
from saliency_callbacks.types import Attribution

__all__ = ["Pair", "draw_pairs", "interleaved", "pair_captions"]

# Margins are long captions, and two beside each other can be read in a thumbnail.
_PAIRS_A_ROW = 1


@dataclass(frozen=True)
class Pair:
    """One sample without and with the cue.

    Args:
        name: Name of the sample: its class, or its id.
        without: Margin of the suspect class without the cue, in logits.
        with_cue: The same with it.
        flipped: Whether the cue turned the prediction to the suspect class.
    """

    name: str
    without: float
    with_cue: float
    flipped: bool


def draw_pairs(
    images: Tensor, attribution: Attribution, pairs: Sequence[Pair], appearance: Appearance | None = None, *, title: str
) -> npt.NDArray[np.uint8]:
    """Draw every sample twice, without and with the cue, each with its map; flipped ones are framed in red.

    Args:
        images: Display images in [0, 1], without and with the cue in turn, ``[2 P, C, *spatial]``.
        attribution: Their maps. The two of a sample share one color scale, so that they compare.
        pairs: One for each sample, P.
        appearance: How the maps are drawn.
        title: Line at the top; of volumes, the slices that are shown are added.

    Returns:
        ``uint8 [height, width, 3]``.
    """
    look = Appearance() if appearance is None else appearance
    pictures = display_images(images, bands=look.bands)
    scale = signed_scale(attribution.values) if look.is_signed else percentile(attribution.magnitude, 0.99)
    sheet = sheet_of(attribution.magnitude.shape[1:])
    shared = scale.reshape(-1, 2).amax(dim=1).repeat_interleave(2)
    rendered = render(attribution, pictures, style=look.style, scale=shared, alpha=look.alpha, **look.colors)
    return panel(
        pictures,
        rendered,
        [caption for pair in pairs for caption in pair_captions(pair)],
        title=title if sheet is None else f"{title} · {sheet_note(sheet, look.axis_names)}",
        columns=2 * min(_PAIRS_A_ROW, len(pairs)),
        sheet=sheet,
        regions=_outlined(attribution, look, (pictures.shape[1], pictures.shape[2])),
        style=look.style,
        scale_note=replace(look, color_scale="shared").notes("one scale per pair"),
        **look.colors,
    )


def _outlined(attribution: Attribution, look: Appearance, size: tuple[int, int]) -> npt.NDArray[np.bool_] | None:
    if look.contour is None:
        return None
    maps = drawn_maps(attribution, is_signed=look.is_signed)
    return top_region(np.abs(display_maps(maps, size)), look.contour)


def pair_captions(pair: Pair, with_cue: str = "with the cue") -> tuple[Caption, Caption]:
    """Return the captions of a sample without and with the cue."""
    change = pair.with_cue - pair.without
    return (
        Caption(f"{pair.name} · without", f"margin {pair.without:+.1f}"),
        Caption(f"{pair.name} · {with_cue}", f"margin {pair.with_cue:+.1f} ({change:+.1f})", pair.flipped or None),
    )


def interleaved(first: Tensor, second: Tensor) -> Tensor:
    """Return rows of two batches ``[P, ...]`` in turn, ``[2 P, ...]``."""
    return torch.stack([first, second], dim=1).flatten(0, 1)
