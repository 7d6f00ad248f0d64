"""Pixels of bearers put into others, and controls of the same shape that are not the cue."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from saliency_callbacks.discovery.candidate import Count, Trial
from saliency_callbacks.discovery.images.transplants import pasted, recipients
from saliency_callbacks.discovery.samples import Samples
from saliency_callbacks.functional.images.templates import Matches
from tests.discovery.images.cases import CLASS, Planted, planted


@dataclass
class _Known:
    """A window of 4×4 in the upper left corner of the cue, wherever that is."""

    data: Planted
    class_index: int = CLASS
    side: int = 4
    near: float = 0.03

    def matches(self, positions: Tensor) -> Matches:
        places = torch.stack([mark.nonzero().amin(dim=0) for mark in self.data.marks[positions]])
        return Matches(torch.zeros(1, len(positions)), places[None, :, 0], places[None, :, 1])


def _trial(data: Planted) -> tuple[Samples, Count, Trial]:
    samples = data.samples()
    count = Count(data.bears, torch.arange(float(samples.size)), 1e-6)
    trial = pasted(_Known(data), samples, count)
    assert trial is not None
    return samples, count, trial


def test_the_cue_of_each_bearer_is_put_where_that_one_has_it() -> None:
    data = planted(place=None)
    samples, _, trial = _trial(data)
    assert trial.bearers is not None
    assert trial.marks is not None
    # The most typical first.
    assert torch.equal(trial.bearers, data.bears.nonzero()[:, 0].flip(0))
    assert torch.equal(trial.marks, data.marks[trial.bearers])
    for at, row in enumerate(trial.recipients.tolist()):
        bearer = trial.bearers[at % len(trial.bearers)]
        expected = torch.where(data.marks[bearer], data.images[bearer], samples.inputs[row])
        assert torch.equal(trial.with_cue[at], expected)
    assert trial.region is not None
    assert torch.equal(trial.region, data.marks[trial.bearers[0]])


def test_controls_fill_the_same_pixels_from_other_images_without_the_cue() -> None:
    data = planted(place=None)
    samples, count, trial = _trial(data)
    assert trial.bearers is not None
    clean = samples.inputs[trial.recipients]
    turn = torch.arange(len(trial.recipients)) % len(trial.bearers)
    marks = data.marks[trial.bearers[turn]][:, None]
    lacking = samples.inputs[samples.of_class(CLASS, ~count.bears)]
    others = samples.inputs[samples.labels != CLASS]
    assert len(trial.controls) == 2
    for control, sources in zip(trial.controls, (others, lacking), strict=True):
        assert torch.equal(torch.where(marks, 0, control), torch.where(marks, 0, clean))
        assert (control != clean).flatten(1).any(dim=1).all(), "none is left as it was"
        for filled, mark in zip(control[:8], marks[:8], strict=True):
            assert bool((torch.where(mark, sources - filled, 0) == 0).flatten(1).all(dim=1).any())


def test_recipients_bear_nothing_and_are_of_all_other_classes_equally() -> None:
    data = planted(n_classes=5)
    samples = data.samples()
    bears = data.bears.clone()
    bears[[0, 1, 5, 6]] = True
    into = recipients(CLASS, samples, Count(bears, bears.float(), 1e-6))
    assert len({*into.tolist()}) == 48
    assert not bears[into].any()
    assert torch.equal(samples.labels[into].bincount(minlength=5), torch.tensor([12, 12, 0, 12, 12]))


def test_a_class_of_which_few_lack_it_gives_no_more_recipients_than_there_are() -> None:
    data = planted()
    samples = data.samples()
    bears = torch.ones(samples.size, dtype=torch.bool)
    bears[[0, 4, 8, 1]] = False
    into = recipients(CLASS, samples, Count(bears, bears.float(), 1e-6))
    assert {*into.tolist()} == {0, 1, 4, 8}
    bears[[0, 4, 8]] = True
    assert pasted(_Known(data), samples, Count(data.bears | bears, bears.float(), 1e-6)) is None


def test_without_others_of_the_class_another_class_is_the_only_control() -> None:
    _, _, trial = _trial(planted(share=1.0))
    assert len(trial.controls) == 1
