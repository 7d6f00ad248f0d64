"""Checks of what a user gives a probe: the arguments of ``Probe``, in Python, YAML or Hydra, and parts of a batch."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, cast

import numpy as np
import torch
from torch import Tensor

from saliency_callbacks.config.checks import checked_choice, checked_integer
from saliency_callbacks.config.nested import describe, leaves
from saliency_callbacks.config.wording import counted
from saliency_callbacks.errors import ProbeError
from saliency_callbacks.probe.labels.classes import class_indices, label_sets

__all__ = [
    "AUTO",
    "as_function",
    "as_indices",
    "as_integer",
    "as_path",
    "as_source",
    "check_one_says_labels",
    "checked_groups",
    "checked_ids",
    "checked_indices",
    "checked_labels",
    "checked_masks",
    "checked_normalization",
    "checked_size",
    "no_probe",
]

_VIDEO_DIMENSIONS = 5


AUTO = "auto"


def no_probe(value: Any) -> ProbeError:
    """Return the error for a ``probe`` that is none."""
    shown = repr(value) if isinstance(value, str | float | bool) else describe(value)
    return ProbeError(
        f"probe={shown}; expected a Probe, its size or None. Write Probe(size=16), or Probe.from_tensors(inputs, "
        "labels) for your own samples"
    )


def as_path(name: str, value: Any) -> int | str | None:
    """Return a path into a batch: a position, a name, several with dots between, or ``None``.

    Raises:
        ProbeError: It is none of these.
    """
    if value is None or (isinstance(value, str) and value.strip(".")):
        return value
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return int(value)
    raise ProbeError(
        f"Probe({name}={value!r}); expected a position such as 1, a name such as 'label', a dotted path such as "
        "'target.label', or None for a batch without labels"
    )


def as_integer(name: str, value: Any, at_least: int) -> int:
    """Return an argument of ``Probe`` as an ``int``; raise ``ProbeError`` where it is no integer from there up."""
    expected = f"an integer of at least {at_least}"
    return checked_integer(f"Probe: {name}", value, at_least, expected=expected, error=ProbeError)


def as_source(value: Any) -> Literal["val", "train"]:
    """Return ``value``; raise ``ProbeError`` unless it is ``"val"`` or ``"train"``."""
    expected = "'val' or 'train'; for samples from anywhere else use Probe.from_tensors(…)"
    source: Literal["val", "train"] = checked_choice(
        "Probe: source", value, ("val", "train"), expected=expected, error=ProbeError
    )
    return source


def as_indices(value: Any) -> tuple[int, ...] | None:
    """Return ``value`` (a list, tuple, range, array or Hydra list) as a tuple of distinct indices.

    Raises:
        ProbeError: It is none of these, empty, or names an index twice.
    """
    if value is None:
        return None
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ProbeError(f"Probe(indices={value!r}); expected a list of integers, such as [0, 5, 7]")
    indices = tuple(as_integer("indices", index, 0) for index in value)
    repeated = sorted({index for index in indices if indices.count(index) > 1})
    if not indices or repeated:
        problem = f"names {repeated[:5]} more than once" if repeated else "is empty"
        raise ProbeError(f"Probe(indices={describe(list(indices))}) {problem}; expected distinct indices")
    return indices


def as_function(name: str, value: Any, form: str) -> Callable[..., Any] | str | None:
    """Return ``value``: a function of this form, its dotted import path, or ``None``.

    Raises:
        ProbeError: It is none of these.
    """
    if value is None or callable(value) or (isinstance(value, str) and "." in value.strip(".")):
        return cast("Callable[..., Any] | str | None", value)
    shown = repr(value) if isinstance(value, str | float | int) else describe(value)
    own = "" if name == "unpack_batch" else f". For your own samples, use Probe.from_tensors(inputs, {name}={name})"
    raise ProbeError(
        f"Probe({name}={shown}); expected a function {form}, or its import path 'package.module.function'{own}"
    )


def checked_size(inputs: Any, given: Any, shared: Sequence[int | str] | None = None) -> int:
    """Return the number of rows that all tensors of the inputs share; scalars have none.

    Args:
        inputs: A tensor, or a tuple or dictionary of tensors.
        given: The same as it was given, for messages.
        shared: Keys or positions of tensors that have no row for each sample.

    Raises:
        ProbeError: There is no such tensor, they disagree, or they have no rows.
    """
    sizes = {
        path: leaf.shape[0]
        for path, leaf in leaves(_without(inputs, frozenset(map(str, shared or ()))))
        if isinstance(leaf, Tensor) and leaf.ndim
    }
    if not sizes:
        raise ProbeError(
            f"the probe's inputs are {describe(given)}; expected a tensor [N, …], or a tuple or dictionary of "
            "tensors. Give one tensor with a row per sample, e.g. torch.stack(images)"
        )
    if len(set(sizes.values())) > 1:
        raise ProbeError(
            f"the tensors of the probe's inputs have different numbers of rows: {describe(given)}; expected one row "
            "per sample in each. Stack them along the first dimension, and name inputs that all samples share with "
            "reading=ModelReading(shared=…), or for your own samples with Probe.from_tensors(inputs, shared=…)"
        )
    size = next(iter(sizes.values()))
    if size == 0:
        raise ProbeError(f"the probe's inputs are empty: {describe(given)}; expected at least one sample")
    return size


def _without(inputs: Any, names: frozenset[str], name: str = "") -> Any:
    """Return inputs without what is named; nested keys are joined by dots."""
    if not isinstance(inputs, Mapping | tuple) or not names:
        return inputs
    items = inputs.items() if isinstance(inputs, Mapping) else enumerate(inputs)
    prefix = f"{name}." if name else ""
    return {key: _without(value, names, f"{prefix}{key}") for key, value in items if f"{prefix}{key}" not in names}


def checked_labels(labels: Any, size: int) -> Tensor | None:
    """Return labels as ``int64 [N]``, or ``bool [N, K]`` where a sample has several, on the CPU.

    Raises:
        ProbeError: They are no class labels of N samples.
    """
    if labels is None:
        return None
    classes = class_indices(labels)
    classes = label_sets(labels) if classes is None else classes
    if classes is None:
        raise ProbeError(
            f"the probe's labels are {describe(labels)}; expected integers [{size}], floats that are 0 or 1, or "
            f"one-hot or multi-hot rows [{size}, classes]. Give labels=None if the samples have no classes"
        )
    _require_size("labels", describe(labels), len(classes), size)
    with torch.inference_mode(False):
        return classes.detach().cpu().clone()


def checked_indices(indices: Sequence[int] | None, size: int) -> tuple[int, ...] | None:
    """Return indices as a tuple of N integers; raise ``ProbeError`` where there are more or fewer."""
    if indices is None:
        return None
    positions = tuple(operator.index(index) for index in indices)
    if len(positions) != size:
        raise ProbeError(
            f"{counted(len(positions), 'sample')} were read for the probe, but their batch has {counted(size, 'row')}; "
            'expected one row per sample from the collate function or Probe(unpack_batch="package.function")'
        )
    return positions


def checked_ids(ids: Any, size: int) -> tuple[str, ...]:
    """Return ids as a tuple of N strings; raise ``ProbeError`` where there are more or fewer."""
    if isinstance(ids, str):
        raise ProbeError(f"the probe's ids are the string {ids!r}; expected a list of {counted(size, 'name')}")
    names = tuple(str(name) for name in ids)
    _require_size("ids", f"{len(names)} names", len(names), size)
    return names


def checked_groups(groups: Any, size: int) -> tuple[str, ...] | None:
    """Return the group of each sample as a tuple of N strings; raise ``ProbeError`` where they are something else."""
    if groups is None:
        return None
    if isinstance(groups, Tensor | np.ndarray):
        groups = groups.tolist()
    if isinstance(groups, str | Mapping) or not isinstance(groups, Iterable):
        shown = repr(groups) if isinstance(groups, str) else describe(groups)
        raise ProbeError(f"the probe's groups are {shown}; expected a list of {counted(size, 'name')}, one per sample")
    names = tuple(str(name) for name in groups)
    _require_size("groups", f"{len(names)} names", len(names), size)
    return names


def checked_masks(masks: Any, inputs: Any, size: int) -> Tensor | None:
    """Return masks ``[N, *spatial]`` on the CPU.

    Raises:
        ProbeError: Another number of samples, another spatial shape than the inputs, or shares outside [0, 1].
    """
    if masks is None:
        return None
    if not isinstance(masks, Tensor | np.ndarray) or not masks.shape:
        raise ProbeError(f"the probe's masks are {describe(masks)}; expected a tensor [{size}, *spatial]")
    regions = torch.as_tensor(masks)
    if isinstance(inputs, Tensor) and tuple(regions.shape) not in _regions_of(inputs.shape):
        raise ProbeError(
            f"the probe's masks have shape {list(regions.shape)}, but its inputs have shape {list(inputs.shape)}; "
            f"expected masks {[size, *inputs.shape[2:]]}: one per sample, at the same resolution, without a channel "
            "dimension (masks.squeeze(1))"
        )
    _require_size("masks", describe(masks), regions.shape[0], size)
    with torch.inference_mode(False):
        regions = regions.detach().cpu().clone().as_subclass(Tensor)
    if regions.is_floating_point() and not ((regions >= 0) & (regions <= 1)).all():
        raise ProbeError(
            f"the probe's masks have values from {regions.min():g} to {regions.max():g}; expected bool, or shares in "
            "[0, 1]. Give masks > threshold"
        )
    return regions


def _regions_of(shape: Sequence[int]) -> list[tuple[int, ...]]:
    """Return the shapes that masks may have: videos may have their frames before the channels."""
    n_samples, *rest = shape
    first, last = (n_samples, *rest[1:]), (n_samples, *rest[:1], *rest[2:])
    return [first, last] if len(shape) == _VIDEO_DIMENSIONS else [first]


def checked_normalization(normalization: Any, inputs: Any) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Return mean and standard deviation as two tuples of floats, ``None`` where they are for other channels."""
    if normalization is None:
        return None
    mean, std = (tuple(float(value) for value in values) for values in normalization)
    if len(mean) != len(std):
        raise ProbeError(
            f"the probe's normalization has {counted(len(mean), 'mean')} and "
            f"{counted(len(std), 'standard deviation')}; expected one of each per channel"
        )
    # What a dataset's transform says need not be about the tensor that is explained, e.g. after added channels. Videos
    # may have their frames before the channels.
    is_for_others = isinstance(inputs, Tensor) and len(mean) not in {1, *inputs.shape[1 : max(2, inputs.ndim - 2)]}
    return None if is_for_others else (mean, std)


def _require_size(name: str, given: str, number: int, size: int) -> None:
    if number != size:
        raise ProbeError(
            f"the probe's {name} are {given}, for {counted(number, 'sample')}, but its inputs have "
            f"{counted(size, 'row')}; expected one per sample"
        )


def check_one_says_labels(unpack_batch: object, labels: object) -> None:
    """Raise a ProbeError where two arguments of a probe say where its labels are."""
    if unpack_batch is not None and labels != AUTO:
        raise ProbeError(
            f"Probe(labels={labels!r}) and Probe(unpack_batch=…) both say where the labels are; expected only one of "
            "them. Let unpack_batch return the labels, or None, as the second of its pair"
        )
