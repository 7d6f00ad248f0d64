"""A suspicion in texts as a picture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from saliency_callbacks.callbacks.discovery.pictures import caption_of, gallery_pairs
from saliency_callbacks.discovery.suspicion import Suspicion
from saliency_callbacks.discovery.texts.changes import DeletedTokens
from saliency_callbacks.discovery.texts.inserted import InsertedTokens
from saliency_callbacks.discovery.texts.samples import texts_of_ids
from saliency_callbacks.discovery.texts.shown import marks_of
from saliency_callbacks.errors import InputError
from saliency_callbacks.rendering.gallery import GalleryText, TextGallery, draw_text_gallery

__all__ = ["draw_text_suspicion"]


def draw_text_suspicion(
    suspicion: Suspicion, name_of_class: Callable[[int], str], tokenizer: Any = None
) -> npt.NDArray[np.uint8]:
    """Draw the texts by which a person decides about a suspicion.

    Args:
        suspicion: What was found in texts, with its exhibit.
        name_of_class: Name of a class as it is shown.
        tokenizer: Tells how tokens are written; without one they are shown as numbers.

    Returns:
        ``uint8 [height, width, 3]``.

    Raises:
        InputError: If it has no exhibit, as after a restart from a checkpoint, or is not of texts.
    """
    shown = suspicion.exhibit
    if shown is None or shown.bearing.ndim != 2:
        found = "no exhibit" if shown is None else f"samples of shape {list(shown.bearing.shape[1:])}"
        raise InputError(
            f"suspicion {suspicion.name!r} has {found}; expected one whose exhibit has ids [N, T]. Search again: "
            "suspicions restored from a checkpoint have none"
        )
    name, change = name_of_class(suspicion.class_index), suspicion.change
    inserted = marks_of(shown.after, change.token_ids) if isinstance(change, InsertedTokens) else None
    deleted = marks_of(shown.before, change.token_ids) if isinstance(change, DeletedTokens) else None
    return draw_text_gallery(
        TextGallery(
            title=f"Class {name}: {suspicion.what}",
            caption=caption_of(suspicion, name, "texts"),
            class_name=name,
            bearing=_texts(shown.bearing, shown.marks, tokenizer),
            lacking=_texts(shown.lacking, None, tokenizer),
            before=_texts(shown.before, deleted, tokenizer),
            after=_texts(shown.after, inserted, tokenizer),
            pairs=gallery_pairs(shown, name_of_class),
        )
    )


def _texts(ids: Tensor, marks: Tensor | None, tokenizer: Any) -> list[GalleryText]:
    if not len(ids):
        return []
    texts = texts_of_ids(ids, tokenizer)
    marked = texts.merge(torch.zeros(ids.shape) if marks is None else marks.float()) > 0
    rows = zip(texts.units(), marked.tolist(), texts.special_units().tolist(), strict=True)
    return [GalleryText(words, flags[: len(words)], special[: len(words)]) for words, flags, special in rows]
