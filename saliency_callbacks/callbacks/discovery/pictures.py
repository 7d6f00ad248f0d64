"""A suspicion as a picture, in plain words, and as a row of a table."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from saliency_callbacks.discovery.changes import Change, Overlay, PastedPixels
from saliency_callbacks.discovery.exhibit import Exhibit
from saliency_callbacks.discovery.suspicion import Suspicion
from saliency_callbacks.errors import InputError
from saliency_callbacks.rendering.gallery import Gallery, GalleryPair, draw_gallery
from saliency_callbacks.rendering.images import display_images

__all__ = ["caption_of", "draw_suspicion", "gallery_pairs"]

# A change of less than this cannot be seen; one of more than this share of an image has no outline.
_VISIBLE = 4 / 255
_LARGEST_OUTLINED = 0.5
_NOTHING = 0.82
_GREY = 0.5
_OPAQUE = 0.9


def draw_suspicion(
    suspicion: Suspicion, name_of_class: Callable[[int], str], *, bands: Sequence[int] | None = None
) -> npt.NDArray[np.uint8]:
    """Draw the samples by which a person decides about a suspicion.

    Args:
        suspicion: What was found in images, with its exhibit.
        name_of_class: Name of a class as it is shown.
        bands: Channels that pictures show; see :func:`~saliency_callbacks.rendering.display_images`.

    Returns:
        ``uint8 [height, width, 3]``.

    Raises:
        InputError: If it has no exhibit, as after a restart from a checkpoint, or is not of images.
    """
    shown = suspicion.exhibit
    if shown is None or shown.bearing.ndim != 4:
        found = "no exhibit" if shown is None else f"samples of shape {list(shown.bearing.shape[1:])}"
        raise InputError(
            f"suspicion {suspicion.name!r} has {found}; expected one whose exhibit has images [N, C, H, W]. Search "
            "again: suspicions restored from a checkpoint have none"
        )
    name = name_of_class(suspicion.class_index)
    return draw_gallery(
        Gallery(
            title=f"Class {name}: {suspicion.what}",
            caption=caption_of(suspicion, name),
            class_name=name,
            bearing=display_images(shown.bearing, bands=bands),
            lacking=_displayed(shown.lacking, shown.bearing, bands),
            before=_displayed(shown.before, shown.bearing, bands),
            after=_displayed(shown.after, shown.bearing, bands),
            pairs=gallery_pairs(shown, name_of_class),
            marks=None if shown.marks is None else np.asarray(shown.marks.numpy()),
            changed=_changed(shown, suspicion.change),
            cue=_cue_alone(suspicion.change, bands),
        )
    )


def caption_of(suspicion: Suspicion, class_name: str, samples: str = "images") -> str:
    """Return what was found about a class, in plain words.

    Args:
        suspicion: What was found.
        class_name: Name of its class as it is shown.
        samples: What it was found in.
    """
    bearing, size, *_ = suspicion.counts
    found = (
        f"Found in {suspicion.share:.0%} of class {class_name} ({bearing} of {size}) and "
        f"{suspicion.elsewhere_in_words} (p = {_signed(suspicion.p_value, '1g')})."
    )
    if not math.isfinite(suspicion.effect):
        return f"{found} Whether the model uses it is unclear, because its outputs are not finite."
    effect, least, control = map(_signed, (suspicion.effect, suspicion.lower_bound, suspicion.control))
    beyond = "" if suspicion.statistic == "effect" else " beyond the median of the other classes"
    return (
        f"{found} Inserted into {samples} of other classes, it shifts the logits towards {class_name} by {effect} "
        f"standard deviations{beyond} (lower bound {least}; control {control}). {_verdict(suspicion)}"
    )


def _verdict(suspicion: Suspicion) -> str:
    if suspicion.is_used:
        return "The model uses it."
    if not suspicion.is_conclusive:
        return "With so few classes, it cannot be told apart from a natural difference of the class."
    return "The model was not found to use it."


def _signed(value: float, precision: str = "1f") -> str:
    return f"{value:.{precision}}".replace("-", "−")


def _displayed(images: Tensor, like: Tensor, bands: Sequence[int] | None) -> npt.NDArray[np.uint8]:
    """Return pictures of images, of which there may be none."""
    return display_images(images, bands=bands) if len(images) else display_images(like, bands=bands)[:0]


def gallery_pairs(shown: Exhibit, name_of_class: Callable[[int], str]) -> list[GalleryPair]:
    """Return what is written below the samples of other classes.

    Args:
        shown: The samples.
        name_of_class: Name of a class as it is shown.
    """
    rows = zip(shown.labels.tolist(), shown.predictions.tolist(), shown.margins.tolist(), strict=True)
    return [
        GalleryPair(name_of_class(label), (name_of_class(before), name_of_class(after)), (low, high))
        for label, (before, after), (low, high) in rows
    ]


def _changed(shown: Exhibit, change: Change) -> npt.NDArray[np.bool_] | None:
    """Return where the cue was put, bool ``[R, H, W]``; ``None`` where it is nearly everywhere."""
    # What is laid over its own color may change nothing, but it is there.
    if isinstance(change, Overlay):
        differences = change.added.abs() + change.opacity
    else:
        differences = (shown.after - shown.before).abs()
    changed = differences.amax(dim=-3) > _VISIBLE
    if changed.float().mean() >= _LARGEST_OUTLINED:
        return None
    return np.asarray(changed.expand(len(shown.after), -1, -1).cpu().numpy())


def _cue_alone(change: Change, bands: Sequence[int] | None) -> npt.NDArray[np.uint8] | None:
    """Return pasted pixels on grey, or an overlay of grey, strengthened until it can be seen."""
    if isinstance(change, PastedPixels):
        alone = torch.where(change.mask, change.pixels.float(), _NOTHING)
    elif isinstance(change, Overlay):
        marked = change.opacity[change.opacity > 0]
        is_opaque = marked.numel() > 0 and float(marked.median()) > _OPAQUE
        ground = _NOTHING if is_opaque else _GREY
        difference = change.added.float() - ground * change.opacity
        largest = difference.abs().max().clamp_min(torch.finfo(torch.float32).tiny)
        # An opaque mark has a color, which is shown as it is.
        alone = ground + difference * (1 if is_opaque else _GREY / largest)
    else:
        return None
    picture: npt.NDArray[np.uint8] = display_images(alone[None].cpu(), bands=bands)[0]
    return picture
