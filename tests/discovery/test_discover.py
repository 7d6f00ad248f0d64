"""The search without a Trainer: models of every kind, which come back as they were, and images of every kind."""

from __future__ import annotations

import copy
import random

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from saliency_callbacks import CueAlarm, discover_shortcuts
from saliency_callbacks.discovery.suspicion import Suspicion
from saliency_callbacks.errors import ConfigurationError, OutputError, ProbeError, SaliencyWarning, TargetError
from tests.discovery.images.cases import CLASS, ReadsBrightness, ReadsCue, planted, scenery

_DATA = planted()
_TWO = planted(n_classes=2, per_class=96)


def _require_found(found: list[Suspicion], class_index: int = CLASS) -> None:
    (one,) = [each for each in found if each.is_used]
    assert one is found[0]
    assert (one.class_index, one.kind) == (class_index, "copies")
    assert one.region is not None
    assert int(one.region.sum()) == 36


class _Wrapped(nn.Module):
    """Returns something around the logits."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor):
        logits = self.model(images)
        return {"features": images.flatten(1), "scores": (logits, images)}


class _Single(nn.Module):
    """Returns a single logit, of class 1."""

    def __init__(self) -> None:
        super().__init__()
        self.model = ReadsCue(_TWO.cue, 2)

    def forward(self, images: Tensor) -> Tensor:
        logits = self.model(images)
        return logits[:, 1] - logits[:, 0]


class _Training(nn.Module):
    """Has what differs in training, and what a forward in training changes."""

    def __init__(self) -> None:
        super().__init__()
        self.model = ReadsCue(_DATA.cue)
        self.norm = nn.BatchNorm2d(3)
        self.dropout = nn.Dropout(0.5)
        self.frozen = nn.BatchNorm1d(4).eval()

    def forward(self, images: Tensor) -> Tensor:
        return self.frozen(self.dropout(self.model(self.norm(images)) + torch.rand(())))


def test_a_cue_is_found_with_every_kind_switched_on() -> None:
    _require_found(discover_shortcuts(ReadsCue(_DATA.cue), _DATA.images, _DATA.labels))


@pytest.mark.parametrize("given", ["uint8", "float64", "float16", "list", "labels as floats"])
def test_images_and_labels_of_other_types(given: str) -> None:
    images, labels = (_DATA.images * 255).round() / 255, _DATA.labels
    converted = {
        "uint8": (images * 255).round().to(torch.uint8),
        "float64": images.double(),
        "float16": images.half(),
        "list": list(images),
    }.get(given, images)
    found = discover_shortcuts(
        ReadsCue(_DATA.cue), converted, labels.float() if "labels" in given else labels, kinds="copies"
    )
    _require_found(found)


def test_a_model_that_returns_more_than_logits() -> None:
    model = _Wrapped(ReadsCue(_DATA.cue))
    found = discover_shortcuts(
        model, _DATA.images, _DATA.labels, kinds="copies", output_fn=lambda output: output["scores"][0]
    )
    _require_found(found)
    with pytest.raises(OutputError, match="no class scores"):
        discover_shortcuts(nn.Sequential(nn.Conv2d(3, 4, 3)), _DATA.images, _DATA.labels)


@pytest.mark.parametrize("after", [nn.Softmax(dim=1), nn.LogSoftmax(dim=1), nn.Sigmoid()], ids=str)
def test_probabilities(after: nn.Module) -> None:
    model = nn.Sequential(ReadsCue(_DATA.cue), after)
    _require_found(discover_shortcuts(model, _DATA.images, _DATA.labels, kinds="copies"))


@pytest.mark.parametrize("after", [nn.Identity(), nn.Sigmoid()], ids=["logit", "probability"])
def test_a_single_output_of_two_classes(after: nn.Module) -> None:
    model = nn.Sequential(_Single(), after)
    _require_found(discover_shortcuts(model, _TWO.images, _TWO.labels, kinds="copies"), 1)


def test_labels_with_gaps() -> None:
    labels = torch.tensor([0, 3, CLASS, 7])[_DATA.labels]
    model = nn.Sequential(ReadsCue(_DATA.cue, 4), nn.ConstantPad1d((0, 6), -3.0))
    names = ["ant", "bee", "cat"]
    (one,) = discover_shortcuts(
        model, _DATA.images, labels, kinds="copies", class_names=names, ids=[f"{n}.png" for n in range(len(labels))]
    )
    assert (one.class_name, one.is_used) == ("cat", True)
    assert one.sample_ids[0].endswith(".png")
    with pytest.raises(TargetError, match="returns 4 values per sample, but labels go up to 7"):
        discover_shortcuts(ReadsCue(_DATA.cue), _DATA.images, labels)


def test_a_model_in_training_comes_back_byte_for_byte() -> None:
    model = _Training().train()
    model.frozen.eval()
    model.model.cue.weight.requires_grad_(False)
    model(_DATA.images[:8]).sum().backward()
    weights = copy.deepcopy(model.state_dict())
    gradients = {name: None if w.grad is None else w.grad.clone() for name, w in model.named_parameters()}
    flags = [(name, module.training) for name, module in model.named_modules()]
    needed = [(name, w.requires_grad) for name, w in model.named_parameters()]
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    images = _DATA.images.clone()
    found = discover_shortcuts(model, images, _DATA.labels, preprocess=lambda shown: shown.mul_(1.0))
    assert found
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    for name, weight in model.named_parameters():
        before = gradients[name]
        assert (weight.grad is None) == (before is None)
        assert before is None or torch.equal(weight.grad, before)
    assert [(name, module.training) for name, module in model.named_modules()] == flags
    assert [(name, w.requires_grad) for name, w in model.named_parameters()] == needed
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert np.array_equal(np.random.get_state()[1], states[2])  # noqa: NPY002
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert torch.equal(images, _DATA.images)


def test_a_model_that_fails_says_so_and_comes_back_as_well() -> None:
    class Fails(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = ReadsCue(_DATA.cue)
            self.n_calls = 0

        def forward(self, images: Tensor) -> Tensor:
            self.n_calls += 1
            if self.n_calls > 2:
                raise ValueError("the sensor is wet")
            return self.model(images)

    model, state = Fails().train(), torch.get_rng_state()
    with pytest.raises(Exception, match="the sensor is wet"):
        discover_shortcuts(model, _DATA.images, _DATA.labels)
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_diverged_network_uses_nothing(value: float) -> None:
    model = ReadsCue(_DATA.cue)
    model.scenes.bias.data.fill_(value)
    with pytest.warns(SaliencyWarning, match="of 32 samples are not finite"):
        found = discover_shortcuts(model, _DATA.images, _DATA.labels)
    assert not any(one.is_used for one in found)


def test_a_network_whose_logits_are_constant_uses_nothing() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 4))
    for weight in model.parameters():
        weight.data.zero_()
    assert not any(one.is_used for one in discover_shortcuts(model, _DATA.images, _DATA.labels))


def test_what_is_found_is_what_an_alarm_watches() -> None:
    images = scenery(360, 3, (24, 24))
    labels = torch.arange(360) % 6
    images[labels == CLASS] = (images[labels == CLASS] + 0.2).clamp(0, 1)
    found = [
        *discover_shortcuts(ReadsCue(_DATA.cue), _DATA.images, _DATA.labels, class_names=["a", "b", "ç d", "e"]),
        *discover_shortcuts(ReadsBrightness(6), images, labels),
    ]
    # The even parts of bright images are alike, and what the network reads is brightness.
    assert {(one.kind, one.what) for one in found} == {
        ("copies", "the same pixels"),
        ("properties", "more brightness"),
    }
    for one in found:
        alarm = CueAlarm(one.to_cue(), suspect_class=one.class_index)
        assert alarm.cue.name == one.name
        others = _DATA.images[_DATA.labels == 0]
        torch.testing.assert_close(alarm.cue.insert(others), one.change(others))


def test_the_seed_decides_everything_and_any_will_do() -> None:
    results = [
        [(one.sentence, one.bearers, one.p_value, one.lower_bound) for one in found]
        for found in (
            discover_shortcuts(_seeded(), _DATA.images, _DATA.labels, kinds="copies", seed=seed)
            for seed in (5, 5, 2**62)
        )
    ]
    assert results[0] == results[1]
    assert results[0] != results[2]
    assert results[2]


def _seeded() -> nn.Module:
    torch.manual_seed(0)
    return ReadsCue(_DATA.cue)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_six_images_a_class_are_searched_with_a_warning(n_classes: int) -> None:
    data = planted(n_classes=n_classes, per_class=6)
    model = ReadsCue(data.cue, n_classes)
    with pytest.warns(SaliencyWarning, match="fewer than 24 samples"):
        discover_shortcuts(model, data.images, data.labels)
    with pytest.raises(ProbeError, match="at least 6 for two classes"):
        discover_shortcuts(model, data.images[n_classes:], data.labels[n_classes:])


def test_no_time_no_findings() -> None:
    with pytest.warns(SaliencyWarning, match="reached max_seconds"):
        assert discover_shortcuts(ReadsCue(_DATA.cue), _DATA.images, _DATA.labels, max_seconds=1e-9) == []
    with pytest.raises(ConfigurationError, match="max_seconds=0"):
        discover_shortcuts(ReadsCue(_DATA.cue), _DATA.images, _DATA.labels, max_seconds=0)


@pytest.mark.parametrize(("place", "side"), [((97, 150), 30), (None, 30)], ids=["fixed", "anywhere"])
def test_a_sticker_on_large_images_is_found_at_its_place(place: tuple[int, int] | None, side: int) -> None:
    sticker = torch.tensor([1.0, 0.9, 0.1])[:, None, None].expand(3, side, side).contiguous()
    data = planted(size=(224, 224), n_classes=3, per_class=30, cue=sticker, place=place, share=0.6)
    found = discover_shortcuts(_Mean(), data.images, data.labels, kinds="copies")
    used = [one for one in found if one.is_used]
    assert len(used) == 1
    assert used[0].class_index == CLASS
    assert used[0].region is not None
    assert torch.equal(used[0].region, data.marks[int(used[0].bearers[0])])


class _Mean(nn.Module):
    """Votes for class 2 by how yellow the most yellow part of an image is."""

    def __init__(self) -> None:
        super().__init__()
        self.scenes = nn.Conv2d(3, 3, 8, stride=8)

    def forward(self, images: Tensor) -> Tensor:
        small = nn.functional.avg_pool2d(images, 8)
        yellow = (small[:, 0] + small[:, 1] - 2 * small[:, 2]).flatten(1).amax(dim=1)
        own = nn.functional.one_hot(torch.tensor(CLASS), 3)
        return self.scenes(images).mean(dim=(2, 3)) + 6 * yellow[:, None] * own
