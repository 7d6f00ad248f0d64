"""A detected object: which candidate is its own, and what is pinned of it."""

from __future__ import annotations

import pickle
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pytorch_grad_cam.utils.model_targets import FasterRCNNBoxScoreTarget
from torch import Tensor, nn
from torchvision.models.detection import FCOS
from torchvision.models.detection.anchor_utils import AnchorGenerator, DefaultBoxGenerator
from torchvision.models.detection.fcos import FCOSHead
from torchvision.models.detection.ssd import SSD, SSDHead
from torchvision.ops import box_iou
from transformers import OwlViTConfig

from saliency_callbacks import explain
from saliency_callbacks.errors import DegenerateMapWarning, OutputError, TargetError
from saliency_callbacks.probe import freeze
from saliency_callbacks.probe.labels.objects import Objects
from saliency_callbacks.targets import DetectionTarget
from saliency_callbacks.targets.detection.geometry import overlap
from saliency_callbacks.targets.named import Samples
from saliency_callbacks.targets.resolution import resolve_target, samples_of

_SIZE = (40, 60)
_ROWS = torch.arange(2)


class Boxes(nn.Module):
    """A detector of somebody else's: returns dictionaries, and no more than it selects."""

    def __init__(self, n_found: int = 3) -> None:
        super().__init__()
        self.n_found = n_found

    def forward(self, images: Tensor) -> list[dict[str, Tensor]]:
        boxes = torch.tensor([[5.0, 5, 25, 25], [6.0, 5, 26, 25], [30.0, 10, 50, 30]])[: self.n_found]
        found = []
        for image in images:
            means = [image[0, 5:25, 5:25].mean(), image[0, 5:25, 6:26].mean(), image[1, 10:30, 30:50].mean()]
            scores = torch.stack(means).sigmoid()[: self.n_found]
            found.append({"boxes": boxes, "labels": torch.tensor([1, 1, 2])[: self.n_found], "scores": scores})
        return found


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(2, 2, *_SIZE, generator=torch.Generator().manual_seed(0))


def _output(scores: Tensor) -> list[dict[str, Tensor]]:
    boxes = torch.tensor([[5.0, 5, 25, 25], [30.0, 10, 50, 30], [5.0, 5, 25, 26]])
    return [{"boxes": boxes, "labels": torch.tensor([1, 2, 2]), "scores": row} for row in scores]


def test_overlap_is_that_of_torchvision() -> None:
    boxes = torch.rand(20, 2, generator=torch.Generator().manual_seed(0)).repeat(1, 2)
    boxes[:, 2:] += torch.rand(20, 2, generator=torch.Generator().manual_seed(1))
    expected = box_iou(boxes, boxes[:1])[:, 0]
    torch.testing.assert_close(overlap(boxes, boxes[0]), expected)


def test_its_gradient_agrees_with_another_library() -> None:
    scores = torch.tensor([[0.9, 0.8, 0.7], [0.6, 0.5, 0.4]], requires_grad=True)
    output = _output(scores)
    other = FasterRCNNBoxScoreTarget(labels=[2], bounding_boxes=torch.tensor([[30.0, 10, 50, 30]]))
    # Theirs adds the overlap, which has no gradient here, and takes the probability where this takes its logit.
    expected = torch.stack([other(row) for row in output]).sum()
    own = DetectionTarget(2, box=(30, 10, 50, 30)).of(Samples(2, _SIZE))(output, _ROWS)
    a, b = (torch.autograd.grad(one, scores)[0] for one in (expected, own.sum()))
    torch.testing.assert_close(b, a / (scores * (1 - scores)).detach())
    torch.testing.assert_close(own, scores[:, 1].logit().detach())


def test_the_best_score_of_what_overlaps_counts(images: Tensor) -> None:
    found = explain(Boxes(), images, methods="gradient", target=DetectionTarget(1, box=(5, 5, 25, 25)))["gradient"]
    expected = torch.stack([images[:, 0, 5:25, 5:25], images[:, 0, 5:25, 6:26]]).mean(dim=(2, 3)).amax(dim=0)
    torch.testing.assert_close(found.score, expected)
    assert not found.values[:, 1].any()


