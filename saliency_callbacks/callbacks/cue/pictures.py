"""The picture behind an alarm: probe images without and with the cue, and where the model looks in each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from saliency_callbacks.functional.maps import percentile
from saliency_callbacks.rendering.attribution import render
from saliency_callbacks.rendering.images import display_images
from saliency_callbacks.rendering.panel import Caption, panel
from saliency_callbacks.types import Attribution

__all__ = ["Pair", "draw_pairs", "interleaved", "pair_captions"]

_PAIRS_A_ROW = 2


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


def draw_pairs(images: Tensor, attribution: Attribution, pairs: Sequence[Pair], *, title: str) -> npt.NDArray[np.uint8]:
    """Draw every sample twice, without and with the cue, each with its map; flipped ones are framed in red.

    Args:
        images: Display images in [0, 1], without and with the cue in turn, ``[2 P, C, *spatial]``.
        attribution: Their maps. The two of a sample share one colour scale, so that they compare.
        pairs: One for each sample, P.
        title: Line at the top.

    Returns:
        ``uint8 [height, width, 3]``.
    """
    pictures = display_images(images)
    peak = percentile(attribution.magnitude, 0.99).reshape(-1, 2).amax(dim=1)
    rendered = render(attribution, pictures, scale=peak.repeat_interleave(2))
    return panel(
        pictures,
        rendered,
        [caption for pair in pairs for caption in pair_captions(pair)],
        title=title,
        columns=2 * min(_PAIRS_A_ROW, len(pairs)),
        scale_note="scale: same without and with",
    )


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
