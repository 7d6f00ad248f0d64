"""What a dataset tells about its classes and about the normalization of its images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from saliency_callbacks.probe.introspection import attribute, inner_datasets, levels

__all__ = ["Normalization", "class_names", "normalization", "own_normalization", "rgb_bands"]

_NORMALIZERS = {"Normalize", "ImageClassification", "VideoClassification", "SemanticSegmentation"}

# Grey, or red, green and blue.
_SHOWN = (1, 3)

Normalization = tuple[tuple[float, ...], tuple[float, ...]]


def class_names(dataset: Any) -> tuple[str, ...] | None:
    """Return the name of each class, by index.

    Looks at ``classes``, ``class_names`` and ``class_to_idx`` of the dataset, then of the datasets it wraps
    (``Subset``, ``ConcatDataset``, wrappers with ``.dataset``). Where a class has several names, the first.

    Args:
        dataset: Any dataset, or ``None``.

    Returns:
        ``None`` where there are no names, or the datasets of one level disagree.
    """
    for level in levels(dataset, inner_datasets):
        found = {names for names in map(_own_names, level) if names}
        if found:
            return found.pop() if len(found) == 1 else None
    return None


def normalization(dataset: Any) -> Normalization | None:
    """Return the mean and standard deviation of each channel that a dataset's transforms normalize with.

    Looks for ``Normalize`` (torchvision v1 and v2, Kornia, and anything of that name with ``mean`` and ``std``), for
    the presets of torchvision's weights and for image processors of Hugging Face, in ``transform``, ``transforms`` and
    ``processor`` of the dataset and of the datasets it wraps, through nested ``Compose`` and ``Sequential``.

    Args:
        dataset: Any dataset, or ``None``.

    Returns:
        ``(mean, std)``, one number a channel; ``None`` where there is none, or several disagree.
    """
    found = {own_normalization(each) for each in chain.from_iterable(levels(dataset, _parts))} - {None}
    return found.pop() if len(found) == 1 else None


def rgb_bands(dataset: Any) -> tuple[int, ...] | None:
    """Return which channels of a dataset's images are red, green and blue.

    Looks at ``rgb_bands`` of the dataset, then of the datasets it wraps: positions, or names among its ``bands`` or
    ``all_bands``, as TorchGeo has them.

    Args:
        dataset: Any dataset, or ``None``.

    Returns:
        ``None`` where there are none, or the datasets of one level disagree.
    """
    for level in levels(dataset, inner_datasets):
        found = {bands for bands in map(_own_rgb_bands, level) if bands}
        if found:
            return found.pop() if len(found) == 1 else None
    return None


def _own_rgb_bands(dataset: Any) -> tuple[int, ...] | None:
    rgb = attribute(dataset, "rgb_bands")
    if not isinstance(rgb, list | tuple) or len(rgb) not in _SHOWN:
        return None
    if all(isinstance(band, int) for band in rgb):
        return tuple(rgb)
    for name in ("bands", "all_bands", "all_band_names"):
        known = attribute(dataset, name)
        if isinstance(known, list | tuple) and known:
            return tuple(known.index(band) for band in rgb) if set(rgb) <= set(known) else None
    return None


def _own_names(dataset: Any) -> tuple[str, ...] | None:
    for name in ("classes", "class_names"):
        names = attribute(dataset, name)
        if isinstance(names, list | tuple | np.ndarray) and len(names):
            first = [_first_name(name) for name in names]
            return tuple(str(name) for name in first) if all(isinstance(name, str | int) for name in first) else None
    indices = attribute(dataset, "class_to_idx")
    return _names_by_index(indices) if isinstance(indices, Mapping) else None


def _first_name(name: Any) -> Any:
    """Return the first of several synonyms, as torchvision's ImageNet has them."""
    return name[0] if isinstance(name, list | tuple) and name else name


def _names_by_index(indices: Mapping[Any, Any]) -> tuple[str, ...] | None:
    if not all(isinstance(index, int | np.integer) for index in indices.values()):
        return None
    names: dict[Any, str] = {}
    for name, index in indices.items():
        names.setdefault(index, str(name))
    return tuple(names[index] for index in range(len(names))) if set(names) == set(range(len(names))) else None


def _parts(owner: Any) -> list[Any]:
    """Return the datasets and transforms directly inside a dataset or a transform; no target transforms."""
    parts = inner_datasets(owner)
    for name in ("transform", "transforms", "processor", "image_processor", "feature_extractor"):
        part = attribute(owner, name)
        parts.extend(part if isinstance(part, list | tuple | nn.ModuleList) else [part])
    if isinstance(owner, nn.Sequential):
        parts.extend(owner.children())
    return [part for part in parts if part is not None]


def own_normalization(transform: Any) -> Normalization | None:
    """Return the mean and standard deviation of a single transform, or of an image processor of Hugging Face."""
    names = ("image_mean", "image_std")
    if type(transform).__name__ in _NORMALIZERS:
        names = ("mean", "std")
    elif attribute(transform, "do_normalize") is not True:
        return None
    # Kornia keeps them in a dictionary.
    flags = attribute(transform, "flags")
    held = flags if isinstance(flags, Mapping) else {}
    mean, std = (_numbers(held.get(name, attribute(transform, name))) for name in names)
    return (mean, std) if mean and std and len(mean) == len(std) else None


def _numbers(values: Any) -> tuple[float, ...] | None:
    if isinstance(values, int | float):
        values = [values]
    if not isinstance(values, Tensor | np.ndarray | Sequence) or isinstance(values, str):
        return None
    try:
        numbers = torch.as_tensor(values, dtype=torch.float64, device="cpu").flatten().tolist()
    except Exception:
        return None
    # Rounded, so that a mean kept as float32 equals the same mean kept as float64.
    return tuple(round(value, 6) for value in numbers)