@pytest.mark.parametrize("rows", [None, 1])
def test_each_sample_has_its_own_box(images: Tensor, rows: int | None) -> None:
    target = DetectionTarget(box=[[5.0, 5, 25, 25], [30.0, 10, 50, 30]])
    found = explain(Boxes(), images, methods="gradient", target=target, internal_batch_size=rows)["gradient"]
    assert found.values[0, 0].any()
    assert not found.values[0, 1].any(), "its class is that of its box"
    assert found.values[1, 1].any()
    assert not found.values[1, 0].any()


@pytest.mark.parametrize("n_found", [1, 0])
def test_without_a_match_there_is_a_map_of_zeros_and_a_warning(images: Tensor, n_found: int) -> None:
    with pytest.warns(DegenerateMapWarning, match="an object or a region that is not found yet"):
        found = explain(Boxes(n_found), images, methods="gradient", target=DetectionTarget(2, (30, 10, 50, 30)))
    assert not found["gradient"].values.any()


def test_what_is_detected_is_pinned_once_it_is_probable() -> None:
    probe = freeze(torch.zeros(2, 3, *_SIZE))
    given, samples = DetectionTarget(), samples_of(probe, _SIZE, ["", "cat", "dog"])
    target = resolve_target(given, probe, None, samples=samples)
    first = target.pins_of(_output(torch.tensor([[0.3, 0.9, 0.1], [0.3, 0.4, 0.1]])), _ROWS)
    target = resolve_target(given, probe, None, pins=first, samples=samples)
    assert target.needs_pins, "the second sample has nothing above 0.5"
    assert target.kept["boxes"][0].tolist() == [30, 10, 50, 30]
    assert target.kept["labels"].tolist() == [2, -1]
    assert target.outlines(samples).names == ("dog", "")
    later = _output(torch.tensor([[0.99, 0.2, 0.1], [0.8, 0.4, 0.1]]))
    target = target.pinned(target.pins_of(later, _ROWS))
    assert not target.needs_pins
    assert target.kept["labels"].tolist() == [2, 1], "what was found stays"
    torch.testing.assert_close(target(later, torch.tensor([0, 1])), torch.tensor([0.2, 0.8]).logit())


def test_the_largest_annotation_of_a_class() -> None:
    boxes = torch.tensor([[0.0, 0, 5, 5], [0.0, 0, 9, 9], [0.0, 0, 20, 20]])
    objects = (Objects(boxes, torch.tensor([1, 1, 2])), Objects(boxes[:0], torch.zeros(0).long()))
    probe = freeze(torch.zeros(2, 3, *_SIZE), objects=objects)
    target = DetectionTarget(1, box="annotation").of(samples_of(probe, _SIZE))
    drawn = target.outlines(samples_of(probe, _SIZE))
    assert drawn.boxes[0].tolist() == [0, 0, 9, 9]
    assert drawn.boxes[1].isnan().all()
    assert not target.needs_pins, "the data has no more to tell"
    assert not target.kept
    assert DetectionTarget(box="annotation").of(samples_of(probe, _SIZE)).outlines(
        samples_of(probe, _SIZE, ["", "cat", "dog"])
    ).names == ("dog", "")


