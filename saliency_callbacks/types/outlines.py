"""Boxes and masks that are drawn on the samples."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

__all__ = ["Outlines"]


@dataclass(frozen=True, eq=False)
class Outlines:
    """A box, a mask, or both, for each sample.

    Args:
        boxes: Corners ``(x0, y0, x1, y1)`` in pixels of the explained input, as torchvision's detectors give them,
            ``float [N, 4]``; NaN for a sample without one. ``None`` where there are no boxes.
        masks: Which positions belong to it, ``bool [N, *spatial]``; ``None`` where there are no masks.
        names: What each sample's outline is called in a caption, e.g. the class of a detected object.

    Example:
        >>> import torch
        >>> found = Outlines(boxes=torch.tensor([[4.0, 8.0, 20.0, 30.0]]), names=("person",))
        >>> found.names
        ('person',)
    """

    boxes: Tensor | None = None
    masks: Tensor | None = None
    names: tuple[str, ...] | None = None
