"""One run: plant, train, search after two epochs, and compare what was found with what was planted."""

from __future__ import annotations

import time
from typing import cast

import torch
from torch import Tensor, nn

from benchmarks.discovery.experiments import Experiment
from benchmarks.discovery.records import Record
from benchmarks.discovery.training import EPOCHS, Plant, Planted, planted, probe_rows, trained
from saliency_callbacks.discovery.discover import discover_shortcuts
from saliency_callbacks.discovery.reader import PlainReader
from saliency_callbacks.discovery.suspicion import Suspicion
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.scores.counterfactual import Statistic, cue_effect

__all__ = ["EVALUATED", "is_about", "run"]

EVALUATED = (1, EPOCHS)
"""After which epochs a network is searched."""

_CHUNK = 256
_N_RECIPIENTS = 200
_NONE = -99.0


def run(experiment: Experiment, number: int) -> list[Record]:
    """Return what was found in one run, one record for each cue and evaluation.

    Args:
        experiment: What is planted in which images.
        number: Which run.
    """
    data = planted(experiment, number)
    rows = probe_rows(data)
    # Most clean networks are searched once, so that there can be more of them.
    epochs = EVALUATED if experiment.gives_away or number % 3 == 0 else EVALUATED[-1:]
    return [
        record
        for epoch, net in trained(data, epochs).items()
        for record in _evaluated(experiment, number, data, rows, epoch, net)
    ]


def _evaluated(
    experiment: Experiment, number: int, data: Planted, rows: Tensor, epoch: int, net: nn.Module
) -> list[Record]:
    images, labels = data.images[rows], data.labels[rows]
    begin = time.process_time()
    found = discover_shortcuts(net, images, labels, internal_batch_size=_CHUNK, ids=rows.tolist())
    seconds = time.process_time() - begin
    reader = PlainReader(net, None, Settings(methods=(), internal_batch_size=_CHUNK))
    begin = time.process_time()
    reader.gradients(images, labels)
    pass_seconds = time.process_time() - begin
    accuracy = float((reader.logits(images).argmax(dim=1) == labels).float().mean())
    plants = [*data.plants] if experiment.gives_away else []
    given_away = {plant.class_index for plant in plants}
    explained = [one for one in found if any(is_about(one, plant) for plant in plants)]
    others = [one for one in found if one.is_used and one not in explained]
    records = []
    listed: list[Plant | None] = [*plants] or [None]
    for plant in listed:
        about = [one for one in found if plant is not None and is_about(one, plant)]
        first = about[0] if about else None
        effect, bound = (_NONE, _NONE) if plant is None else _true_effect(reader, plant, data, rows, first)
        records.append(
            Record(
                row=experiment.row,
                data=experiment.data,
                cue="+".join(experiment.cues) if plant is None else plant.name,
                q=experiment.q if experiment.cues else 0.0,
                r=experiment.r if experiment.cues else 0.0,
                number=number,
                seed=data.seed,
                epoch=epoch,
                n_images=len(labels),
                accuracy=accuracy,
                planted_class=-1 if plant is None else plant.class_index,
                is_found=bool(about),
                is_used=any(one.is_used for one in about),
                rank=found.index(first) + 1 if first is not None else 0,
                kind=first.kind if first is not None else "",
                what=first.what if first is not None else "",
                iou=-1.0 if first is None or plant is None else _iou(first, plant),
                share=first.share if first is not None else 0.0,
                effect=first.effect if first is not None else _NONE,
                lower_bound=first.lower_bound if first is not None else _NONE,
                control=first.control if first is not None else _NONE,
                true_effect=effect,
                true_bound=bound,
                n_suspicions=len(found),
                n_used=sum(one.is_used for one in found),
                false_accusations=sum(one.class_index not in given_away for one in others),
                other_used="; ".join(f"{one.class_index}: {one.kind}, {one.what}, {one.effect:.2f}" for one in others),
                seconds=seconds,
                pass_seconds=pass_seconds,
            )
        )
    return records


def is_about(one: Suspicion, plant: Plant) -> bool:
    """Tell whether a suspicion is about a planted cue: of its class, and at its place or named as it is.

    Args:
        one: The suspicion, whose ids are positions in the training images.
        plant: What was planted.
    """
    if one.class_index != plant.class_index:
        return False
    is_named = one.kind == "properties" and one.what in plant.cue.names
    return is_named or _iou(one, plant) > 0


def _iou(one: Suspicion, plant: Plant) -> float:
    """Return how much the region overlaps the cue where its first bearer has it; -1 without a region."""
    if one.region is None or plant.masks is None or not one.bearers:
        return -1.0
    row = int(one.bearers[0])
    true = plant.masks[row] & plant.bears[row]
    return int((one.region & true).sum()) / int((one.region | true).sum())


def _true_effect(
    reader: PlainReader, plant: Plant, data: Planted, rows: Tensor, found: Suspicion | None
) -> tuple[float, float]:
    """Return the effect of the planted cue on images of other classes without it, and its lower bound.

    By the statistic that what was found is measured by, so that the two can be compared.
    """
    lacking = rows[(data.labels[rows] != plant.class_index) & ~plant.bears[rows]]
    draws = torch.Generator().manual_seed(data.seed + 2)
    chosen = lacking[torch.randperm(len(lacking), generator=draws)[:_N_RECIPIENTS]]
    images = data.images[chosen]
    cued, _ = plant.cue.insert(images, draws)
    usable = torch.ones(len(images), dtype=torch.bool)
    measured = cue_effect(reader.logits(images), reader.logits(cued), plant.class_index, usable)
    statistic = cast(Statistic, plant.cue.statistic if found is None else found.statistic)
    return float(measured.values(statistic).nanmean()), measured.lower_bound(statistic)