@pytest.mark.parametrize("kind", [dict, SimpleNamespace])
@pytest.mark.parametrize("names", [("logits", "pred_boxes"), ("pred_logits", "pred_boxes")])
def test_queries_of_other_forms(kind: Any, names: tuple[str, str]) -> None:
    if kind is SimpleNamespace and names[0] == "pred_logits":
        pytest.skip("a dictionary in the original code")
    logits = torch.tensor([[[1.0, 2, 0], [3.0, 1, 0]]]).expand(2, 2, 3)
    boxes = torch.tensor([[[0.25, 0.5, 0.5, 1.0], [0.75, 0.5, 0.5, 1.0]]]).expand(2, 2, 4)
    output = kind(**dict(zip(names, (logits, boxes), strict=True)))
    target = DetectionTarget(0, box=(30, 0, 60, 40)).of(Samples(2, _SIZE))
    assert target(output, _ROWS).tolist() == [3, 3]
    far = DetectionTarget(0, box=(2, 1, 6, 5)).of(Samples(2, _SIZE))
    assert far(output, _ROWS).tolist() == [1, 1], "that which overlaps most"
    with pytest.raises(TargetError, match="background=True"):
        DetectionTarget(min_score=0.1).of(Samples(2, _SIZE)).pins_of(output, _ROWS)
    found = DetectionTarget(min_score=0.1, background=True).of(Samples(2, _SIZE)).pins_of(output, _ROWS)
    assert found["labels"].tolist() == [0, 0]
    assert found["boxes"][0].tolist() == [30, 0, 60, 40]


class Queries(nn.Module):
    """Two queries, one for each half of the picture, with scores of some classes."""

    def __init__(self, n_scores: int, config: Any = None, head: type[nn.Module] = nn.Linear) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.head = head(2, n_scores) if head is nn.Linear else nn.Conv1d(2, n_scores, 1)
        if config is not None:
            self.config = config

    def scores(self, images: Tensor) -> Tensor:
        halves = torch.stack([half.mean(dim=(2, 3)) for half in images.chunk(2, dim=3)], dim=1)
        return self.head(halves) if isinstance(self.head, nn.Linear) else self.head(halves.mT).mT

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        boxes = torch.tensor([[0.25, 0.5, 0.5, 1.0], [0.75, 0.5, 0.5, 1.0]]).expand(len(images), 2, 4)
        return {"logits": self.scores(images), "pred_boxes": boxes}


_RIGHT = (30, 0, 60, 40)


@pytest.mark.parametrize(
    ("config", "n_scores"),
    [
        (None, 3),
        (SimpleNamespace(num_labels=3), 3),
        *((OwlViTConfig(), n_prompts) for n_prompts in (2, 3, 4)),
    ],
)
def test_the_last_score_of_a_query_is_a_class(images: Tensor, config: Any, n_scores: int) -> None:
    model = Queries(n_scores, config, nn.Linear if config is None else nn.Conv1d)
    found = explain(model, images, methods="gradient", target=DetectionTarget(n_scores - 1, _RIGHT))["gradient"]
    torch.testing.assert_close(found.score, model.scores(images)[:, 1, -1].detach())
    target = DetectionTarget(None, _RIGHT)
    if config is None:
        with pytest.raises(TargetError, match="background=True"):
            explain(model, images, methods="gradient", target=target)
    else:
        best = explain(model, images, methods="gradient", target=target)["gradient"]
        torch.testing.assert_close(best.score, model.scores(images)[:, 1].amax(dim=1).detach())


def test_a_configuration_that_agrees_tells_of_no_object(images: Tensor) -> None:
    model = Queries(3, SimpleNamespace(num_labels=2))
    with torch.no_grad():
        model.head.bias.copy_(torch.tensor([0.0, 1.0, 9.0]))
    found = explain(model, images, methods="gradient", target=DetectionTarget(None, _RIGHT))["gradient"]
    torch.testing.assert_close(found.score, model.scores(images)[:, 1, :2].amax(dim=1).detach())
    with pytest.raises(TargetError, match="has the classes 0 to 1; 2 is the background"):
        explain(model, images, methods="gradient", target=DetectionTarget(2, _RIGHT))


def _fcos(backbone: nn.Module) -> nn.Module:
    head = FCOSHead(32, 1, 3, num_convs=1)
    return FCOS(backbone, 3, min_size=40, max_size=60, anchor_generator=AnchorGenerator(((8,),), ((1.0,),)), head=head)


def _ssd(backbone: nn.Module, kind: type[SSD] = SSD) -> nn.Module:
    return kind(backbone, DefaultBoxGenerator([[2]], scales=[0.3, 0.6]), (40, 40), 3, head=SSDHead([32], [4], 3))


