"""A class within a region, against what is known of a linear segmenter."""

from __future__ import annotations

import pickle
import re
from typing import Any

import pytest
import torch
from pytorch_grad_cam.utils.model_targets import SemanticSegmentationTarget
from torch import nn
from torch.nn import functional as F
from transformers.models.mask2former.modeling_mask2former import Mask2FormerForUniversalSegmentationOutput

from saliency_callbacks import Probe, explain
from saliency_callbacks.errors import OutputError, TargetError
from saliency_callbacks.probe import freeze
from saliency_callbacks.targets import SegmentationTarget
from saliency_callbacks.targets.named import Samples
from saliency_callbacks.targets.resolution import resolve_target, samples_of

pytestmark = pytest.mark.filterwarnings("ignore::saliency_callbacks.errors.DegenerateMapWarning")


class Wrapped(nn.Module):
    """Returns its scores as a model of torchvision does."""

    def __init__(self, segmenter: nn.Module) -> None:
        super().__init__()
        self.segmenter = segmenter

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        found = self.segmenter(images)
        return {"aux": -found, "out": found}


def _segmenter(n_classes: int = 3, n_dims: int = 2) -> nn.Module:
    torch.manual_seed(0)
    return (nn.Conv1d, nn.Conv2d, nn.Conv3d)[n_dims - 1](2, n_classes, kernel_size=1)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.rand(3, 2, 6, 5, generator=torch.Generator().manual_seed(1))


def _mask() -> torch.Tensor:
    mask = torch.zeros(6, 5, dtype=torch.bool)
    mask[1:3, 2:5] = True
    return mask


@pytest.mark.parametrize("region", [None, _mask(), torch.stack([_mask(), ~_mask(), _mask()]), _mask().float() / 2])
@pytest.mark.parametrize("rows", [None, 2])
def test_a_linear_segmenter_has_the_gradient_that_is_known(images: torch.Tensor, region: Any, rows: int | None) -> None:
    model = _segmenter()
    target = SegmentationTarget(1, region)
    found = explain(Wrapped(model), images, methods="gradient", target=target, internal_batch_size=rows)["gradient"]
    weights = (torch.ones(6, 5) if region is None else region.float()).expand(3, 6, 5)
    shares = weights / weights.sum(dim=(1, 2), keepdim=True)
    expected = model.weight[1].reshape(1, 2, 1, 1) * shares[:, None]
    torch.testing.assert_close(found.values, expected.detach())
    torch.testing.assert_close(found.score, (model(images)[:, 1] * shares).sum(dim=(1, 2)).detach())


def test_it_agrees_with_another_library_but_for_the_mean(images: torch.Tensor) -> None:
    logits = _segmenter()(images).requires_grad_()
    other = SemanticSegmentationTarget(2, _mask().float().numpy())
    other.mask = other.mask.cpu()
    expected = sum(other(row) for row in logits)
    own = SegmentationTarget(2, _mask()).of(Samples(3, (6, 5)))(logits, torch.arange(3))
    a, b = (torch.autograd.grad(one, logits, retain_graph=True)[0] for one in (expected, own.sum()))
    torch.testing.assert_close(a / _mask().sum(), b)


@pytest.mark.parametrize("n_dims", [1, 3])
def test_signals_and_volumes(n_dims: int) -> None:
    model = _segmenter(n_dims=n_dims)
    size = (4, 5, 6)[:n_dims]
    found = explain(model, torch.rand(2, 2, *size), methods="gradient", target=SegmentationTarget(0))["gradient"]
    n_positions = torch.Size(size).numel()
    expected = model.weight[0].reshape(1, 2, *[1] * n_dims).expand(2, 2, *size) / n_positions
    torch.testing.assert_close(found.values, expected.detach())


@pytest.mark.parametrize(("label", "sign"), [(1, 1), (0, -1)])
def test_one_channel_is_two_classes(images: torch.Tensor, label: int, sign: int) -> None:
    model = _segmenter(1)
    found = explain(model, images, methods="gradient", target=SegmentationTarget(label, "predicted"))["gradient"]
    where = sign * model(images) > 0
    expected = sign * (model(images) * where).flatten(1).sum(dim=1) / where.flatten(1).sum(dim=1).clamp(min=1)
    torch.testing.assert_close(found.score, expected.detach())


