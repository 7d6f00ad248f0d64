"""The frozen probe batch: what is explained, the same at every observation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from saliency_callbacks.config.nested import copy_inputs, fingerprint
from saliency_callbacks.probe.annotations import hold_classes, regions_of
from saliency_callbacks.probe.checks import (
    checked_groups,
    checked_ids,
    checked_indices,
    checked_labels,
    checked_masks,
    checked_normalization,
    checked_size,
)
from saliency_callbacks.probe.labels.objects import Objects

__all__ = ["Inputs", "ProbeBatch", "freeze", "with_label_sets"]

Inputs = Tensor | tuple[Any, ...] | dict[str, Any]
"""A tensor ``[N, ...]``, or a tuple or dictionary of such, nested as the model takes it."""


@dataclass(frozen=True, eq=False)
class ProbeBatch:
    """The samples that are explained, on the CPU. Compare two by their ``fingerprint``.

    Args:
        inputs: Collated inputs: a tensor ``[N, C, *spatial]``, or a tuple or dictionary of tensors. Feed a
            model with copies (:func:`copy_inputs`), as it may write into what it is given.
        labels: Class of each sample, ``int64 [N]``, where there are classes.
        ids: A stable name for each sample.
        indices: Positions in the dataset; ``None`` where the samples were given as tensors.
        masks: Region of interest of each sample ``[N, *spatial]``, bool or a share of each pixel in [0, 1].
        fingerprint: SHA-256 of inputs and labels (of either kind), see :func:`fingerprint`.
        class_names: Name of each class, by index.
        normalization: Mean and standard deviation of each channel that the inputs were normalized with.
        groups: Name of the group that each sample belongs to, where there are groups.
        multi_labels: Classes of each sample, ``bool [N, K]``, where a sample can have several; ``labels`` is then
            ``None``.
        notes: What a person should know of how the batch was read, one sentence each.
        shared: Keys or positions of the inputs that all samples share, where they were named.
        bands: Channels that are red, green and blue, as the dataset tells it.
        normalized_by: Where the inputs were normalized, in words.
        objects: The objects that are annotated in each picture, where they are.
        class_masks: Class of each pixel ``[N, *spatial]``, where the masks were given as such; ``masks`` is then where
            it is neither 0 nor void, 255 or negative.

    Example:
        >>> import torch
        >>> batch = freeze(torch.rand(2, 3, 8, 8), labels=[1, 0], class_names=["cat", "dog"])
        >>> batch.size, [batch.class_name(label) for label in batch.labels]
        (2, ['dog', 'cat'])
    """

    inputs: Inputs
    labels: Tensor | None
    ids: tuple[str, ...]
    indices: tuple[int, ...] | None
    masks: Tensor | None
    fingerprint: str
    class_names: tuple[str, ...] | None = None
    normalization: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    groups: tuple[str, ...] | None = None
    multi_labels: Tensor | None = None
    notes: tuple[str, ...] = ()
    shared: tuple[int | str, ...] | None = None
    bands: tuple[int, ...] | None = None
    normalized_by: str | None = None
    objects: tuple[Objects, ...] | None = None
    class_masks: Tensor | None = None

    @property
    def size(self) -> int:
        """Number of samples N."""
        return len(self.ids)

    @property
    def identity(self) -> tuple[Any, ...]:
        """What tells it from any other."""
        given = self.given_masks
        masks = None if given is None else fingerprint(given)
        return self.fingerprint, self.ids, masks, self.groups, self.shared

    @property
    def given_masks(self) -> Tensor | None:
        """The masks with all that they say: classes where they hold them, else regions."""
        return self.masks if self.class_masks is None else self.class_masks

    def class_name(self, index: int, names: Sequence[str] | None = None) -> str:
        """Return the name of a class, by ``names`` or else the probe's own; its index where it has none."""
        known = names or self.class_names
        return str(known[index]) if known is not None and 0 <= index < len(known) else str(index)


def freeze(
    inputs: Any,
    labels: Any = None,
    *,
    ids: Sequence[object] | None = None,
    indices: Sequence[int] | None = None,
    masks: Tensor | None = None,
    class_names: Sequence[str] | None = None,
    normalization: tuple[Sequence[float], Sequence[float]] | None = None,
    groups: Sequence[object] | None = None,
    notes: Sequence[str] = (),
    shared: Sequence[int | str] | None = None,
    objects: tuple[Objects, ...] | None = None,
) -> ProbeBatch:
    """Copy a batch to the CPU and detach it, so that nothing the training does can change it.

    Args:
        inputs: A tensor or array ``[N, ...]``, or a tuple, list or dictionary of such. Every tensor has N
            rows, except scalars and what is shared.
        labels: ``[N]`` or ``[N, 1]`` integers (or floats 0 and 1), one-hot or multi-hot rows ``[N, K]``, or ``None``.
        ids: A name for each sample; ``indices``, else 0 to N - 1, by default.
        indices: Positions in the dataset.
        masks: ``[N, *spatial]``, with the spatial shape of ``inputs`` where that is a tensor. Integers beyond
            0 and 1 are the class of each pixel, 255 for none (0 and 255 alone are a region, as in a picture); others
            count as bool. Floats are shares in [0, 1].
        class_names: Name of each class.
        normalization: Mean and standard deviation of each channel, as a dataset tells it; left out where the inputs
            are one tensor with another number of channels.
        groups: Name of the group of each sample, such as ``"bird on water"``.
        notes: What a person should know of how the batch was read, one sentence each.
        shared: Keys or positions of the inputs that all samples share, with any number of rows.
        objects: The objects that are annotated in each picture.

    Raises:
        ProbeError: The inputs hold no tensor, or one of the arguments has another number of samples or
            another shape.
    """
    frozen = copy_inputs(inputs)
    size = checked_size(frozen, inputs, shared)
    found = checked_labels(labels, size)
    has_several = found is not None and found.ndim == 2
    positions = checked_indices(indices, size)
    given = checked_masks(masks, frozen, size)
    default_ids = range(size) if positions is None else positions
    return ProbeBatch(
        inputs=frozen,
        labels=None if has_several else found,
        ids=checked_ids(default_ids if ids is None else ids, size),
        indices=positions,
        masks=None if given is None else regions_of(given),
        fingerprint=fingerprint(frozen, found),
        class_names=None if class_names is None else tuple(str(name) for name in class_names),
        normalization=checked_normalization(normalization, frozen),
        groups=checked_groups(groups, size),
        multi_labels=found if has_several else None,
        notes=tuple(notes),
        shared=None if shared is None else tuple(shared),
        objects=objects,
        class_masks=given if given is not None and hold_classes(given) else None,
    )


def with_label_sets(batch: ProbeBatch, rows: Tensor) -> ProbeBatch:
    """Return a batch whose samples can have several labels, though each of these has one.

    Args:
        batch: A frozen batch.
        rows: Classes of each sample, ``bool [N, K]``.
    """
    with torch.inference_mode(False):
        several = rows.detach().cpu().clone()
    return replace(batch, labels=None, multi_labels=several, fingerprint=fingerprint(batch.inputs, several))
