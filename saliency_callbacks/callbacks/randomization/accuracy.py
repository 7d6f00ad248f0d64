"""How much of its training labels a model gives back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
from saliency_callbacks.probe.labels.columns import LabelColumn, named_column
from saliency_callbacks.probe.labels.paths import keys_to
from saliency_callbacks.probe.loaders import candidate_indices
from saliency_callbacks.probe.unpack import Unpacked, split_batch, split_with
from saliency_callbacks.randomization.permuted_labels import label_keys
from saliency_callbacks.targets.link import Link
from saliency_callbacks.targets.logits import read_logits
from saliency_callbacks.targets.recognition import recognize

__all__ = ["LabelReading", "training_accuracy"]


@dataclass(frozen=True)
class LabelReading:
    """How inputs, labels and class scores are read.

    Args:
        label_key: Position or key of the labels in an item, or several with dots between.
        unpack: ``batch -> (inputs, labels)``; ``None`` goes by the form of a batch.
        output_fn: ``model output -> [N, classes]``.
        attribute_to: Position or key of the explained tensor.
    """

    label_key: int | str | None = None
    unpack: Callable[..., Any] | None = None
    output_fn: Callable[[Any], Any] | None = None
    attribute_to: int | str | None = None


def training_accuracy(host: Host, reading: LabelReading, n_batches: int | None = None) -> float:
    """Return the share of the training labels that the model gives, and leave no trace in model or dataset.

    Where a sample can have several labels, it counts if all of them are predicted right.
    """
    loader = host.dataloader("train", 0)
    assert loader is not None, "a training has begun"
    with ExitStack() as stack:
        stack.enter_context(quiescence(host.module))
        stack.enter_context(host.without_logging())
        stack.enter_context(preserved(loader.dataset, loader.collate_fn))
        stack.enter_context(torch.no_grad())
        at = _path_of(loader.dataset, reading)
        answers = [
            _answer(host, reading, host.received(batch, 0), at) for batch in islice(_in_order(loader), n_batches)
        ]
        return float(_hits(answers).double().mean())


@dataclass(frozen=True, eq=False)
class _Answer:
    """What a module returns for a batch, and what it should.

    Args:
        outputs: ``[N, K]``, on the CPU.
        are_probabilities: Whether a sigmoid or softmax was seen to make them.
        column: The labels.
    """

    outputs: Tensor
    are_probabilities: bool
    column: LabelColumn


def _path_of(dataset: Any, reading: LabelReading) -> int | str | None:
    """Return where a batch has the labels that are permuted, if it has the form of the items."""
    if reading.unpack is not None or reading.label_key is not None:
        return reading.label_key
    keys = label_keys(dataset, None)
    return keys[0] if len(keys) == 1 else ".".join(map(str, keys))


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


def _answer(host: Host, reading: LabelReading, batch: Any, at: int | str | None) -> _Answer:
    parts, column = _unpacked(reading, batch, at)
    rows = ModelInputs.of(fed_inputs(host, parts), reading.attribute_to)
    with host.forward_context(), ProbabilityMode() as mode:
        output = rows.call(host.module, rows.explained, torch.arange(rows.n_samples, device=rows.explained.device))
        outputs = read_logits(output, reading.output_fn)
        return _Answer(outputs.cpu(), mode.made(outputs), column)


def _hits(answers: Sequence[_Answer]) -> Tensor:
    """Return for each sample whether the module predicts its label, or all of its labels, ``bool [N]``."""
    outputs = torch.cat([answer.outputs for answer in answers])
    columns = [answer.column for answer in answers]
    # A batch whose samples happen to have one label each does not tell that others have several.
    has_several = any(column.labels.ndim > 1 for column in columns)
    if has_several:
        several = torch.cat([(column.labels if column.one_hot is None else column.one_hot).cpu() for column in columns])
    classes = None if has_several else torch.cat([column.labels.cpu() for column in columns])
    recognized = recognize(
        outputs,
        are_probabilities=all(answer.are_probabilities for answer in answers),
        labels=classes,
        is_multi_label=has_several,
    )
    link = Link(recognized.kind, is_multi_label=has_several)
    correct = link.predictions(outputs, classes, several if has_several else None).correct
    if correct is None:
        n_labels = several.shape[1] if has_several else int(columns[0].labels.max()) + 1
        raise ConfigurationError(
            f"{recognized.reason or f'the model returns {outputs.shape[1]} values per sample'}, which are not scores "
            f"of the {n_labels} labels that were found; expected one value for each class. Pick them out of the "
            "output with `output_fn=`, or name other labels with `label_key=`"
        )
    return correct == 1


def _unpacked(reading: LabelReading, batch: Any, at: int | str | None) -> tuple[Unpacked, LabelColumn]:
    try:
        parts = split_batch(batch) if reading.unpack is None else split_with(reading.unpack, batch)
    except ProbeError as error:
        raise ConfigurationError(
            f"the batch {describe(batch)} cannot be read; expected (inputs, labels), or a dictionary with common "
            "keys. Say how to read it with `unpack_batch=`, a function batch -> (inputs, labels)"
        ) from error
    columns = parts.columns
    if reading.unpack is None and at is not None and (reading.label_key is not None or keys_to(batch, at) is not None):
        columns = _named(batch, at) or (() if reading.label_key is not None else columns)
    if not columns:
        raise ConfigurationError(
            f"no class labels were found in the batch {describe(batch)}; expected one integer class per sample, or "
            "multi-hot rows. Name them with `label_key=`, such as 2 or 'target.label', or say how to read a batch "
            "with `unpack_batch=`, a function batch -> (inputs, labels)"
        )
    return parts, columns[0]


def _named(batch: Any, at: int | str) -> tuple[LabelColumn, ...]:
    """Return the labels under a path, which a collate function may have left out."""
    try:
        return (named_column(batch, at, "label_key"),)
    except ProbeError:
        return ()