def test_scores_of_lower_resolution_are_resized_to_the_mask(images: torch.Tensor) -> None:
    model = nn.Sequential(nn.AvgPool2d((2, 1)), _segmenter())
    found = explain(model, images, methods="gradient", target=SegmentationTarget(0, _mask()))["gradient"]
    whole = F.interpolate(model(images), (6, 5), mode="bilinear", align_corners=False)
    torch.testing.assert_close(found.score, whole[:, 0, _mask()].mean(dim=1).detach())


def test_a_region_is_pinned_once_its_class_is_predicted() -> None:
    probe = freeze(torch.zeros(2, 1, 2, 2))
    given = SegmentationTarget(1, "predicted")
    target = resolve_target(given, probe, None)
    start = torch.zeros(2, 2, 2, 2)
    start[0, 1, 0, 0] = 1
    pins = target.pins_of(start, torch.arange(2))
    assert pins["region"].flatten(1).sum(dim=1).tolist() == [1, 0]
    target = resolve_target(given, probe, None, pins=pins)
    assert target.needs_pins
    assert target(start, torch.arange(2)).tolist() == [1, 0], "an empty region has no score"
    later = torch.zeros(2, 2, 2, 2)
    later[:, 1] = 5
    target = target.pinned(target.pins_of(later, torch.arange(2)))
    assert not target.needs_pins
    assert target.kept["region"].flatten(1).sum(dim=1).tolist() == [1, 4], "what was found stays"
    drawn = target.outlines(samples_of(probe, (4, 4), ["road", "car"]))
    assert drawn.masks.flatten(1).sum(dim=1).tolist() == [4, 16]


def test_the_masks_of_the_probe() -> None:
    probe = freeze(torch.zeros(2, 1, 6, 5), masks=torch.stack([_mask(), ~_mask()]), class_names=["road", "car"])
    target = SegmentationTarget("car", "mask").of(samples_of(probe, (6, 5)))
    scores = torch.rand(2, 2, 6, 5)
    expected = [scores[0, 1, _mask()].mean(), scores[1, 1, ~_mask()].mean()]
    torch.testing.assert_close(target(scores, torch.arange(2)), torch.stack(expected))
    assert target.outlines(samples_of(probe, (6, 5))).names == ("car", "car")
    assert not target.kept, "the data tells it"


_CLASSES = torch.tensor([[[0, 0, 1], [2, 2, 1], [255, 255, 255]]])


@pytest.mark.parametrize("is_fixed", [False, True])
def test_masks_of_classes_are_the_regions_of_their_own_class(is_fixed: bool) -> None:
    inputs = torch.zeros(1, 1, 3, 3)
    if is_fixed:
        probe = Probe.from_tensors(inputs, masks=_CLASSES)
        batch = probe.freeze(inputs, None)
    else:
        batch = Probe().freeze({"image": inputs, "mask": _CLASSES})
    for label in range(3):
        found = SegmentationTarget(label, "mask").of(samples_of(batch, (3, 3)))
        assert torch.equal(found.outlines(samples_of(batch, (3, 3))).masks, label == _CLASSES)
    assert torch.equal(batch.masks, (_CLASSES == 1) | (_CLASSES == 2)), "void is no region of scores"
    other = torch.where(_CLASSES == 2, 1, _CLASSES)
    assert freeze(inputs, masks=other).identity != freeze(inputs, masks=_CLASSES).identity


@pytest.mark.parametrize("high", [1, 255])
@pytest.mark.parametrize("label", [0, 1])
def test_a_mask_of_two_values_is_one_region(high: int, label: int) -> None:
    masks = high * (_CLASSES == 2).to(torch.uint8)
    samples = samples_of(freeze(torch.zeros(1, 1, 3, 3), masks=masks), (3, 3))
    found = SegmentationTarget(label, "mask").of(samples).outlines(samples)
    assert torch.equal(found.masks, _CLASSES == 2)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ((-1,), "label=-1"),
        ((True,), "label=True"),
        ((0, "everything"), "region='everything'"),
        ((0, torch.zeros(4, 4)), "region is empty"),
        ((0, torch.full((4, 4), 2.0)), "outside of"),
    ],
)
def test_what_is_no_region_is_refused(arguments: Any, match: str) -> None:
    with pytest.raises(TargetError, match=match):
        SegmentationTarget(*arguments)


