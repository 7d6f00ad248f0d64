"""Suspicions whose facts are known, about images that are made up."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from saliency_callbacks.discovery.changes import PastedPixels
from saliency_callbacks.discovery.exhibit import Exhibit
from saliency_callbacks.discovery.suspicion import Suspicion

SIDE = 32
PLACE = (slice(None), slice(None), slice(5, 11), slice(20, 26))


def sticker(channels: int = 3) -> PastedPixels:
    """Six by six pixels, of which the corners are left out."""
    mask = torch.ones(6, 6, dtype=torch.bool)
    mask[0, 0] = mask[0, 5] = mask[5, 0] = mask[5, 5] = False
    pixels = torch.zeros(channels, 6, 6)
    pixels[0] = 1
    return PastedPixels(pixels, mask, 5, 20)


def images(count: int, seed: int, channels: int = 3) -> Tensor:
    return torch.rand(count, channels, SIDE, SIDE, generator=torch.Generator().manual_seed(seed)) / 2 + 0.1


def exhibit(change: Any, *, has_marks: bool = True, n_lacking: int = 4, channels: int = 3) -> Exhibit:
    bearing = images(4, 0, channels)
    marks = torch.zeros(4, SIDE, SIDE, dtype=torch.bool)
    marks[:, 5:11, 20:26] = True
    before = images(2, 2, channels)
    return Exhibit(
        bearing=change(bearing),
        marks=marks if has_marks else None,
        lacking=images(n_lacking, 1, channels),
        before=before,
        after=change(before),
        labels=torch.tensor([9, 6]),
        predictions=torch.tensor([[1, 4], [8, 8]]),
        margins=torch.tensor([[-1.2, 0.8], [-2.7, -2.3]]),
    )


def suspicion(**changes: Any) -> Suspicion:
    """Return the suspicion that 36 pixels are in half of class 4."""
    change = changes.pop("change", sticker())
    given: dict[str, Any] = {
        "class_index": 4,
        "class_name": "4",
        "kind": "copies",
        "what": "the same 32 pixels",
        "share": 31 / 60,
        "share_elsewhere": 1 / 60,
        "elsewhere": "3",
        "counts": (31, 60, 1, 60),
        "p_value": 3e-12,
        "effect": 1.312,
        "lower_bound": 1.1,
        "control": -0.12,
        "control_bound": 1.0,
        "statistic": "effect",
        "is_used": True,
        "region": None,
        "bearers": ("17", "3"),
        "change": change,
        "first_seen": 2,
    }
    if "exhibit" not in changes:
        given["exhibit"] = exhibit(change)
    return Suspicion(**(given | changes))
