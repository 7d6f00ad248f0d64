"""What a dataset tells about its classes and about the normalization of its images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from saliency_callbacks.config.batch_names import LABEL_KEYS, names_labels
from saliency_callbacks.config.wording import counted
from saliency_callbacks.probe.introspection import attribute, inner_datasets, length, levels

__all__ = ["Normalization", "class_names", "class_names_of", "normalization", "own_normalization", "rgb_bands"]

_NORMALIZERS = {"Normalize", "ImageClassification", "VideoClassification", "SemanticSegmentation"}

# Grey, or red, green and blue.
_SHOWN = (1, 3)

Normalization = tuple[tuple[float, ...], tuple[float, ...]]


def class_names(dataset: Any, column: int | str | None = None) -> tuple[str, ...] | None:
    """Return the name of each class, by index.

    Looks at ``classes``, ``class_names``, ``class_to_idx`` and the class labels among the ``features`` (Hugging Face)
    of the dataset, then of the datasets it wraps (``Subset``, ``ConcatDataset``, wrappers with ``.dataset``). Where a
    class has several names, the first.

    Args:
        dataset: Any dataset, or ``None``.
        column: Name of the labels, where features have several.

    Returns:
        ``None`` where there are no names, or the datasets of one level disagree.
    """
    for level in levels(dataset, inner_datasets):
        found = {names for names in (_own_names(each, column) for each in level) if names}
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


def class_names_of(
    labels: Tensor | None, dataset: Any, known: Tensor | None, column: int | str | None = None
) -> tuple[tuple[str, ...] | None, str | None]:
    """Return the names of a dataset's classes, if they are those of the labels that it delivers, and what to say.

    A ``target_transform``, or a wrapper that leaves items out, may number the classes anew.

    Args:
        labels: Delivered labels, ``int64 [N]`` or ``bool [N, K]``; ``None`` where there are none.
        dataset: The dataset.
        known: The labels that the dataset tells of the same samples ``[N]``, where it does.
        column: Name of the labels, where features have several.

    Returns:
        The names, or ``None`` without any that fit; and a sentence where there are names that do not.
    """
    names = class_names(dataset, column)
    if names is None or labels is None:
        return names, None
    if labels.ndim > 1:
        reason = "" if labels.shape[1] == len(names) else f"there are {labels.shape[1]} labels"
    elif known is not None and not torch.equal(known, labels):
        reason = "its stored labels differ from those it delivers"
    else:
        reason = _renumbering(dataset, len(names), known)
    if not reason:
        return names, None
    return None, (
        f"the dataset has {counted(len(names), 'class name')}, but {reason}, so the names are not shown. Give the "
        "names of the delivered labels as appearance=Appearance(class_names=[…])"
    )


def _renumbering(dataset: Any, n_classes: int, known: Tensor | None) -> str:
    """Return why delivered labels may have other numbers than the dataset's classes; empty where they have the same."""
    for each in chain.from_iterable(levels(dataset, inner_datasets)):
        transform = attribute(each, "target_transform")
        if callable(transform) and not _keeps_classes(transform, n_classes):
            return "its `target_transform` changes the labels"
        if known is None and _chooses_items(each):
            return f"{type(each).__name__} omits or repeats items, and may renumber the classes"
    return ""


def _chooses_items(dataset: Any) -> bool:
    """Whether a dataset wraps another one of another length without telling which items it takes."""
    inner = attribute(dataset, "dataset")
    return inner is not None and attribute(dataset, "indices") is None and length(dataset) != length(inner)


def _keeps_classes(transform: Any, n_classes: int) -> bool:
    """Whether a transform leaves each class as it is, as one to a tensor does; it does where it cannot be tried."""
    try:
        found = [torch.as_tensor(transform(index)) for index in range(n_classes)]
    except Exception:
        return True
    return all(
        (each.numel() == 1 and float(each) == index)
        or (each.ndim == 1 and each.numel() > 1 and int(each.float().argmax()) == index)
        for index, each in enumerate(found)
    )


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


def _own_names(dataset: Any, column: int | str | None = None) -> tuple[str, ...] | None:
    for name in ("classes", "class_names"):
        names = attribute(dataset, name)
        if isinstance(names, list | tuple | np.ndarray) and len(names):
            first = [_first_name(name) for name in names]
            return tuple(str(name) for name in first) if all(isinstance(name, str | int) for name in first) else None
    indices = attribute(dataset, "class_to_idx")
    if isinstance(indices, Mapping):
        return _names_by_index(indices)
    features = attribute(dataset, "features")
    return _feature_names(features, column) if isinstance(features, Mapping) else None


def _feature_names(features: Mapping[Any, Any], column: int | str | None) -> tuple[str, ...] | None:
    """Return the names of a class label among the features of a dataset, of one label or of several a sample."""
    named = [key for key in features if names_labels(key)]
    usual = [key for name in LABEL_KEYS for key in named if str(key).lower() == name]
    for key in [column] if column in features else [*usual, *named]:
        for feature in (features[key], attribute(features[key], "feature")):
            names = attribute(feature, "names")
            if isinstance(names, list | tuple) and names:
                return tuple(map(str, names))
    return None


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