@pytest.mark.parametrize(
    ("target", "match"),
    [
        (SegmentationTarget(3), "has 3 classes at each position"),
        (SegmentationTarget("car"), "the classes have no names here"),
        (SegmentationTarget(0, "mask"), "there are no masks"),
        (SegmentationTarget(0, torch.ones(4, 4)), r"region has shape \[4, 4\], but the inputs have the size \[6, 5\]"),
    ],
)
def test_what_does_not_fit_is_refused(images: torch.Tensor, target: SegmentationTarget, match: str) -> None:
    with pytest.raises(TargetError, match=match):
        explain(_segmenter(), images, methods="gradient", target=target)


def test_a_classifier_is_refused(images: torch.Tensor) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(60, 3))
    with pytest.raises(OutputError, match="SegmentationTarget needs class scores of every position"):
        explain(model, images, methods="gradient", target=SegmentationTarget(0))


@pytest.mark.parametrize("is_detector", [False, True])
def test_scores_of_patches_and_of_queries_are_none_of_positions(images: torch.Tensor, is_detector: bool) -> None:
    class Patches(nn.Module):
        def forward(self, images: torch.Tensor) -> Any:
            logits = images.flatten(2).transpose(1, 2)
            return {"logits": logits, "pred_boxes": logits.sigmoid()} if is_detector else logits

    with pytest.raises(OutputError, match=r"needs class scores of every position \[N, classes, height, width\]"):
        explain(Patches(), images, methods="gradient", target=SegmentationTarget(1))


class OfQueries(nn.Module):
    """Returns the masks of queries and their classes, as Mask2Former or DETR does."""

    def __init__(self, kind: Any, scores: str, masks: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.masks, self.scores, self.kind, self.names = nn.Conv2d(2, 4, 1), nn.Linear(2, 4), kind, (scores, masks)

    def forward(self, images: torch.Tensor) -> Any:
        scores = self.scores(images.flatten(2).transpose(1, 2)[:, :4])
        return self.kind(**dict(zip(self.names, (scores, self.masks(images)), strict=True)))


@pytest.mark.parametrize(
    "model",
    [
        OfQueries(Mask2FormerForUniversalSegmentationOutput, "class_queries_logits", "masks_queries_logits"),
        OfQueries(dict, "pred_logits", "pred_masks"),
        OfQueries(dict, "logits", "pred_masks"),
    ],
    ids=["Mask2Former", "DETR", "DETR of transformers"],
)
def test_masks_of_queries_are_no_classes(images: torch.Tensor, model: OfQueries) -> None:
    with pytest.raises(OutputError, match="the model returned masks of queries") as caught:
        explain(model, images, methods="gradient", target=SegmentationTarget(1))
    advice = re.search(r"output_fn=(lambda .*sigmoid\(\)\)),", str(caught.value))
    assert advice is not None
    found = explain(
        model,
        images,
        methods="gradient",
        target=SegmentationTarget(1),
        # As it is advised.
        output_fn=eval(advice[1]),
    )["gradient"]
    scores, masks = (model(images)[name] for name in model.names)
    expected = (scores.softmax(-1)[:, :, 1, None, None] * masks.sigmoid()).sum(dim=1).mean(dim=(1, 2))
    torch.testing.assert_close(found.score, expected.detach())


def test_which_of_several_is_meant_has_to_be_said(images: torch.Tensor) -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.segmenter = _segmenter()

        def forward(self, images: torch.Tensor) -> Any:
            return {"depth": images, "classes": self.segmenter(images)}

    with pytest.raises(OutputError, match=r"\['depth', 'classes'\] of the model's output may be class scores"):
        explain(Two(), images, methods="gradient", target=SegmentationTarget(1))


def test_it_is_a_value() -> None:
    target = SegmentationTarget(1, _mask())
    assert target == pickle.loads(pickle.dumps(target)) != SegmentationTarget(1, ~_mask())
    assert repr(SegmentationTarget("car", "predicted")) == "SegmentationTarget(label='car', region='predicted')"
