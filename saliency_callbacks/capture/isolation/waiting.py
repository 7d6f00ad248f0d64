"""Waiting for a device, which goes on by itself with what it was given."""

from __future__ import annotations

import torch

__all__ = ["wait_for"]


def wait_for(device: torch.device) -> None:
    """Wait until a device has done what it was given: CUDA, MPS, XPU and any other that tells."""
    synchronize = getattr(getattr(torch, device.type, None), "synchronize", None)
    if synchronize is not None:
        # There is only one device of MPS, and its function takes none.
        synchronize(*([] if device.type == "mps" else [device]))
