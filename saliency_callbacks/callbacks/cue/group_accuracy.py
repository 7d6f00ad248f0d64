"""Accuracy by class, without and with a cue: whether a model that has an alarm really fails."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial, reduce
from typing import Any

import torch
from torch import Tensor, nn

from saliency_callbacks.callbacks.cue.probe import AnyCue
from saliency_callbacks.callbacks.runtime import notices
from saliency_callbacks.callbacks.runtime.host import Host
from saliency_callbacks.callbacks.runtime.probe_loader import freeze_probe
from saliency_callbacks.callbacks.runtime.ranks import Ranks
from saliency_callbacks.cues.pictures import BackgroundCue
from saliency_callbacks.engine.logits import run_logits
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.errors import ItemError
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.probe.loaders import candidate_indices, is_batched
from saliency_callbacks.probe.probe import Probe
from saliency_callbacks.probe.stream import is_map_style
from saliency_callbacks.probe.streaming.items import NamedItems, unreadable_items
from saliency_callbacks.targets.link import LOGITS, Link
from saliency_callbacks.types import Cell, Table

__all__ = ["GroupAccuracy", "fits_only", "group_accuracy", "validation_batches"]

_READ_AT_ONCE = 128


@dataclass(frozen=True, eq=False)
class GroupAccuracy:
    """How often the model is right in each class, without and with the cue.

    Args:
        correct: Number of correct predictions, ``[K, 2]``; the columns are without and with the cue.
        count: Number of samples, ``[K, 2]``.
    """

    correct: Tensor
    count: Tensor

    @property
    def accuracy(self) -> Tensor:
        """Accuracy of each group in [0, 1], ``[K, 2]``; NaN for a class without samples."""
        return self.correct / self.count

    @property
    def worst(self) -> float:
        """Accuracy of the group that fares worst; NaN without any sample."""
        known = self.accuracy[self.count > 0]
        return float(known.min()) if len(known) else math.nan

    @property
    def average(self) -> float:
        """Accuracy over all samples, each without and with the cue."""
        return float(self.correct.sum() / self.count.sum())

    def plus(self, other: GroupAccuracy) -> GroupAccuracy:
        """Return the accuracy over the samples of both."""
        longer = max(len(self.count), len(other.count))
        parts = [_lengthened(part, longer) for part in (self.correct, other.correct, self.count, other.count)]
        return GroupAccuracy(parts[0] + parts[1], parts[2] + parts[3])

    def table(self, name_of: Callable[[int], str] = str) -> str:
        """Return :meth:`tabulated` as Markdown."""
        return self.tabulated(name_of).markdown()

    def tabulated(self, name_of: Callable[[int], str] = str) -> Table:
        """Return it as a table, one row a class."""
        rows = [
            (Cell(name_of(index), "name"), Cell(str(int(count))), *(Cell(f"{share:.1%}") for share in accuracy))
            for index, (accuracy, count) in enumerate(
                zip(self.accuracy.tolist(), self.count[:, 0].tolist(), strict=True)
            )
            if count
        ]
        return Table(
            columns=("class", "samples", "without the cue", "with the cue"),
            rows=tuple(rows),
            note=f"worst group {self.worst:.1%}, average {self.average:.1%}",
        )


Piece = tuple[ProbeBatch, Tensor]
"""Samples, and of each whether it counts here, ``bool [N]``: some are run for another process's sake alone."""


def group_accuracy(
    model: nn.Module,
    batches: Iterable[Piece],
    insert: Callable[[ProbeBatch], Any],
    settings: Settings,
    host: Host,
    link: Link = LOGITS,
) -> GroupAccuracy | None:
    """Run every batch without and with a cue; return ``None`` where there is no labeled batch.

    Each sample is in the set twice, so that the cue tells nothing about the class.

    Args:
        model: The model.
        batches: Labeled samples, and of each whether it counts; equally many on every rank.
        insert: Returns the inputs of a batch with the cue.
        settings: How the model is run.
        host: What runs the training; each of its processes has its part of the samples.
        link: How the model's outputs are read.
    """
    ranks = host.ranks
    total: GroupAccuracy | None = None
    for batch, counts in _read(batches, ranks):
        if batch.labels is None and batch.multi_labels is None:
            continue
        with ranks.together():
            decisions = [
                link.decisions(run_logits(model, host.to_device(inputs), settings)).cpu()
                for inputs in (batch.inputs, insert(batch))
            ]
            decided = torch.stack(decisions, dim=2)[counts]
            found = _count_labels(decided, batch, counts) if link.is_multi_label else _count(decided, batch, counts)
        total = found if total is None else total.plus(found)
    parts = [part for part in ranks.from_all(total) if part is not None]
    return reduce(GroupAccuracy.plus, parts) if parts else None


def _read(batches: Iterable[Piece], ranks: Ranks) -> Iterator[Piece]:
    pieces = iter(batches)
    while True:
        with ranks.together():
            piece = next(pieces, None)
        if piece is None:
            return
        yield piece


def _count(decisions: Tensor, batch: ProbeBatch, counts: Tensor) -> GroupAccuracy:
    """Count by class, from decisions ``[N, K, 2]``."""
    assert batch.labels is not None, "the probe has none of several"
    labels, n_classes = batch.labels[counts], decisions.shape[1]
    # A label beyond the classes is never decided for.
    known = labels.clamp(max=n_classes - 1)
    correct = decisions[torch.arange(len(labels)), known] & (labels < n_classes)[:, None]
    correct = correct.double()
    empty = torch.zeros(max([n_classes, *(labels + 1).tolist()]), 2, dtype=torch.float64)
    return GroupAccuracy(
        correct=empty.index_add(0, labels, correct), count=empty.index_add(0, labels, torch.ones_like(correct))
    )


