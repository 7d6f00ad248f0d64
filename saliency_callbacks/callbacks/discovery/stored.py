"""Suspicions as a checkpoint holds them: tensors, numbers and strings alone, and few of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, replace
from importlib import import_module
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from saliency_callbacks.discovery.changes import AddedNoise, Change, OtherSize, Overlay, PastedPixels, ShiftedProperty
from saliency_callbacks.discovery.suspicion import Suspicion
from saliency_callbacks.discovery.texts.changes import DeletedTokens, FittedLength, FittedPunctuation
from saliency_callbacks.discovery.texts.inserted import STORED, InsertedTokens

__all__ = ["CHANGES", "as_kept", "as_stored", "restored"]

_KINDS = (
    PastedPixels,
    Overlay,
    ShiftedProperty,
    AddedNoise,
    OtherSize,
    InsertedTokens,
    DeletedTokens,
    FittedLength,
    FittedPunctuation,
)

CHANGES: dict[str, str] = {kind.__name__: kind.__module__ for kind in _KINDS}
"""Name of a class of changes → its module. Only these are restored: a checkpoint must not choose what is imported."""

_FORMER = {"AddedDifference": lambda difference: Overlay(difference, difference.new_zeros(difference.shape[1:]))}
"""Changes of earlier versions → what does the same now."""

_LEFT_OUT = ("exhibit",)
_KIND = "kind"
_LARGE = 4096
_MOST_PIXELS = 128 * 128


def as_kept(change: Change) -> Change:
    """Return a change as it is kept for later evaluations: that of a large image has at most 128 × 128 pixels.

    A search of images of 1024×768 would otherwise add 5 MB to a checkpoint for each mark that it finds. Values are
    rounded as a checkpoint rounds them, so that a resumed run goes on with the same.
    """
    small = change.reduced(_MOST_PIXELS) if isinstance(change, PastedPixels | Overlay) else change
    given = {one.name: getattr(small, one.name) for one in fields(small)}  # type: ignore[arg-type]
    rounded = {name: _full(_light(value)) for name, value in given.items() if _is_halved(value)}
    return replace(small, **rounded) if rounded else small  # type: ignore[type-var]


def as_stored(suspicion: Suspicion) -> dict[str, Any]:
    """Return a suspicion without its exhibit, for a checkpoint that loads with ``weights_only``.

    Large tensors of floats, such as an overlay of the whole image, are kept in half precision: values in [-1, 1] to
    within 0.0005.
    """
    found = {one.name: getattr(suspicion, one.name) for one in fields(suspicion) if one.name not in _LEFT_OUT}
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}
    change = _stored_change(as_kept(suspicion.change))
    return {**plain, "region": _coarse(suspicion.region), "change": change}


def restored(state: Mapping[str, Any]) -> Suspicion:
    """Return the suspicion that :func:`as_stored` was given, without its exhibit."""
    known = {one.name for one in fields(Suspicion)} - {"change"}
    found: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in state.items() if name in known
    }
    return Suspicion(**found, change=_restored_change(state["change"]))


def _coarse(region: Tensor | None) -> Tensor | None:
    """Return a region ``[H, W]`` of at most 128 × 128 pixels: those in which there is some of it."""
    if region is None or region.ndim != 2 or region.numel() <= _MOST_PIXELS:
        return region
    factor = math.sqrt(_MOST_PIXELS / region.numel())
    size = [max(1, int(side * factor)) for side in region.shape]
    coarse: Tensor = F.adaptive_max_pool2d(region[None].float().cpu(), size)[0]
    return coarse > 0


def _stored_change(change: Change) -> dict[str, Any]:
    kept = [one.name for one in fields(change) if one.metadata.get(STORED, True)]  # type: ignore[arg-type]
    values = {name: _light(getattr(change, name)) for name in kept}
    return {_KIND: type(change).__name__, "values": values}


def _restored_change(state: Mapping[str, Any]) -> Change:
    values = {name: _full(value) for name, value in state["values"].items()}
    kind = _FORMER.get(state[_KIND]) or getattr(import_module(CHANGES[state[_KIND]]), state[_KIND])
    change: Change = kind(**values)
    return change


def _is_halved(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dtype == torch.float32 and value.numel() > _LARGE


def _light(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    if not isinstance(value, Tensor):
        return value
    kept = value.detach().cpu()
    # A view would be saved with all that it is a view of.
    return kept.half() if _is_halved(kept) else kept.clone()


def _full(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(value)
    return value.float() if isinstance(value, Tensor) and value.dtype == torch.float16 else value
