"""In which precision sums over a whole map are taken."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["score_dtype", "wide_dtype", "widen"]


def wide_dtype(device: torch.device) -> torch.dtype:
    """Return float64, or float32 on a device that has no float64 (``mps``)."""
    return torch.float32 if device.type == "mps" else torch.float64


def widen(values: Tensor) -> Tensor:
    """Return ``values`` in float64, or in float32 on a device that has no float64 (``mps``)."""
    return values.to(wide_dtype(values.device))


def score_dtype(values: Tensor) -> torch.dtype:
    """Return the dtype of a number computed from ``values``: theirs, and at least float32.

    Half precision resolves similarities near 1 to three digits only, too coarse to compare epochs.
    """
    return torch.promote_types(values.dtype, torch.float32)