def _backbone() -> nn.Module:
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Conv2d(3, 8, 3, 4, 1), nn.ReLU(), nn.Conv2d(8, 32, 3, 2, 1), nn.ReLU())
    backbone.out_channels = 32
    return backbone


class _Ssd(SSD):
    """A class of one's own, with a name of its own."""


@pytest.mark.parametrize(
    ("make", "label", "match"),
    [
        (_fcos, 7, "class 7, but the detector has the classes 0 to 2"),
        (_ssd, 3, "class 3, but the detector has the classes 1 to 2; 0 is the background"),
        (_ssd, 0, "class 0, but the detector has the classes 1 to 2; 0 is the background"),
        (lambda backbone: _ssd(backbone, _Ssd), 0, "0 is the background"),
        (lambda backbone: Queries(3), 3, "class 3, but the detector has the classes 0 to 2"),
    ],
)
@pytest.mark.parametrize("box", [None, (10, 10, 30, 30)])
def test_a_class_that_a_detector_does_not_have_is_refused(make: Any, label: int, match: str, box: Any) -> None:
    model = make(_backbone()).eval()
    images = torch.rand(1, 2 if isinstance(model, Queries) else 3, *_SIZE)
    with pytest.raises(TargetError, match=match):
        explain(model, images, methods="gradient", target=DetectionTarget(label, box))


class Teacher(nn.Module):
    """Has a detector that does not run, and one that does."""

    def __init__(self, student: nn.Module, teacher: nn.Module) -> None:
        super().__init__()
        self.teacher, self.student = teacher, student

    def forward(self, images: Tensor) -> Any:
        return self.student(list(images))


@pytest.mark.parametrize("make", [_fcos, _ssd])
def test_of_two_detectors_the_one_that_runs_is_asked(make: Any) -> None:
    student, images = make(_backbone()).eval(), torch.rand(2, 3, *_SIZE)
    target = DetectionTarget(1, box=(10, 10, 30, 30))
    alone = explain(student, images, methods="gradient", target=target)["gradient"]
    both = explain(Teacher(student, make(_backbone())).eval(), images, methods="gradient", target=target)["gradient"]
    assert alone.values.any()
    torch.testing.assert_close(both.score, alone.score)
    torch.testing.assert_close(both.values, alone.values)


@pytest.mark.parametrize("make", [_fcos, _ssd])
def test_anchors_have_a_score_where_nothing_is_selected(make: Any) -> None:
    model = make(_backbone()).eval()
    model.score_thresh = 1.1
    images = torch.rand(2, 3, *_SIZE)
    assert all(len(one["boxes"]) == 0 for one in model(images))
    found = explain(model, images, methods="gradient", target=DetectionTarget(1, box=(10, 10, 30, 30)))["gradient"]
    assert found.values.flatten(1).any(dim=1).all()
    places = found.values[0].abs().amax(dim=0).nonzero().float()
    assert (places.mean(dim=0) - torch.tensor([20.0, 20.0])).abs().max() < 12, "around the box"
    assert not any(each._forward_hooks or each._forward_pre_hooks for each in model.modules())


def test_a_classifier_is_refused(images: Tensor) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(2 * 40 * 60, 3))
    with pytest.raises(OutputError, match="DetectionTarget needs a detector's output"):
        explain(model, images, methods="gradient", target=DetectionTarget(1))
    with pytest.raises(TargetError, match=r"explains pictures, but the inputs have the size \(9,\)"):
        explain(nn.Conv1d(2, 3, 1), torch.rand(2, 2, 9), methods="gradient", target=DetectionTarget(1))


def test_it_is_a_value() -> None:
    target = DetectionTarget("dog", box=(1, 2, 3, 4))
    assert target == pickle.loads(pickle.dumps(target)) != DetectionTarget("dog", box=(1, 2, 3, 5))
    assert repr(DetectionTarget("dog", min_iou=0.3)) == "DetectionTarget(label='dog', min_iou=0.3)"
    samples = Samples(2, _SIZE)
    assert DetectionTarget(1).of(samples) == DetectionTarget(1).of(samples)
