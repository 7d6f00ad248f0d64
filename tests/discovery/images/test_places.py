"""What is at the same place without being the same pixels: a translucent mark on scenes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from saliency_callbacks.discovery.candidate import Count
from saliency_callbacks.discovery.changes import Overlay, PastedPixels
from saliency_callbacks.discovery.images.places import Place, Places
from saliency_callbacks.discovery.samples import Samples
from saliency_callbacks.discovery.search import Search
from saliency_callbacks.discovery.suspicion import Suspicion
from tests.discovery.images.cases import CLASS, reader, scenery

_N_CLASSES = 6


def _mark(size: tuple[int, int] = (32, 32)) -> Tensor:
    """Return two strokes, ``[H, W]``."""
    mark = torch.zeros(size)
    mark[5:15, 6:8], mark[13:15, 6:16] = 1, 1
    return mark


def _marked(share: float, channels: int, size: tuple[int, int], n_classes: int = _N_CLASSES):
    """Return scenes, their classes, and which of class 2 have strokes of half transparent white laid over them."""
    labels = torch.arange(60 * n_classes) % n_classes
    images = scenery(len(labels), channels, size)
    own = (labels == CLASS).nonzero()[:, 0]
    marked = own[: round(share * len(own))]
    images[marked] += 0.6 * _mark(size) * (1 - images[marked])
    return images, labels, marked


class _ReadsMark(nn.Module):
    """Votes for class 2 by how much brighter the strokes are than what is beside them."""

    def __init__(self, size: tuple[int, int], channels: int, weight: float) -> None:
        super().__init__()
        strokes = _mark(size)
        beside = nn.functional.max_pool2d(strokes[None], 3, stride=1, padding=1)[0] - strokes
        self.register_buffer("kernel", strokes / strokes.sum() - beside / beside.sum())
        self.weight = weight
        self.scenes = nn.Conv2d(channels, _N_CLASSES, 3)

    def forward(self, images: Tensor) -> Tensor:
        votes = self.weight * (images.mean(dim=1) * self.kernel).sum(dim=(1, 2))
        own = nn.functional.one_hot(torch.tensor(CLASS), _N_CLASSES)
        return self.scenes(images).mean(dim=(2, 3)) + votes[:, None] * own


def _found(images: Tensor, labels: Tensor, *, weight: float = 20.0) -> list[Suspicion]:

    model = _ReadsMark(tuple(images.shape[2:]), images.shape[1], weight)
    return Search([Places()]).run(Samples(images, labels, range(len(labels))), reader(model))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(32, 32), (33, 47)], ids=str)
def test_a_translucent_mark_is_found_and_its_region_is_its_strokes(channels: int, size: tuple[int, int]) -> None:
    images, labels, marked = _marked(0.6, channels, size)
    (one,) = _found(images, labels)
    assert (one.class_index, one.kind, one.is_used, one.region is None) == (CLASS, "places", True, False)
    found = {int(name) for name in one.bearers}
    assert len(found & {*marked.tolist()}) > 0.9 * len(marked)
    assert len(found - {*marked.tolist()}) <= 3
    strokes = _mark(size).bool()
    assert one.region is not None
    overlap = (one.region & strokes).sum() / (one.region | strokes).sum()
    assert overlap > 0.9
    # What is added elsewhere brightens the strokes alone.
    blank = torch.full((1, channels, *size), 0.4)
    added = (one.change(blank) - blank).mean(dim=1)[0]
    assert (added[~one.region] == 0).all()
    assert (added[strokes & one.region] > 0.1).all()
    assert one.exhibit is not None
    assert one.exhibit.marks is not None
    assert torch.equal(one.exhibit.marks, one.region.expand(4, *size))


def test_a_mark_that_the_network_does_not_use() -> None:
    images, labels, _ = _marked(0.6, 3, (32, 32))
    (one,) = _found(images, labels, weight=0.0)
    assert not one.is_used


def test_scenes_alone_have_no_mark() -> None:
    images, labels, _ = _marked(0.0, 3, (32, 32))
    assert not _found(images, labels)


def test_a_mark_of_all_classes_gives_none_away() -> None:
    images, labels, _ = _marked(0.0, 3, (32, 32))
    images += 0.6 * _mark() * (1 - images) * (torch.arange(len(labels)) % 7 < 3)[:, None, None, None]
    assert not _found(images, labels)


def _counted(change: Callable[[Tensor, Tensor], None]) -> Count | None:
    """Return how a pattern is counted, of which one in two images of class 2 has 8 standard deviations more."""
    labels = torch.arange(60 * _N_CLASSES) % _N_CLASSES
    scores = torch.randn(len(labels), generator=torch.Generator().manual_seed(0))
    scores[(labels == CLASS) & (torch.arange(len(labels)) % 4 == 0)] += 8
    change(scores, labels)
    return Place(CLASS, scores, 0.9).count(Samples(torch.zeros(len(labels), 1, 2, 2), labels, range(len(labels))))


def test_a_pattern_is_counted_half_way_from_most_images_to_its_bearers() -> None:
    count = _counted(lambda scores, labels: None)
    assert count is not None
    labels, n = torch.arange(360) % _N_CLASSES, torch.arange(360)
    assert torch.equal(count.bears, (labels == CLASS) & (n % 4 == 0))
    assert count.p_value < 1e-6


def test_objects_are_no_marks() -> None:
    def faint(scores: Tensor, labels: Tensor) -> None:
        scores[(labels == CLASS) & (scores > 4)] -= 7.5

    def another_class_is_near(scores: Tensor, labels: Tensor) -> None:
        scores[labels == 4] += 3

    def fills_its_place(scores: Tensor, labels: Tensor) -> None:
        scores[labels == CLASS] = 8 + 0.5 * scores[labels == 1]

    def is_in_all_of_them_more_or_less(scores: Tensor, labels: Tensor) -> None:
        scores[labels == CLASS] += 6

    def varies_evenly(scores: Tensor, labels: Tensor) -> None:
        scores[labels == CLASS] = torch.linspace(0, 12, int((labels == CLASS).sum()))

    for change in (faint, another_class_is_near, fills_its_place, is_in_all_of_them_more_or_less, varies_evenly):
        assert _counted(change) is None


def test_a_mark_of_one_of_three_classes() -> None:
    images, labels, marked = _marked(0.5, 3, (32, 32), n_classes=3)
    samples = Samples(images, labels, range(len(labels)))
    counts = {one.class_index: one.count(samples) for one in Places().propose(samples, reader(nn.Identity()))[0]}
    count = counts.pop(CLASS)
    assert count is not None
    assert {*count.bears.nonzero()[:, 0].tolist()} == {*marked.tolist()}
    assert {*counts.values()} <= {None}


@pytest.mark.parametrize("color", [(0.1, 0.9, 0.5), (0.45, 0.5, 0.5)], ids=["clear", "as the scenes are"])
@pytest.mark.parametrize("n_classes", [4, _N_CLASSES])
def test_a_frame_of_any_color_is_found_and_is_opaque(color: tuple[float, ...], n_classes: int) -> None:
    labels = torch.arange(60 * n_classes) % n_classes
    images = scenery(len(labels), 3, (32, 32))
    frame = torch.ones(32, 32, dtype=torch.bool)
    frame[2:-2, 2:-2] = False
    marked = (labels == CLASS).nonzero()[:32, 0]
    ink = torch.tensor(color)[:, None, None]
    images[marked] = torch.where(frame, ink, images[marked])
    samples = Samples(images, labels, range(len(labels)))
    found = [(one, one.count(samples)) for one in Places().propose(samples, reader(nn.Identity()))[0]]
    (one, count), *others = [(one, count) for one, count in found if count is not None]
    assert (one.class_index, others) == (CLASS, [])
    assert {*count.bears.nonzero()[:, 0].tolist()} == {*marked.tolist()}
    trial = one.trial(samples, count)
    assert trial is not None
    assert trial.region is not None
    assert float((trial.region & frame).sum() / (trial.region | frame).sum()) > 0.9
    laid = trial.change(torch.rand(4, 3, 32, 32))[:, :, frame & trial.region]
    torch.testing.assert_close(laid, ink[None, :, :, 0].expand_as(laid), rtol=0, atol=0.02)
    with_cue = trial.with_cue[:, :, ~trial.region]
    assert torch.equal(with_cue, samples.inputs[trial.recipients][:, :, ~trial.region])


def test_the_opacity_of_a_translucent_mark_is_told() -> None:
    images, labels, _ = _marked(0.5, 3, (32, 32))
    (one,) = _found(images, labels)
    assert isinstance(one.change, Overlay)
    strokes = _mark().bool()
    assert one.change.opacity[strokes].mean() == pytest.approx(0.6, abs=0.08)
    black, white = torch.zeros(1, 3, 32, 32), torch.ones(1, 3, 32, 32)
    assert one.change(black)[:, :, strokes].mean() == pytest.approx(0.6, abs=0.08)
    assert one.change(white)[:, :, strokes].mean() == pytest.approx(1.0, abs=0.05)


def test_a_mark_that_differs_from_one_bearer_to_the_next_is_pasted() -> None:
    labels = torch.arange(60 * _N_CLASSES) % _N_CLASSES
    images = scenery(len(labels), 3, (32, 32))
    marked = (labels == CLASS).nonzero()[:32, 0]
    strokes = torch.rand(32, 1, 6, 24, generator=torch.Generator().manual_seed(0)) > 0.5
    images[marked, :, 22:28, 4:28] = images[marked, :, 22:28, 4:28].masked_fill(strokes, 1.0)
    samples = Samples(images, labels, range(len(labels)))
    (place,) = (one for one in Places().propose(samples, reader(nn.Identity()))[0] if one.class_index == CLASS)
    count = place.count(samples)
    assert count is not None
    trial = place.trial(samples, count)
    assert trial is not None
    assert trial.bearers is not None
    assert trial.region is not None
    assert isinstance(trial.change, PastedPixels)
    assert trial.region[22:28, 4:28].double().mean() > 0.9
    assert torch.equal(trial.with_cue[0][:, trial.region], samples.inputs[trial.bearers[0]][:, trial.region])
    assert len(trial.controls) == 2, "of other classes, and of the class without it"


def test_of_two_classes_no_fading_mark_is_told() -> None:
    images, labels, _ = _marked(0.5, 3, (32, 32), n_classes=3)
    labels = (labels == CLASS).long()
    samples = Samples(images, labels, range(len(labels)))
    assert not any(one.count(samples) for one in Places().propose(samples, reader(nn.Identity()))[0])


def test_where_nearly_all_bear_a_mark_the_object_of_the_class_is_not_hidden() -> None:
    labels = torch.arange(60 * _N_CLASSES) % _N_CLASSES
    images = scenery(len(labels), 3, (32, 32))
    own = (labels == CLASS).nonzero()[:, 0]
    for index in range(_N_CLASSES):
        images[labels == index, :, 16:24, 16:24] = 0.15 * index + 0.05 * images[labels == index, :, 16:24, 16:24]
    images[own[:54]] += 0.6 * _mark() * (1 - images[own[:54]])
    samples = Samples(images, labels, range(len(labels)))
    bears = torch.isin(torch.arange(len(labels)), own[:54])
    trial = Place(CLASS, bears.float(), 0.9).trial(samples, Count(bears, bears.float(), 0.0))
    assert trial is not None
    assert isinstance(trial.change, Overlay)
    assert float(trial.change.opacity[16:24, 16:24].mean()) < 0.2
    assert float(trial.change.opacity[_mark().bool()].mean()) == pytest.approx(0.6, abs=0.12)


def test_without_two_images_of_another_class_that_lack_a_mark_there_is_no_trial() -> None:
    images, labels, marked = _marked(0.5, 3, (32, 32))
    bears = labels != CLASS
    bears[marked] = True
    for index in range(_N_CLASSES):
        bears[(labels == index).nonzero()[0]] = False
    samples = Samples(images, labels, range(len(labels)))
    assert Place(CLASS, bears.float(), 0.9).trial(samples, Count(bears, bears.float(), 0.0)) is None


def test_scores_are_sharpened_by_what_sets_bearers_apart_from_the_rest_of_their_class() -> None:
    images, labels, marked = _marked(0.5, 3, (32, 32))
    images[labels == CLASS, :, 20:30, 20:30] *= 0.6
    samples = Samples(images, labels, range(len(labels)))
    (place,) = (one for one in Places().propose(samples, reader(nn.Identity()))[0] if one.class_index == CLASS)
    own = labels == CLASS
    bears = torch.isin(torch.arange(len(labels)), marked)[own]
    assert place.scores[own][bears].min() > place.scores[own][~bears].max()


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (64, 100)], ids=str)
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("constant", [False, True])
def test_images_of_any_form_are_searched(size: tuple[int, int], n_classes: int, *, constant: bool) -> None:
    labels = torch.arange(18 * n_classes) % n_classes
    images = torch.full((len(labels), 2, *size), 0.5) if constant else torch.rand(len(labels), 2, *size)
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, n_classes))

    assert not Search([Places()]).run(Samples(images, labels, range(len(labels))), reader(model))
