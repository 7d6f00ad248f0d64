"""The objects that are annotated in each picture, and pictures that come one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from saliency_callbacks.config.nested import describe
from saliency_callbacks.errors import ProbeError

__all__ = ["Objects", "annotations_in", "objects_in", "stacked", "united_masks"]


@dataclass(frozen=True, eq=False)
class Objects:
    """The objects in one picture.

    Args:
        boxes: Corners ``(x0, y0, x1, y1)`` in pixels, ``float [K, 4]``.
        labels: Class of each, ``int64 [K]``.
    """

    boxes: Tensor
    labels: Tensor


def annotations_in(parts: Sequence[Any], pictures: Any) -> Sequence[Mapping[str, Any]] | None:
    """Return the part of a batch that holds one dictionary a picture with its ``boxes``; ``None`` where none does."""
    n_pictures = len(pictures) if isinstance(pictures, Tensor | np.ndarray | list | tuple) else 0
    for part in parts:
        is_one_each = isinstance(part, list | tuple) and len(part) == n_pictures > 0
        if is_one_each and all(isinstance(each, Mapping) and "boxes" in each for each in part):
            return part  # type: ignore[no-any-return]
    return None


def objects_in(annotations: Sequence[Mapping[str, Any]], size: Sequence[int]) -> tuple[Objects, ...] | None:
    """Return the objects of each picture; ``None`` where the boxes have no labels.

    Boxes are corners in pixels, as torchvision takes them; beside ``class_labels``, as Hugging Face's detectors take
    them, they are centers, widths and heights, as shares of the picture.

    Args:
        annotations: Of each picture.
        size: Height and width of the pictures.

    Raises:
        ProbeError: An annotation cannot be read.
    """
    found = [_objects_of(each, size) for each in annotations]
    known = tuple(each for each in found if each is not None)
    return known if len(known) == len(found) else None


def united_masks(annotations: Sequence[Mapping[str, Any]], size: Sequence[int]) -> Tensor | None:
    """Return where any object is in each picture, ``bool [N, H, W]``; ``None`` where not all have masks."""
    masks = [each.get("masks") for each in annotations]
    shapes = [tuple(getattr(each, "shape", ())) for each in masks]
    if any(len(shape) != 3 or shape[1:] != tuple(size) for shape in shapes):
        return None
    return torch.stack([(torch.as_tensor(each) != 0).any(dim=0) for each in masks])


def stacked(pictures: Any) -> Tensor | None:
    """Return pictures ``[C, H, W]`` that are delivered one by one as a batch; ``None`` where they are something else.

    Raises:
        ProbeError: They have different sizes.
    """
    if not isinstance(pictures, list | tuple) or not pictures:
        return None
    if not all(isinstance(each, Tensor | np.ndarray) and each.ndim == 3 for each in pictures):
        return None
    sizes = {tuple(each.shape) for each in pictures}
    if len(sizes) > 1:
        shown = ", ".join(str(list(size)) for size in sorted(sizes)[:4])
        raise ProbeError(
            f"the probe's {len(pictures)} pictures have different sizes ({shown}{', …' if len(sizes) > 4 else ''}); "
            "expected one size, because maps of all samples are compared and drawn together. Resize the pictures and "
            "their boxes in the dataset (torchvision.transforms.v2.Resize, of tv_tensors), choose pictures of one size "
            "with Probe(indices=[…]), or give them with Probe.from_tensors(pictures)"
        )
    return torch.stack([torch.as_tensor(each) for each in pictures])


def _objects_of(annotation: Mapping[str, Any], size: Sequence[int]) -> Objects | None:
    boxes, labels = annotation.get("boxes"), annotation.get("class_labels", annotation.get("labels"))
    if boxes is None or labels is None:
        return None
    try:
        places = torch.as_tensor(boxes).detach().cpu().float().reshape(-1, 4).as_subclass(Tensor)
        classes = torch.as_tensor(labels).detach().cpu().long().reshape(-1).as_subclass(Tensor)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ProbeError(f"the annotation {describe(annotation)} cannot be read; expected boxes [K, 4]") from error
    if len(places) != len(classes):
        raise ProbeError(
            f"the annotation {describe(annotation)} has {len(places)} boxes and {len(classes)} labels; expected one "
            "label for each box"
        )
    if "class_labels" in annotation:
        height, width = size
        center, extent = places[:, :2], places[:, 2:]
        places = torch.cat([center - extent / 2, center + extent / 2], dim=1)
        places = places * places.new_tensor([width, height, width, height])
    return Objects(places, classes)
