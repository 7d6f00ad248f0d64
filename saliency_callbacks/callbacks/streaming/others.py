"""The samples of a large probe that are not shown: chosen once, and read at every observation."""

from __future__ import annotations

import copy
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from saliency_callbacks.callbacks.runtime import notices
from saliency_callbacks.callbacks.runtime.host import Host
from saliency_callbacks.callbacks.runtime.probe_loader import freeze_more, freeze_probe
from saliency_callbacks.errors import ItemError, ProbeError
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.probe.dataset_state import preserved
from saliency_callbacks.probe.labels.classes import dataset_labels
from saliency_callbacks.probe.loaders import candidate_indices, is_batched
from saliency_callbacks.probe.probe import Probe
from saliency_callbacks.probe.selection import positions_of
from saliency_callbacks.probe.stream import is_map_style
from saliency_callbacks.probe.streaming.chunks import read_chunks
from saliency_callbacks.probe.streaming.items import NamedItems, choose_positions, unreadable_items

__all__ = ["OtherSamples", "freeze_shown", "is_streamed"]


def is_streamed(host: Host, probe: Probe) -> bool:
    """Return whether a probe has more samples than are shown, and they can be read one by one. All ranks must call it.

    Samples that were given as tensors are in memory already; a stream, and a dataset of whole batches, have no item to
    go back to. Of these all samples are shown. Ranks may have datasets of their own, and go the way of rank zero.

    Raises:
        ProbeError: If the dataset does not tell its length.
    """
    with host.ranks.together():
        own = _has_more(host, probe)
    return host.ranks.from_zero(own)


def _has_more(host: Host, probe: Probe) -> bool:
    if probe.is_fixed or probe.size <= probe.shown:
        return False
    try:
        loader = host.dataloader(probe.source, probe.dataloader_idx)
    except IndexError:
        # To read the probe says so.
        return False
    if not is_map_style(getattr(loader, "dataset", None)) or not is_batched(loader):
        return False
    return len(_candidates(probe, loader)) > probe.shown


def freeze_shown(
    host: Host, probe: Probe, saved_indices: Sequence[int] | None, **parts: Any
) -> tuple[ProbeBatch, tuple[int, ...]]:
    """Choose the samples of a streamed probe, and freeze those of them that are shown.

    The samples are those that the probe would have if it were held whole. An item that cannot be read is not shown, and
    another one takes its place.

    Args:
        host: The run.
        probe: The whole probe.
        saved_indices: Positions of the shown samples in a checkpoint.
        parts: Further arguments of :func:`~saliency_callbacks.callbacks.runtime.probe_loader.freeze_probe`.

    Returns:
        The shown samples; and the positions of all in the dataset, in the order of a probe that is held whole.

    Raises:
        ProbeError: If none of the items can be read.
    """
    loader = host.dataloader(probe.source, probe.dataloader_idx)
    view, collate = NamedItems(getattr(loader, "dataset", None)), getattr(loader, "collate_fn", None)
    chosen = probe.indices or choose_positions(probe, view, collate, _candidates(probe, loader))
    part = copy.copy(probe)
    part.indices = None
    candidates, broken = chosen, dict[int, ItemError]()
    while candidates:
        part.size = min(probe.shown, len(candidates))
        found = _frozen_or_broken(host, part, saved_indices, candidates, parts)
        if isinstance(found, ProbeBatch):
            return found, chosen
        # All that are broken among those that would be shown, so that few rounds are needed.
        broken |= {found.position: found, **unreadable_items(view, choose_positions(part, view, collate, candidates))}
        candidates, saved_indices = tuple(one for one in chosen if one not in broken), None
    last = next(reversed(broken.values()))
    raise ProbeError(
        f"none of the probe's {len(chosen)} items can be read; expected at least one readable item. The last error: "
        f"{last}"
    ) from last


