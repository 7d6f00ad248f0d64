"""The probe batch of a run: read once from its own dataloader, and frozen."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from saliency_callbacks.callbacks.runtime.host import Host
from saliency_callbacks.capture.feeding import fitting_inputs
from saliency_callbacks.capture.inputs import feed
from saliency_callbacks.capture.isolation.context import quiescence
from saliency_callbacks.capture.layers.find import find_layers
from saliency_callbacks.config.nested import copy_inputs
from saliency_callbacks.errors import ProbeError
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.probe.dataset_state import preserved
from saliency_callbacks.probe.labels.classes import dataset_labels
from saliency_callbacks.probe.loaders import candidate_indices, is_batched
from saliency_callbacks.probe.metadata import class_names_of, rgb_bands
from saliency_callbacks.probe.normalized import images_in, normalized_by
from saliency_callbacks.probe.probe import Probe
from saliency_callbacks.probe.stream import is_map_style
from saliency_callbacks.probe.streaming.capacity import check_items_fit
from saliency_callbacks.probe.unpack import Unpacked
from saliency_callbacks.targets.class_names import model_class_names

__all__ = ["fed_inputs", "freeze_more", "freeze_probe"]


def freeze_probe(
    host: Host,
    probe: Probe,
    saved_indices: Sequence[int] | None = None,
    *,
    module: str | None = None,
    shared: Sequence[int | str] | None = None,
    dataset_of: Callable[[Any], Any] = lambda dataset: dataset,
    candidates: Sequence[int] | None = None,
) -> ProbeBatch | None:
    """Read the probe as a validation step would receive it, and freeze it on the CPU.

    The dataset is indexed directly: iterating the user's dataloader would draw from the training's random numbers.
    Random transforms are seeded by the probe, so that a resumed run sees the same samples. Only samples that the
    dataloader's sampler can draw are chosen.

    Args:
        host: The run.
        probe: What to read.
        saved_indices: Positions of the probe in a checkpoint. They are read again; others where the probe asks for
            others, or the dataset no longer has them all, which the fingerprint of the result tells.
        module: Name of the explained submodule; the whole module by default. Its forward says what of a batch it takes.
        shared: Keys or positions of the inputs that all samples share; those of a probe of tensors by default.
        dataset_of: Returns what is read in place of the dataset, such as a view of it that leaves something out. What
            the dataset tells of itself (its labels, classes, normalization) is asked of itself.
        candidates: Positions to choose from; by default those that the dataloader's sampler can draw.

    Returns:
        The frozen probe; ``None`` where the dataloader does not exist yet.

    Raises:
        ProbeError: If the data cannot be read, or its parts (labels, masks, groups) do not fit together.
    """
    loader = _loader_of(host, probe)
    if loader is None and not probe.is_fixed:
        return None
    dataset = getattr(loader, "dataset", None)
    among = candidate_indices(loader) if candidates is None else candidates
    source = (dataset_of(dataset), getattr(loader, "collate_fn", None), among)
    if not probe.is_fixed and is_batched(loader):
        check_items_fit(dataset, probe.size, among)
    # A view may share with the dataset what reading changes.
    with quiescence(host.module, seed=probe.seed), preserved(dataset):
        batch, indices = probe.read(*source, indices=saved_indices, batched=is_batched(loader))
        before = None if probe.is_fixed else _images(probe, batch)
        # The module's transfer hooks expect what its dataloaders deliver, not tensors that are given by hand.
        batch = host.converted(batch) if probe.is_fixed else host.received(batch, probe.dataloader_idx)
        # A property may read what it tells from a file that it opens.
        with preserved(dataset):
            bands, known = rgb_bands(dataset), _labels_at(dataset, indices)
            owners = (dataset, getattr(loader, "collate_fn", None), *host.data_owners)
            found = normalized_by(dataset, before, _images(probe, batch), owners)
        frozen = probe.freeze(
            batch,
            indices,
            normalization=None if found is None else found.statistics,
            known_labels=known,
            has_several=lambda column: probe.finds_several(
                column, *source, indices=indices, batched=is_batched(loader)
            ),
            shared=shared,
            feed=lambda parts: fed_inputs(host, parts, module),
        )
        is_used = found is not None and frozen.normalization is not None
        frozen = replace(frozen, bands=bands, normalized_by=found.source if found is not None and is_used else None)
        with preserved(dataset):
            return _with_class_names(frozen, host, dataset, known, probe.labels)


def freeze_more(
    host: Host,
    probe: Probe,
    batch: Any,
    indices: Sequence[int],
    *,
    like: ProbeBatch,
    known_labels: Tensor | None,
    module: str | None = None,
) -> ProbeBatch:
    """Freeze further samples of a probe, read as a validation step would receive them.

    Args:
        host: The run.
        probe: What is read.
        batch: The samples as a dataloader delivers them.
        indices: Their positions in the dataset.
        like: Samples of the same probe, which say what was found out about its labels and inputs.
        known_labels: The labels that the dataset tells of these samples.
        module: As for :func:`freeze_probe`.

    Raises:
        ProbeError: If the batch cannot be read, or its parts do not fit together.
    """
    with quiescence(host.module, seed=probe.seed):
        return probe.freeze(
            host.received(batch, probe.dataloader_idx),
            indices,
            normalization=like.normalization,
            known_labels=known_labels,
            has_several=lambda column: like.multi_labels is not None,
            shared=like.shared,
            feed=lambda parts: fed_inputs(host, parts, module),
        )


def _loader_of(host: Host, probe: Probe) -> Any | None:
    """Return the dataloader that a probe is read from; ``None`` where there is none, or none yet.

    Raises:
        ProbeError: If samples cannot be chosen from it.
    """
    try:
        loader = host.dataloader(probe.source, probe.dataloader_idx)
    except IndexError as error:
        if not probe.is_fixed:
            raise ProbeError(f"{error}. Choose another with Probe(dataloader_idx=…)") from error
        return None
    if loader is not None and not probe.is_fixed and getattr(loader, "dataset", None) is None:
        raise ProbeError(
            f"the {probe.source} dataloader is a {type(loader).__name__} without a `dataset` to choose samples from. "
            "Give the samples with probe=Probe.from_tensors(inputs, labels)"
        )
    return loader


def _images(probe: Probe, batch: Any) -> Tensor | None:
    """Return a copy of the images of a batch; ``None`` where it cannot be read, or has none."""
    try:
        images = images_in(probe.unpack(batch)[0])
    except ProbeError:
        # The module's transfer hooks may yet bring it into a form that can be read.
        return None
    return None if images is None else images.detach().cpu().clone()


def _labels_at(dataset: Any, indices: Sequence[int] | None) -> Tensor | None:
    """Return the labels that a dataset tells of some of its items, where it does."""
    labels = dataset_labels(dataset) if indices is not None and is_map_style(dataset) else None
    return None if labels is None else labels[list(indices or ())]


def _with_class_names(
    frozen: ProbeBatch, host: Host, dataset: Any, known: Tensor | None, column: int | str | None
) -> ProbeBatch:
    """Return the probe with the names of the dataset's classes where they fit its labels, else with the model's."""
    labels = frozen.labels if frozen.multi_labels is None else frozen.multi_labels
    names, note = class_names_of(labels, dataset, known, column)
    if names is None:
        names = model_class_names(host.module)
        if names is not None and frozen.labels is not None and int(frozen.labels.max()) >= len(names):
            names = None
    notes = frozen.notes if note is None or names is not None else (*frozen.notes, note)
    return replace(frozen, class_names=names, notes=notes)


def fed_inputs(host: Host, parts: Unpacked, name: str | None = None) -> Any:
    """Return what a module takes of a batch: the trained one, or its submodule ``name``."""
    model = host.module if name is None else next(iter(find_layers(host.module, name).values()))
    if parts.named is None and not parts.ordered:
        return parts.inputs
    return fitting_inputs(
        model,
        parts.inputs,
        key=parts.key,
        named=parts.named,
        ordered=parts.ordered,
        runs=lambda inputs: _runs(host, model, inputs),
    )


def _runs(host: Host, model: nn.Module, inputs: Any) -> bool:
    """Return whether a forward does not fail; it leaves the model as it is."""
    if any(map(is_lazy, (*model.parameters(), *model.buffers()))):
        # Its first forward would initialize it.
        return False
    try:
        with torch.no_grad(), host.forward_context(), host.without_logging(), warnings.catch_warnings():
            # What it warns of is about a feeding that nobody has asked for.
            warnings.simplefilter("ignore")
            feed(model, host.to_device(copy_inputs(inputs)))
    except Exception:
        return False
    return True