def _count_labels(decisions: Tensor, batch: ProbeBatch, counts: Tensor) -> GroupAccuracy:
    """Count by label, where a sample can have several; a piece in which none has is read as one of classes."""
    labels = batch.multi_labels
    if labels is None:
        assert batch.labels is not None, "one of both is there"
        labels = nn.functional.one_hot(batch.labels, decisions.shape[1]).bool()
    right = (decisions == labels[counts, :, None]).double()
    return GroupAccuracy(correct=right.sum(dim=0), count=torch.ones_like(right).sum(dim=0))


def validation_batches(
    host: Host, probe: Probe, frozen: ProbeBatch, cue: AnyCue, module: str | None = None
) -> Iterator[Piece]:
    """Read the whole validation set in order, piece by piece, as the probe is read; leave no trace in it.

    Each rank reads its part, or the whole of its own where the ranks have different datasets. An item that cannot be
    read is left out.

    The probe stands for it where there is no map-style validation set to read from, where the cue fits the samples of
    the probe only, and in a dry run.
    """
    try:
        loader = host.dataloader("val", probe.dataloader_idx)
    except IndexError:
        loader = None
    dataset: Any = getattr(loader, "dataset", None)
    is_readable = loader is not None and is_map_style(dataset) and is_batched(loader)
    if not is_readable or host.is_dry_run or fits_only(cue, probe):
        # All ranks run it, and the first one counts.
        yield frozen, torch.full((frozen.size,), host.ranks.is_main)
        return
    given = candidate_indices(loader)
    positions = list(range(len(dataset))) if given is None else list(given)
    unreadable: dict[int, ItemError] = {}
    for piece, n_own in _pieces(positions, host.ranks, partial(_first_item, host, probe, frozen)):
        batch = _readable(host, probe, piece, unreadable, module=module, shared=frozen.shared)
        if batch is None:
            # Other ranks have something to run, and some weights are gathered by all at once.
            yield frozen, torch.zeros(frozen.size, dtype=torch.bool)
        else:
            counted = frozenset(piece[: max(0, n_own)])
            yield batch, torch.tensor([position in counted for position in batch.indices or ()])
    if unreadable:
        notices.warn(
            ("unreadable items", "groups", cue.name),
            f"{len(unreadable)} of {len(positions)} items of the validation set cannot be read, and are left out of "
            f"the accuracy by class; the first: {next(iter(unreadable.values()))}",
        )


def _readable(
    host: Host, probe: Probe, piece: list[int], unreadable: dict[int, ItemError], **how: Any
) -> ProbeBatch | None:
    """Read the items of a piece that can be read, and note the others; ``None`` where there is none."""
    try:
        return _rows(host, probe, piece, **how)
    except ItemError:
        loader = host.dataloader("val", probe.dataloader_idx)
        unreadable.update(unreadable_items(NamedItems(getattr(loader, "dataset", None)), piece))
    left = [position for position in piece if position not in unreadable]
    return _rows(host, probe, left, **how) if left else None


def _rows(host: Host, probe: Probe, positions: list[int], **how: Any) -> ProbeBatch | None:
    rows = Probe(
        indices=positions,
        dataloader_idx=probe.dataloader_idx,
        unpack_batch=probe.unpack_batch,
        masks=None if isinstance(probe.masks, Tensor) else probe.masks,
        labels=probe.labels,
    )
    return freeze_probe(host, rows, dataset_of=NamedItems, **how)


def fits_only(cue: AnyCue, probe: Probe) -> bool:
    """Return whether a cue cannot be put into other samples than those of the probe."""
    return isinstance(cue, BackgroundCue) and (cue.is_bound or (cue.masks == "probe" and probe.is_fixed))


def _pieces(positions: list[int], ranks: Ranks, first_item: Callable[[int], str]) -> list[tuple[list[int], int]]:
    """Return what this rank runs, in equally many pieces on every rank, and how many of each, from its first, count."""
    if ranks.size == 1 or not positions:
        return _split(positions, len(positions))
    if not ranks.shards:
        return _split(positions, len(positions) if ranks.number == 0 else 0)
    with ranks.together():
        facts = len(positions), first_item(positions[0])
    known = ranks.from_all(facts)
    if len(set(known)) > 1:
        pieces, n_pieces = _split(positions, len(positions)), -(-max(length for length, _ in known) // _READ_AT_ONCE)
        return pieces + [(pieces[0][0], 0)] * (n_pieces - len(pieces))
    share = ranks.share(len(positions))
    others = [number for number in share.rows if number not in share.own]
    return _split([positions[number] for number in (*share.own, *others)], len(share.own))


def _split(positions: list[int], n_own: int) -> list[tuple[list[int], int]]:
    starts = range(0, len(positions), _READ_AT_ONCE)
    return [(positions[start : start + _READ_AT_ONCE], n_own - start) for start in starts]


def _first_item(host: Host, probe: Probe, frozen: ProbeBatch, position: int) -> str:
    """Return the fingerprint of one item: the ranks may have datasets of their own."""
    one = Probe(indices=[position], dataloader_idx=probe.dataloader_idx, unpack_batch=probe.unpack_batch)
    try:
        item = freeze_probe(host, one, shared=frozen.shared, dataset_of=NamedItems)
    except ItemError:
        return ""
    return "" if item is None else item.fingerprint


def _lengthened(values: Tensor, n_classes: int) -> Tensor:
    return torch.cat([values, values.new_zeros(n_classes - len(values), values.shape[1])])
