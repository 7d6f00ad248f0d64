"""How much of its training labels a model gives back."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from saliency_callbacks.callbacks.runtime.host import Host
from saliency_callbacks.callbacks.runtime.probe_loader import fed_inputs
from saliency_callbacks.capture.inputs import ModelInputs
from saliency_callbacks.capture.isolation.context import quiescence
from saliency_callbacks.capture.probabilities import ProbabilityMode
from saliency_callbacks.config.nested import describe
from saliency_callbacks.errors import ConfigurationError, ProbeError
from saliency_callbacks.probe.dataset_state import preserved
from saliency_callbacks.probe.introspection import attribute
from saliency_callbacks.probe.labels.classes import class_indices
from saliency_callbacks.probe.loaders import candidate_indices
from saliency_callbacks.probe.unpack import Unpacked, split_batch, split_with
from saliency_callbacks.targets.link import Link
from saliency_callbacks.targets.logits import read_logits

__all__ = ["LabelReading", "training_accuracy"]


@dataclass(frozen=True)
class LabelReading:
    """How inputs, labels and class scores are read.

    Args:
        label_key: Position or key of the labels in an item.
        unpack: ``batch -> (inputs, labels)``; ``None`` goes by the form of a batch.
        output_fn: ``model output -> [N, classes]``.
        attribute_to: Position or key of the explained tensor.
    """

    label_key: int | str | None = None
    unpack: Callable[..., Any] | None = None
    output_fn: Callable[[Any], Any] | None = None
    attribute_to: int | str | None = None


def training_accuracy(host: Host, reading: LabelReading, n_batches: int | None = None) -> float:
    """Return the share of the training labels that the model gives, and leave no trace in model or dataset."""
    loader = host.dataloader("train", 0)
    assert loader is not None, "a training has begun"
    with ExitStack() as stack:
        stack.enter_context(quiescence(host.module))
        stack.enter_context(host.without_logging())
        stack.enter_context(preserved(loader.dataset, loader.collate_fn))
        stack.enter_context(torch.no_grad())
        hits = [_hits(host, reading, host.received(batch, 0)) for batch in islice(_in_order(loader), n_batches)]
        return float(torch.cat(hits).double().mean())


def _in_order(loader: Any) -> DataLoader[Any]:
    """Return a dataloader of all items that are trained on: the user's own would draw from its generators."""
    positions = candidate_indices(loader)
    batch_size = loader.batch_size or attribute(loader.batch_sampler, "batch_size")
    return DataLoader(
        loader.dataset if positions is None else Subset(loader.dataset, positions),
        batch_size=batch_size if isinstance(batch_size, int) else 1,
        collate_fn=loader.collate_fn,
        num_workers=loader.num_workers,
        worker_init_fn=loader.worker_init_fn,
        multiprocessing_context=loader.multiprocessing_context,
    )


def _hits(host: Host, reading: LabelReading, batch: Any) -> Tensor:
    """Return for each sample whether the module predicts its label, ``bool [N]``."""
    parts, labels = _unpacked(reading, batch)
    rows = ModelInputs.of(fed_inputs(host, parts), reading.attribute_to)
    with host.forward_context(), ProbabilityMode() as mode:
        output = rows.call(host.module, rows.explained, torch.arange(rows.n_samples, device=rows.explained.device))
        outputs = read_logits(output, reading.output_fn)
        link = Link("sigmoid" if mode.made(outputs) else "logits")
    correct = link.predictions(outputs, labels).correct
    assert correct is not None, "there are labels"
    return correct == 1


def _unpacked(reading: LabelReading, batch: Any) -> tuple[Unpacked, Tensor]:
    try:
        parts = split_batch(batch) if reading.unpack is None else split_with(reading.unpack, batch)
    except ProbeError as error:
        raise ConfigurationError(
            f"the batch {describe(batch)} cannot be read; expected (inputs, labels), or a dictionary with usual keys. "
            "Say how with `unpack_batch=`, a function batch -> (inputs, labels)"
        ) from error
    labels = parts.pair[1]
    if reading.unpack is None and reading.label_key is not None:
        labels = class_indices(_entry(batch, reading.label_key))
    if labels is None:
        raise ConfigurationError(
            f"no class labels were found in the batch {describe(batch)}; expected one integer class a sample. Name "
            "them with `label_key=`, or say how to read a batch with `unpack_batch=`, a function batch -> (inputs, "
            "labels)"
        )
    return parts, labels


def _entry(batch: Any, key: int | str) -> Any:
    """Return an entry of a batch, which a collate function may have left out."""
    if isinstance(batch, tuple) and isinstance(key, str):
        return attribute(batch, key)
    try:
        return batch[key]
    except (IndexError, KeyError, TypeError):
        return None
