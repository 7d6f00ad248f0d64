"""The recipe of the probe: which samples of which dataloader are explained, or the samples themselves."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

from torch import Tensor
from torch.utils.data import default_convert

from saliency_callbacks.config.checks import checked_flag, checked_shared
from saliency_callbacks.config.dotted_paths import resolve_callable
from saliency_callbacks.config.nested import copy_inputs, describe
from saliency_callbacks.errors import ProbeError
from saliency_callbacks.probe import checks
from saliency_callbacks.probe.annotations import groups_of, masks_of
from saliency_callbacks.probe.batch import ProbeBatch, freeze, with_label_sets
from saliency_callbacks.probe.dataset_state import preserved
from saliency_callbacks.probe.labels.columns import LabelColumn, chosen_column, named_column
from saliency_callbacks.probe.labels.delivered import DeliveredLabels
from saliency_callbacks.probe.labels.several import finds_several
from saliency_callbacks.probe.reading import Collate, batch_collate, collate_items, read_items, read_rows
from saliency_callbacks.probe.unpack import Unpacked, split_batch, split_with

__all__ = ["Probe"]

_Code = Callable[..., Any] | str


class Probe:
    """Which samples are explained. Chosen once, before the training, and fixed from then on.

    Args:
        size: Number of samples.
        source: Take them from the validation (``"val"``) or the training (``"train"``) dataloader.
        dataloader_idx: Which of several dataloaders.
        stratify: Choose equally many samples of each class, if there are classes.
        indices: Choose these items of the dataset, in this order, instead; ``size`` is then their number.
        seed: Decides which samples are chosen.
        unpack_batch: A function ``batch -> (inputs, labels)`` or ``batch -> (inputs, labels, masks)``, or its dotted
            import path, for batches that :func:`~saliency_callbacks.probe.unpack.unpack_batch` cannot read.
        masks: A function ``inputs -> masks [N, *spatial]``, or its dotted import path, that says where the region of
            interest of each sample is: bool, or shares in [0, 1]. By default the batch's, where it has any: the third
            that ``unpack_batch`` returns, or ``"mask"`` next to ``"image"`` in a dictionary.
        groups: A function ``inputs, labels -> names``, or its dotted import path, that names the group of each sample.
        labels: Where in a batch the labels are: a position, a name, or a dotted path, such as ``2``, ``"label"`` or
            ``"target.label"``; ``None`` if there are none. ``"auto"`` goes by the form of the batch
            (:func:`~saliency_callbacks.probe.unpack.unpack_batch`), and of several parts by the dataset's own labels.
        shown: How many samples of a larger probe are drawn and kept with their maps; monitors and ``CueAlarm`` stream
            the others and keep scores. ``RandomizationTest`` tests the shown ones; ``ShortcutDiscovery`` holds all.

    Raises:
        ProbeError: An argument of another type or out of its range.

    Example:
        >>> Probe(size=8, source="train")
        Probe(size=8, source='train')
    """

    def __init__(
        self,
        size: int = 16,
        source: Literal["val", "train"] = "val",
        dataloader_idx: int = 0,
        stratify: bool = True,
        indices: Sequence[int] | None = None,
        seed: int = 0,
        *,
        unpack_batch: Callable[..., Any] | str | None = None,
        masks: Callable[..., Any] | str | None = None,
        groups: Callable[..., Any] | str | None = None,
        labels: int | str | None = "auto",
        shown: int = 64,
    ) -> None:
        chosen = checks.as_indices(indices)
        self.size = checks.as_integer("size", size, 1) if chosen is None else len(chosen)
        self.source = checks.as_source(source)
        self.dataloader_idx = checks.as_integer("dataloader_idx", dataloader_idx, 0)
        self.stratify = checked_flag("Probe: stratify", stratify, error=ProbeError)
        self.indices = chosen
        self.seed = checks.as_integer("seed", seed, 0)
        self.unpack_batch = checks.as_function("unpack_batch", unpack_batch, "batch -> (inputs, labels)")
        self.masks: _Code | Tensor | None = checks.as_function("masks", masks, "inputs -> masks [N, *spatial]")
        self.groups: _Code | tuple[str, ...] | None = checks.as_function("groups", groups, "inputs, labels -> names")
        self.labels = checks.as_path("labels", labels)
        checks.check_one_says_labels(self.unpack_batch, self.labels)
        self.shown = checks.as_integer("shown", shown, 1)
        self._fixed: ProbeBatch | None = None

    @classmethod
    def from_tensors(
        cls,
        inputs: Any,
        labels: Any = None,
        ids: Sequence[object] | None = None,
        masks: Tensor | None = None,
        groups: Sequence[object] | None = None,
        shared: Sequence[int | str] | None = None,
    ) -> Probe:
        """Explain these samples instead of a dataloader's.

        Args:
            inputs: ``[N, C, *spatial]`` as the model takes it, or a tuple or dictionary of tensors.
            labels: Class of each sample ``[N]``, or multi-hot rows ``[N, K]``.
            ids: A name for each sample; 0 to N - 1 by default.
            masks: Region of interest of each sample, ``[N, *spatial]``, bool or shares in [0, 1], or class indices.
            groups: Name of the group of each sample, such as ``["bird on water", "bird on land"]``.
            shared: Keys or positions of the inputs that all samples share, such as one prompt a class; they may have
                any number of rows.

        Raises:
            ProbeError: The arguments disagree about N or the spatial shape.
        """
        fixed = freeze(inputs, labels, ids=ids, masks=masks, groups=groups, shared=checked_shared(shared))
        probe = cls(size=fixed.size)
        probe._fixed, probe.masks, probe.groups = fixed, fixed.given_masks, fixed.groups
        return probe

    @classmethod
    def of(cls, value: Probe | int | None) -> Probe:
        """Return ``value`` as a probe: a number is its size, ``None`` is the default probe."""
        if value is None:
            return cls()
        if isinstance(value, Probe):
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return cls(size=value)
        raise checks.no_probe(value)

    @property
    def is_fixed(self) -> bool:
        """Whether the samples were given as tensors, so that no dataset is read."""
        return self._fixed is not None

    @property
    def ids(self) -> tuple[str, ...] | None:
        """The names given to :meth:`from_tensors`; ``None`` where the samples come from a dataset."""
        return self._fixed.ids if self._fixed else None

    def read(
        self,
        dataset: Any = None,
        collate_fn: Collate | None = None,
        candidates: Sequence[int] | None = None,
        *,
        indices: Sequence[int] | None = None,
        batched: bool = True,
    ) -> tuple[Any, tuple[int, ...] | None]:
        """Choose the samples, read and collate them.

        The choice leaves global random state alone, but the dataset's own reading may draw from it (augmentation): the
        caller isolates and seeds it. The dataset, its transforms and their generators are left as they were
        (:func:`~saliency_callbacks.probe.dataset_state.preserved`); an iterable dataset is read from a deep copy.

        Args:
            dataset: The dataloader's dataset; not read, and not needed, where the probe :attr:`is_fixed`.
            collate_fn: The dataloader's; PyTorch's default collate function by default.
            candidates: Choose among these positions of a map-style dataset only, see
                :func:`~saliency_callbacks.probe.loaders.candidate_indices`.
            indices: Positions of an earlier run's probe, read instead of choosing anew. Ignored where the probe has
                ``indices`` or a ``size`` other than their number, or the dataset no longer has them all.
            batched: Whether the dataloader makes batches. Where it does not (``batch_size=None``), the items are
                batches already: the first ``size`` rows of the first items are taken, without stratification.

        Returns:
            The batch as the dataloader would deliver it, and the positions of its samples in the dataset; ``None``
            instead of positions for rows of whole batches. A fixed probe gives a copy of ``(inputs, labels)``, or
            ``(inputs,)``, and ``None``.

        Raises:
            ProbeError: The dataset is empty, cannot be read, has not all of the probe's ``indices``, or its items do
                not collate.

        Warns:
            SaliencyWarning: The dataset has fewer than ``size`` items; all are taken.
        """
        if self._fixed is not None:
            labels = self._fixed.multi_labels if self._fixed.labels is None else self._fixed.labels
            return tuple(copy_inputs(part) for part in (self._fixed.inputs, labels) if part is not None), None
        with preserved(dataset, collate_fn):
            if not batched:
                return read_rows(dataset, self.size, collate_fn or default_convert, candidates, self.indices), None
            collate = batch_collate(collate_fn)
            delivered = DeliveredLabels(collate, self.columns)
            items, chosen = read_items(
                dataset,
                self.size,
                indices=self.indices,
                stratify=self.stratify,
                seed=self.seed,
                read_label=delivered.of,
                delivers=delivered.are,
                candidates=candidates,
                saved=indices,
            )
            return collate_items(items, collate), chosen

    def unpack(self, batch: Any) -> tuple[Any, Tensor | None]:
        """Split a batch into the inputs and the labels ``int64 [N]``, or ``None`` where it has no classes.

        Raises:
            ProbeError: The batch cannot be read.
            ConfigurationError: The path given as ``unpack_batch`` cannot be imported.
        """
        return self._split(batch).pair

    def finds_several(self, column: LabelColumn, *source: Any, **how: Any) -> bool:
        """Call :func:`~saliency_callbacks.probe.labels.several.finds_several`, ``source`` as for :meth:`read`."""
        if self._fixed is not None:
            return False
        return finds_several(column, self.columns, *source, size=self.size, seed=self.seed, **how)

    def freeze(
        self,
        batch: Any,
        indices: Sequence[int] | None = None,
        *,
        class_names: Sequence[str] | None = None,
        normalization: tuple[Sequence[float], Sequence[float]] | None = None,
        known_labels: Tensor | None = None,
        has_several: Callable[[LabelColumn], bool] | None = None,
        feed: Callable[[Unpacked], Any] | None = None,
        shared: Sequence[int | str] | None = None,
    ) -> ProbeBatch:
        """Split a batch that was :meth:`read`, add the masks, groups and ids, and freeze it all.

        Args:
            batch: The batch, as the model's forward would find it.
            indices: Positions of its samples in the dataset.
            class_names: Name of each class.
            normalization: Mean and standard deviation of each channel, as the dataset tells it.
            known_labels: The labels that the dataset itself tells of these samples, ``int64 [N]``: they say which of
                several parts of the batch holds the labels.
            has_several: Says of labels that were read of one-hot rows whether other samples have several, so that these
                could, too (:meth:`finds_several`). By default they have one class each.
            feed: Returns the inputs as the model takes them, from the parts of the batch; by default they are as
                :meth:`unpack` returns them.
            shared: Keys or positions of the inputs that all samples share; those given with the samples by default.

        Raises:
            ProbeError: The batch cannot be read, or its parts do not fit together.
            ConfigurationError: A path given as ``unpack_batch``, ``masks`` or ``groups`` cannot be imported.
        """
        parts = self._split(batch)
        if self.masks is not None:
            parts = replace(parts, masks=masks_of(self.masks, parts.inputs))
        column, note = chosen_column(parts.columns, known_labels, indices)
        rows = None if column is None or has_several is None or not has_several(column) else column.one_hot
        labels = rows if column is None or rows is not None else column.labels
        groups = None if self.groups is None else groups_of(self.groups, parts.inputs, labels)
        frozen = freeze(
            parts.inputs if feed is None else feed(parts),
            labels,
            ids=self.ids,
            indices=indices,
            masks=parts.masks,
            class_names=class_names,
            normalization=normalization,
            groups=groups,
            notes=[said for said in (note, parts.unread) if said is not None],
            shared=self._fixed.shared if shared is None and self._fixed is not None else shared,
            objects=parts.objects,
        )
        return frozen if rows is None else with_label_sets(frozen, rows)

    def __repr__(self) -> str:
        if self._fixed is not None:
            shown = [describe(self._fixed.inputs), f"fingerprint={self._fixed.fingerprint[:12]!r}"]
            return f"{type(self).__name__}.from_tensors({', '.join(shown)})"
        defaults = inspect.signature(Probe).parameters
        given = [f"{name}={value!r}" for name, value in self._settings().items() if value != defaults[name].default]
        return f"{type(self).__name__}({', '.join(given)})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Probe) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def _settings(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    def _identity(self) -> tuple[Any, ...]:
        if self._fixed is None:
            return tuple(self._settings().values())
        return self._fixed.identity

    def columns(self, batch: Any) -> tuple[LabelColumn, ...]:
        """Return what could be the labels of a batch."""
        return self._split(batch).columns

    def _split(self, batch: Any) -> Unpacked:
        function = resolve_callable("Probe(unpack_batch=...)", self.unpack_batch)
        parts = split_batch(batch) if function is None else split_with(function, batch)
        if self.labels == checks.AUTO or self.is_fixed:
            return parts
        columns = () if self.labels is None else (named_column(batch, self.labels),)
        return replace(parts, columns=columns, unread=None)