def _frozen_or_broken(
    host: Host,
    part: Probe,
    saved_indices: Sequence[int] | None,
    candidates: Sequence[int],
    parts: Mapping[str, Any],
) -> ProbeBatch | ItemError:
    """Return the shown samples, or the error of the item that cannot be read."""
    try:
        frozen = freeze_probe(host, part, saved_indices, dataset_of=NamedItems, candidates=candidates, **parts)
    except ItemError as error:
        return error
    assert frozen is not None, "there is a dataloader"
    return frozen


@dataclass(eq=False)
class OtherSamples:
    """Reads the samples of a streamed probe that are not shown.

    Args:
        probe: The whole probe.
        shown: The frozen samples that are shown.
        chosen: Positions of all samples in the dataset, in the order of a probe that is held whole.
        module: Name of the explained submodule; the whole module by default.
        title: Of whoever reads them.

    Attributes:
        unreadable: Position → why, of the items that could not be read when they were read last.
    """

    probe: Probe
    shown: ProbeBatch
    chosen: tuple[int, ...]
    module: str | None = None
    title: str = "probe"
    unreadable: dict[int, str] = field(default_factory=dict, init=False)

    @property
    def positions(self) -> tuple[int, ...]:
        """Where the samples that are not shown are in the dataset, ascending, as files are read fastest so."""
        return tuple(sorted({*self.chosen}.difference(self.shown.indices or ())))

    def in_order(self, positions: Sequence[int]) -> Tensor:
        """Return the numbers ``[n]`` of samples at some positions, in the order of a probe that is held whole."""
        ranks = {position: rank for rank, position in enumerate(self.chosen)}
        # Shown samples of a checkpoint may not be among those that are chosen now.
        return torch.tensor([ranks.get(position, len(ranks)) for position in positions]).argsort(stable=True)

    @property
    def n_samples(self) -> int:
        """How many samples there are with the shown ones; fewer where some cannot be read."""
        return self.shown.size + len(self.positions)

    def chunks(self, host: Host, n_rows: int) -> Generator[ProbeBatch]:
        """Yield the samples, ``n_rows`` at a time; what cannot be read is left out. All ranks must call it.

        Raises:
            ProbeError: If a batch of them cannot be read.
        """
        self.unreadable = {}
        loader = host.dataloader(self.probe.source, self.probe.dataloader_idx)
        dataset: Any = getattr(loader, "dataset", None)
        with preserved(dataset):
            labels = dataset_labels(dataset)
        with closing(read_chunks(loader, self.positions, n_rows, self.probe.seed)) as reading:
            for _ in range(0, len(self.positions), n_rows):
                # Each rank reads for itself, and one that cannot must not leave the others waiting.
                with host.ranks.together():
                    own = self._frozen(host, next(reading), labels)
                agreed = host.ranks.agreed(own)
                if agreed is not None:
                    yield agreed
        self._warn_of_unreadable()

    def _frozen(self, host: Host, chunk: Any, labels: Tensor | None) -> ProbeBatch | None:
        self.unreadable.update(chunk.unreadable)
        if chunk.batch is None:
            return None
        known = None if labels is None else labels[list(chunk.positions)]
        return freeze_more(
            host, self.probe, chunk.batch, chunk.positions, like=self.shown, known_labels=known, module=self.module
        )

    def _warn_of_unreadable(self) -> None:
        if self.unreadable:
            first, reason = next(iter(self.unreadable.items()))
            named = ", ".join(map(str, list(self.unreadable)[:8])) + (", …" if len(self.unreadable) > 8 else "")
            notices.warn(
                ("unreadable items", self.shown.fingerprint),
                f"{len(self.unreadable)} of {self.probe.size} samples of the probe cannot be read and will be left "
                f"out (items {named} of the dataset; item {first}: {reason}). Repair them, or choose others with "
                "Probe(indices=…)",
            )


def _candidates(probe: Probe, loader: Any) -> Sequence[int]:
    """Return the positions that the samples of a probe are chosen from."""
    with preserved(loader.dataset):
        asked = candidate_indices(loader) if probe.indices is None else probe.indices
        return positions_of(loader.dataset, asked)
