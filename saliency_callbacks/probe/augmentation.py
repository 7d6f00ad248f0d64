"""Reading images as they are stored: a view of a dataset in which random transforms are left out.

The user's dataset is never changed: whatever would be is copied first.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from saliency_callbacks.probe.dataset_state import preserved
from saliency_callbacks.probe.introspection import attribute

__all__ = ["Stored", "differs", "varies", "without_augmentation"]

_MAX_DEPTH = 12
_MAX_ENTRIES = 10_000
_HOME = "torchvision.transforms"
_RANDOM = ("AutoAugment", "AugMix", "ColorJitter", "CutMix", "ElasticTransform", "GaussianNoise", "MixUp")
_RANDOM_PREFIXES = ("Rand", "TrivialAugment", "ScaleJitter")
_RANGES: Mapping[str, str] = {"GaussianBlur": "sigma", "JPEG": "quality"}
"""Random only where the two ends of a range differ."""

_BY_CHANCE = tuple(
    f"Random{name}"
    for name in (
        "AdjustSharpness", "Autocontrast", "Equalize", "Grayscale", "HorizontalFlip", "Invert", "Posterize", "Solarize",
        "VerticalFlip",
    )
)  # fmt: skip
"""Random only in whether they are applied."""

_CONTAINERS = (list, dict, set, deque)


class Stored(NamedTuple):
    """A dataset that is read as its samples are stored.

    Args:
        dataset: The dataset itself where there is nothing to leave out, else a view of it.
        left_out: Names of the random transforms that are left out, each once.
    """

    dataset: Any
    left_out: tuple[str, ...]


class _LeftOut(nn.Module):
    """Takes the place of a random transform, and does nothing."""

    def forward(self, *inputs: Any) -> Any:
        """Return what is given."""
        return inputs[0] if len(inputs) == 1 else inputs


def without_augmentation(dataset: Any) -> Stored:
    """Return a dataset whose random transforms of torchvision do nothing, or crop and resize as they do on average.

    They are looked for in the dataset, the datasets that it wraps, and everything callable among their attributes, also
    in lists and dictionaries; of either version of torchvision's transforms, and of classes that derive from them.
    Random crops become crops of the center, and random resized crops resize the whole image, so that all sizes stay.
    What is random in other code stays; see :func:`varies`.

    Args:
        dataset: Any dataset. It is left as it is.

    Example:
        >>> from torchvision.transforms import Compose, RandomHorizontalFlip, ToTensor
        >>> class Images(Dataset):
        ...     transform = None
        ...     def __init__(self):
        ...         self.transform = Compose([RandomHorizontalFlip(), ToTensor()])
        >>> without_augmentation(Images()).left_out
        ('RandomHorizontalFlip',)
    """
    view = _View()
    found = view.of(dataset)
    return Stored(found, tuple(dict.fromkeys(view.left_out)))


def varies(dataset: Any, indices: Sequence[int]) -> bool:
    """Tell whether some items of a map-style dataset differ when they are read again.

    Draws from the global random numbers, which the caller isolates; the dataset and its own generators are left as
    they were.

    Args:
        dataset: The dataset.
        indices: Positions of the items.
    """
    with preserved(dataset):
        # One directly after the other: a generator that the dataset keeps has then moved on.
        return any(differs(dataset[index], dataset[index]) for index in indices)


def differs(first: Any, second: Any) -> bool:
    """Tell whether two items differ: their tensors, arrays, pictures and numbers, however they are nested."""
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        return first.keys() != second.keys() or any(differs(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple) and isinstance(second, list | tuple):
        return len(first) != len(second) or any(map(differs, first, second))
    if type(first) is not type(second):
        return True
    if isinstance(first, Tensor):
        return first.shape != second.shape or not torch.equal(first, second)
    # Pictures of PIL are arrays, too; of anything else nothing is known.
    is_array = isinstance(first, np.ndarray) or attribute(first, "__array_interface__") is not None
    if is_array:
        return not np.array_equal(np.asarray(first), np.asarray(second))
    return isinstance(first, str | bytes | int | float) and repr(first) != repr(second)


class _View:
    """Makes a view of a dataset; each object of it once, so that what is shared stays shared."""

    def __init__(self) -> None:
        self.left_out: list[str] = []
        self._made: dict[int, tuple[Any, Any]] = {}

    def of(self, value: Any, depth: int = 0) -> Any:
        """Return a value without random transforms: itself where it has none."""
        if depth > _MAX_DEPTH or not _may_hold_transforms(value):
            return value
        if id(value) not in self._made:
            # Until it is known, for what refers to itself. Kept alive, as the id of what is collected is given again.
            self._made[id(value)] = (value, value)
            self._made[id(value)] = (value, self._new(value, depth + 1))
        return self._made[id(value)][1]

    def _new(self, value: Any, depth: int) -> Any:
        name = _random_name(value)
        if name is not None:
            self.left_out.append(name)
            return _stand_in(value, name)
        if isinstance(value, dict):
            entries = {key: self.of(each, depth) for key, each in value.items()}
            is_new = any(entries[key] is not each for key, each in value.items())
            return _refilled(value, entries) if is_new else value
        if isinstance(value, list | tuple):
            items = [self.of(each, depth) for each in value]
            is_new = any(one is not each for one, each in zip(items, value, strict=True))
            return (tuple(items) if isinstance(value, tuple) else items) if is_new else value
        return self._with_attributes(value, depth)

    def _with_attributes(self, owner: Any, depth: int) -> Any:
        known = dict(vars(owner))
        # What is done to the labels is no augmentation.
        found = {name: each if "target" in name else self.of(each, depth) for name, each in known.items()}
        changed = {name: each for name, each in found.items() if each is not known[name]}
        if not changed:
            return owner
        try:
            view = copy.copy(owner)
        except Exception:
            # It is then read as it is, and what is random in it is found by reading.
            return owner
        # A cache must not keep for the training what was read without its augmentation.
        own = {name: copy.copy(each) for name, each in known.items() if isinstance(each, _CONTAINERS)}
        vars(view).update({**own, **changed})
        return view


def _may_hold_transforms(value: Any) -> bool:
    if isinstance(value, dict | list | tuple):
        return len(value) <= _MAX_ENTRIES and not hasattr(value, "_fields")
    if isinstance(value, type | ModuleType | FunctionType | BuiltinFunctionType | MethodType | Tensor):
        return False
    if not isinstance(attribute(value, "__dict__"), dict):
        return False
    if isinstance(value, nn.Module):
        # A model, or the module that is trained, is not looked through.
        return next(value.parameters(), None) is None
    return isinstance(value, Dataset) or callable(value) or hasattr(type(value), "__getitem__")


def _random_name(value: Any) -> str | None:
    """Return the name of the random transform of torchvision that an object is; ``None`` where it is none."""
    for base in type(value).__mro__:
        name = base.__name__
        if not base.__module__.startswith(_HOME):
            continue
        if name in _BY_CHANCE and attribute(value, "p") in (0, 1):
            return None
        if name in _RANGES:
            low, high = _ends(attribute(value, _RANGES[name]))
            return name if low != high else None
        if name in _RANDOM or name.startswith(_RANDOM_PREFIXES):
            return name
    return None


def _ends(values: Any) -> tuple[Any, Any]:
    return (values[0], values[-1]) if isinstance(values, list | tuple) and values else (values, values)


def _stand_in(transform: Any, name: str) -> Any:
    """Return what is done in place of a random transform: nothing, or what gives an image of its size."""
    make = _SIZED.get(name)
    try:
        return _LeftOut() if make is None else make(transform)
    except Exception:
        # Another version of torchvision, or a class that has changed its attributes.
        return _LeftOut()


def _home(transform: Any) -> Any:
    """Return the module of the plain transforms of the same version."""
    modules = [base.__module__ for base in type(transform).__mro__]
    return import_module(f"{_HOME}.v2" if any(name.startswith(f"{_HOME}.v2") for name in modules) else _HOME)


def _resized(transform: Any, size: Any, **more: Any) -> Any:
    known = {name: attribute(transform, name) for name in ("interpolation", "antialias")}
    given = {name: value for name, value in known.items() if value is not None}
    return _home(transform).Resize(size, **given, **more)


_SIZED: Mapping[str, Callable[[Any], Any]] = {
    # The whole image, not its center: what gives a class away is often at the border.
    "RandomResizedCrop": lambda one: _resized(one, tuple(one.size)),
    "RandomCrop": lambda one: _home(one).CenterCrop(tuple(one.size)),
    "RandomResize": lambda one: _resized(one, (one.min_size + one.max_size) // 2),
    "RandomShortestSize": lambda one: _resized(one, one.min_size[len(one.min_size) // 2], max_size=one.max_size),
    "ScaleJitter": lambda one: _resized(one, tuple(one.target_size)),
}


def _refilled(given: dict[Any, Any], entries: dict[Any, Any]) -> dict[Any, Any]:
    filled = copy.copy(given)
    filled.update(entries)
    return filled
