"""Accuracy by class, without and with a cue."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from saliency_callbacks import Probe
from saliency_callbacks.callbacks.cue.group_accuracy import GroupAccuracy, group_accuracy, validation_batches
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.probe import BackgroundCue, PatchCue, freeze
from tests.callbacks.plain_host import PlainHost

_CUE = PatchCue((0, 0, 1, 1))


class Reads(nn.Module):
    """Answers with the class that is written into the first pixel, out of 3."""

    def forward(self, images):
        return nn.functional.one_hot(images[:, 0, 0, 0].long(), 3).float()


def _batch(classes, labels, **more):
    images = torch.zeros(len(classes), 1, 2, 2)
    images[:, 0, 0, 0] = torch.tensor(classes, dtype=torch.float32)
    return freeze(images, None if labels is None else torch.tensor(labels), **more)


def _with_class_2(batch):
    cued = batch.inputs.clone()
    cued[:, :, 0, 0] = 2
    return cued


def _accuracy(*batches, model=None, insert=_with_class_2):
    pieces = [(batch, torch.ones(batch.size, dtype=torch.bool)) for batch in batches]
    return group_accuracy(model or Reads(), pieces, insert, Settings(methods=()), PlainHost())


@given(st.lists(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=6), max_size=3))
def test_counts_are_those_of_loops(batches):
    found = _accuracy(*(_batch(*map(list, zip(*rows, strict=True))) for rows in batches))
    rows = [row for batch in batches for row in batch]
    if not rows:
        assert found is None
        return
    for label in range(3):
        of_class = [answer for answer, true in rows if true == label]
        assert found.count[label].tolist() == [len(of_class)] * 2
        right = [sum(answer == label for answer in of_class), len(of_class) if label == 2 else 0]
        assert found.correct[label].tolist() == right
    assert found.average == pytest.approx(
        (sum(answer == true for answer, true in rows) + sum(true == 2 for _, true in rows)) / (2 * len(rows))
    )
    known = [float(found.accuracy[label, column]) for label in {true for _, true in rows} for column in range(2)]
    assert found.worst == min(known)


def test_batches_without_labels_are_left_out():
    assert _accuracy(_batch([0], None)) is None
    assert _accuracy(_batch([0], None), _batch([1], [1])).count.sum() == 2


def test_a_class_that_the_model_does_not_have_is_always_wrong():
    found = _accuracy(_batch([0, 1], [0, 5]))
    assert found.accuracy[5].tolist() == [0.0, 0.0]
    assert found.accuracy.isnan().any(dim=1).tolist() == [False, True, True, True, True, False]
    assert found.worst == 0


def test_a_single_logit():
    class Sign(nn.Module):
        def forward(self, images):
            return images[:, :1, 0, 0] - 0.5

    found = _accuracy(_batch([0, 1, 1], [0, 1, 0]), model=Sign())
    assert found.accuracy.tolist() == [[0.5, 0.0], [1.0, 1.0]]


def test_the_cue_is_put_into_the_samples_of_each_batch():
    seen = []

    def insert(batch):
        seen.append(batch)
        return batch.inputs

    batches = [_batch([0], [0]), _batch([1, 2], [1, 2])]
    _accuracy(*batches, insert=insert)
    assert seen == batches


def test_nothing_is_known_without_samples():
    empty = GroupAccuracy(torch.zeros(2, 2), torch.zeros(2, 2))
    assert math.isnan(empty.worst)
    assert math.isnan(empty.average)


def test_the_table():
    groups = GroupAccuracy(
        torch.tensor([[3.0, 1.0], [0.0, 0.0], [2.0, 2.0]]), torch.tensor([[4.0] * 2, [0.0] * 2, [2.0] * 2])
    )
    assert groups.table(lambda index: "abc"[index]).splitlines() == [
        "| class | samples | without the cue | with the cue |",
        "|---|---|---|---|",
        "| `a` | 4 | 75.0% | 25.0% |",
        "| `c` | 2 | 100.0% | 100.0% |",
        "",
        "worst group 25.0%, average 66.7%",
    ]
    found = groups.tabulated(lambda index: "abc"[index])
    assert found.columns == ("class", "samples", "without the cue", "with the cue")
    assert [[cell.text for cell in row] for row in found.rows] == [
        ["a", "4", "75.0%", "25.0%"],
        ["c", "2", "100.0%", "100.0%"],
    ]
    assert found.note == "worst group 25.0%, average 66.7%"


def _read(loader, *, probe=None, frozen=None, cue=_CUE, is_dry_run=False):
    """Return the validation batches that are read from a loader."""
    host = PlainHost(val=[loader], is_dry_run=is_dry_run)
    pieces = list(validation_batches(host, probe or Probe(4), frozen or _batch([0], [0]), cue))
    assert all(counts.all() for _, counts in pieces)
    return [batch for batch, _ in pieces]


def _dataset(count):
    return TensorDataset(
        torch.arange(float(count))[:, None, None, None].expand(count, 1, 2, 2), torch.arange(count) % 3
    )


def test_the_set_is_read_in_order_piece_by_piece():
    before = torch.get_rng_state()
    batches = _read(DataLoader(_dataset(300), 50, shuffle=True))
    assert [batch.size for batch in batches] == [128, 128, 44]
    assert torch.cat([batch.inputs[:, 0, 0, 0] for batch in batches]).tolist() == list(range(300))
    assert torch.equal(torch.get_rng_state(), before)


def test_masks_are_read_with_it():
    batches = _read(DataLoader(_dataset(5)), probe=Probe(4, masks=lambda inputs: inputs[:, 0] > 2))
    assert batches[0].masks[:, 0, 0].tolist() == [False] * 3 + [True] * 2


@pytest.mark.parametrize(
    "loader",
    [
        None,
        SimpleNamespace(dataset=None),
        SimpleNamespace(),
        DataLoader(_dataset(4), batch_size=None),
        SimpleNamespace(dataset=iter(())),
    ],
    ids=["no loader", "no dataset", "nothing", "whole batches", "a stream"],
)
def test_the_probe_stands_for_what_cannot_be_read(loader):
    frozen = _batch([0, 1], [0, 1])
    assert _read(loader, frozen=frozen) == [frozen]


def test_the_probe_stands_for_another_loader_that_does_not_exist():
    frozen = _batch([0, 1], [0, 1])
    assert _read(DataLoader(_dataset(4)), probe=Probe(4, dataloader_idx=1), frozen=frozen) == [frozen]


def test_the_probe_stands_for_the_set_in_a_dry_run():
    frozen = _batch([0, 1], [0, 1])
    assert _read(DataLoader(_dataset(4)), frozen=frozen, is_dry_run=True) == [frozen]


@pytest.mark.parametrize(
    ("cue", "fits_others"),
    [
        (BackgroundCue(torch.ones(2, 2, 2), 1.0), False),
        (BackgroundCue(torch.sigmoid, torch.zeros(2, 1, 2, 2)), False),
        (BackgroundCue("probe", 1.0), False),
        (BackgroundCue(torch.sigmoid, 1.0), True),
        (BackgroundCue(torch.sigmoid, torch.zeros(1, 2, 2)), True),
        (_CUE, True),
    ],
    ids=["masks", "backgrounds", "masks of a fixed probe", "a function", "one background", "a patch"],
)
def test_the_probe_stands_for_the_set_where_the_cue_fits_its_samples_only(cue, fits_others):
    images = torch.zeros(2, 1, 2, 2)
    probe = Probe.from_tensors(images, torch.tensor([0, 1]), masks=torch.ones(2, 2, 2))
    frozen = _batch([0, 1], [0, 1])
    batches = _read(DataLoader(_dataset(4)), probe=probe, frozen=frozen, cue=cue)
    assert (batches != [frozen]) == fits_others
    assert sum(batch.size for batch in batches) == (4 if fits_others else 2)
