"""Copies of the same pixels: found where they were planted, exactly, and put into others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from saliency_callbacks.discovery.candidate import Count
from saliency_callbacks.discovery.images import copies
from saliency_callbacks.discovery.images.copies import Copied, Copies
from saliency_callbacks.discovery.images.matching import Matcher
from saliency_callbacks.discovery.images.transplants import recipients
from saliency_callbacks.discovery.images.windows import Windows
from saliency_callbacks.discovery.search import Search
from saliency_callbacks.discovery.suspicion import Suspicion
from tests.discovery.images.cases import CLASS, Planted, ReadsCue, planted, reader


def _found(data: Planted, *, weight: float = 6.0, seed: int = 0) -> list[Suspicion]:
    torch.manual_seed(0)
    model = ReadsCue(data.cue, int(data.labels.max()) + 1, weight=weight)
    return Search([Copies()]).run(data.samples(seed), reader(model))


def _require_exact(one: Suspicion, data: Planted) -> None:
    """Require the region of the first bearer, all bearers, and what is pasted."""
    assert {int(name) for name in one.bearers} == {*data.bears.nonzero()[:, 0].tolist()}
    first = int(one.bearers[0])
    assert one.region is not None
    assert torch.equal(one.region, data.marks[first])
    assert one.exhibit is not None
    assert one.exhibit.marks is not None
    for image, mark in zip(one.exhibit.bearing, one.exhibit.marks, strict=True):
        row = int((data.images == image).flatten(1).all(dim=1).nonzero())
        assert torch.equal(mark, data.marks[row])
    blank = torch.zeros_like(data.images[:1])
    assert torch.equal(one.change(blank), torch.where(data.marks[first], data.images[first], blank[0])[None])


@pytest.mark.parametrize("place", [(3, 4), (0, 0), (26, 13), None], ids=["fixed", "corner", "border", "anywhere"])
def test_a_cue_is_found_exactly_wherever_it_is(place: tuple[int, int] | None) -> None:
    data = planted(place=place)
    (one,) = _found(data)
    assert (one.class_index, one.kind, one.is_used) == (CLASS, "copies", True)
    own = data.samples().of_class(CLASS, data.samples().counts)
    assert one.counts[:2] == (int(data.bears[own].sum()), len(own))
    assert one.share_elsewhere == 0
    _require_exact(one, data)


@pytest.mark.parametrize(
    "form",
    [
        {"channels": 1},
        {"channels": 2},
        {"channels": 5},
        {"size": (24, 41), "place": None},
        {"size": (17, 23), "side": 5},
        {"n_classes": 2, "per_class": 96},
        {"n_classes": 3},
        {"share": 1.0},
        {"share": 0.4, "place": None},
    ],
    ids=str,
)
def test_images_of_any_form(form: dict) -> None:
    data = planted(**form)
    (one,) = _found(data)
    assert one.class_index == min(CLASS, int(data.labels.max()))
    assert one.is_used
    _require_exact(one, data)


def test_what_the_network_does_not_use_is_found_and_not_called_used() -> None:
    data = planted()
    (one,) = _found(data, weight=0.0)
    assert not one.is_used
    assert abs(one.effect) < 0.25
    _require_exact(one, data)


def _at(members: Tensor, top: int, left: int) -> Windows:
    return Windows(members, torch.full_like(members, top), torch.full_like(members, left), 4)


def test_a_round_cue_is_found_exactly_by_the_windows_beside_those_proposed(monkeypatch: pytest.MonkeyPatch) -> None:
    """All windows that are proposed hold something of the ground beside the cue, where no copies are exact."""
    data = planted(share=0.0)
    rows, columns = torch.meshgrid(torch.arange(7), torch.arange(7), indexing="ij")
    disc = (rows - 3).square() + (columns - 3).square() <= 10
    cue = (torch.rand(3, 7, 7, generator=torch.Generator().manual_seed(5)) > 0.5).float()
    bearers = (data.labels == CLASS).nonzero()[:24, 0]
    data.images[bearers, :, 8:15, 10:17] = torch.where(disc, cue, data.images[bearers, :, 8:15, 10:17])
    monkeypatch.setattr(copies, "likely_windows", lambda promising, members, generator: [_at(members, 8, 11)])
    (candidate,) = Copies().propose(data.samples(), reader(ReadsCue(cue)))[0]
    assert isinstance(candidate, Copied)
    window = candidate.window
    place = slice(int(window.top) - 8, int(window.top) - 8 + window.side)
    assert disc[place, int(window.left) - 10 : int(window.left) - 10 + window.side].all()
    count = candidate.count(data.samples())
    assert count is not None
    assert {*count.bears.nonzero()[:, 0].tolist()} == {*bearers.tolist()}


@pytest.mark.parametrize(("value", "is_found"), [((0.4, 0.37, 0.24), True), ((1.0, 1.0, 1.0), False)])
def test_one_color_that_others_nearly_have(
    value: tuple[float, ...], monkeypatch: pytest.MonkeyPatch, *, is_found: bool
) -> None:
    """What is dull is rare in exactly one color, and what is overexposed is not."""
    monkeypatch.setattr(copies, "likely_windows", lambda promising, members, generator: [_at(members, 5, 6)])
    data = planted(share=0.0)
    others = (data.labels != CLASS).nonzero()[:, 0]
    color = torch.tensor(value)[:, None, None]
    data.images[others, :, 3:12, 4:13] = color - 0.05
    data.images[(data.labels == CLASS).nonzero()[:24, 0], :, 3:12, 4:13] = color
    (candidates, _) = Copies().propose(data.samples(), reader(ReadsCue(data.cue)))
    assert [one.class_index for one in candidates if one.count(data.samples()) is not None] == [CLASS] * is_found


def test_images_without_copies_have_none() -> None:
    assert not _found(planted(share=0.0))


def test_what_all_classes_have_gives_none_away() -> None:
    data = planted(share=0.0)
    evenly = torch.arange(len(data.labels)) % 3 == 0
    data.images[evenly, :, 3:9, 4:10] = data.cue
    assert not _found(data)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_constant_images_have_nothing_of_their_own(value: float) -> None:
    data = planted(share=0.0)
    assert not _found(data._replace(images=torch.full_like(data.images, value)))


def test_images_of_one_class_that_are_all_the_same() -> None:
    data = planted(share=0.0)
    data.images[data.labels == CLASS] = data.images[CLASS].clone()
    for one in _found(data):
        assert one.class_index == CLASS
        assert one.share == 1


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (4, 4)])
def test_tiny_images_are_searched(size: tuple[int, int]) -> None:
    data = planted(size=size, share=0.0, cue=torch.ones(3, 1, 1))
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * size[0] * size[1], 4))
    for one in Search([Copies()]).run(data.samples(), reader(model)):
        assert one.region is not None
        assert one.region.shape == size


def test_classes_may_have_any_index_and_six_samples() -> None:
    data = planted()
    sizes = (data.labels != 1) | (torch.arange(len(data.labels)) < 24)
    few = Planted(data.images[sizes], data.labels[sizes], data.cue, data.marks[sizes])
    assert int((few.labels == 1).sum()) == 6
    (one,) = _found(few)
    _require_exact(one, few)
    gone = few.labels != 1
    (one,) = _found(Planted(few.images[gone], few.labels[gone], few.cue, few.marks[gone]))
    assert one.class_index == CLASS


def test_the_split_and_the_order_of_samples_change_no_finding() -> None:
    data = planted(place=None)
    order = torch.randperm(len(data.labels))
    shuffled = Planted(data.images[order], data.labels[order], data.cue, data.marks[order])
    for other, seed in ((data, 1), (shuffled, 0)):
        (one,) = _found(other, seed=seed)
        _require_exact(one, other)
    first, again = _found(data), _found(data)
    assert [(one.sentence, one.bearers, one.lower_bound) for one in first] == [
        (one.sentence, one.bearers, one.lower_bound) for one in again
    ]


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_images_of_another_precision(dtype: torch.dtype) -> None:
    data = planted()
    (one,) = _found(data._replace(images=data.images.to(dtype)))
    assert one.is_used
    assert one.region is not None
    assert torch.equal(one.region, data.marks[int(one.bearers[0])])


def test_two_cues_of_two_classes_are_two_suspicions() -> None:
    data = planted()
    other = (torch.rand(3, 5, 5) > 0.5).float()
    bearers = (data.labels == 0).nonzero()[:24, 0]
    data.images[bearers, :, 20:25, 20:25] = other
    found = _found(data)
    assert {one.class_index for one in found} == {0, CLASS}
    assert [one.is_used for one in found] == [True, False]


def _counted_with(change: Callable[[Tensor, Planted], None]) -> tuple[Count | None, Count | None]:
    """Return how the planted cue is counted, and how it is after a change of the images."""
    data = planted()
    samples = data.samples()
    (candidate,) = Copies().propose(samples, reader(ReadsCue(data.cue)))[0]
    assert isinstance(candidate, Copied)
    images = data.images.clone()
    change(images, data)
    return candidate.count(samples), replace(candidate, matcher=Matcher(images)).count(replace(samples, inputs=images))


def test_what_another_class_has_nearly_as_often_is_no_cue() -> None:
    def plant_in_others(images: Tensor, data: Planted) -> None:
        others = (data.labels == 0).nonzero()[:, 0]
        images[others[:19], :, 3:9, 4:10] = data.cue

    before, after = _counted_with(plant_in_others)
    assert before is not None
    assert after is None


def test_copies_that_fade_into_likenesses_are_none() -> None:
    def spoil_half(images: Tensor, data: Planted) -> None:
        spoiled = data.bears.nonzero()[1::2, 0]
        images[spoiled, :, 3:9, 4:10] = 0.06 + 0.88 * data.cue

    before, after = _counted_with(spoil_half)
    assert before is not None
    assert after is None


def test_recipients_are_of_all_other_classes_equally_and_without_the_cue() -> None:
    data = planted(place=None)
    data.images[1, :, :6, :6] = data.cue
    samples = data.samples()
    (candidate,) = [one for one in Copies().propose(samples, reader(ReadsCue(data.cue)))[0] if one.class_index == CLASS]
    count = candidate.count(samples)
    assert count is not None
    assert count.bears[1], "one of another class bears it as well"
    into = recipients(CLASS, samples, count)
    assert not count.bears[into].any()
    assert torch.equal(data.labels[into].bincount(minlength=4), torch.tensor([16, 16, 0, 16]))
    trial = candidate.trial(samples, count)
    assert trial is not None
    assert torch.equal(trial.recipients, into)
    everyone = replace(count, bears=torch.ones_like(count.bears))
    assert candidate.trial(samples, everyone) is None
