"""Images that are kept small, fed as the model takes them, and asked of the model as it is now."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from saliency_callbacks.callbacks.discovery.image_probe import ImageDiscoveryProbe
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.errors import ProbeError
from saliency_callbacks.probe.batch import ProbeBatch, freeze
from saliency_callbacks.targets.link import LOGITS, Link
from tests.callbacks.plain_host import PlainHost

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_LABELS = torch.arange(96) % 4
_PLAIN = Settings(methods=())


def _pictures() -> Tensor:
    """Images of 8 bits, in [0, 1]."""
    return (torch.rand(96, 3, 8, 8) * 255).round() / 255


def _normalized(images: Tensor) -> Tensor:
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (_MEAN, _STD))
    return (images - mean) / std


def _probe(inputs: Any, labels: Any = _LABELS, settings: Settings = _PLAIN, **more: Any) -> Any:
    return ImageDiscoveryProbe.prepare(freeze(inputs, labels, **more), settings)


def _net() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(144, 4))


def test_images_of_8_bits_are_kept_in_8_bits_and_come_back_exactly() -> None:
    images = _pictures()
    probe = _probe(_normalized(images), normalization=(_MEAN, _STD))
    assert probe.images.dtype == torch.uint8
    assert torch.equal(probe.samples.inputs, images)
    fed = probe.reader(nn.Identity(), PlainHost(), LOGITS)._fed(images)
    torch.testing.assert_close(fed, _normalized(images), atol=1e-5, rtol=0)


def test_other_images_are_kept_in_half_precision() -> None:
    images = torch.rand(96, 3, 8, 8)
    probe = _probe(images)
    assert probe.images.dtype == torch.float16
    assert float((probe.samples.inputs - images).abs().max()) < 0.0003


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_the_model_is_fed_its_own_precision(dtype: torch.dtype) -> None:
    probe = _probe(_normalized(_pictures()).to(dtype), normalization=(_MEAN, _STD))
    fed = probe.reader(nn.Identity(), PlainHost(), LOGITS)._fed(probe.samples.inputs)
    assert fed.dtype == dtype
    assert probe.samples.inputs.dtype == torch.float32


@pytest.mark.parametrize("rows", [None, 7])
def test_gradients_are_those_of_the_margin_by_the_display_image(rows: int | None) -> None:
    net, images = _net(), _pictures()
    probe = _probe(
        _normalized(images), settings=Settings(methods=(), internal_batch_size=rows), normalization=(_MEAN, _STD)
    )
    reader = probe.reader(net, PlainHost(net), LOGITS)
    display = images.clone().requires_grad_()
    logits = net(_normalized(display))
    torch.testing.assert_close(reader.logits(images), logits.detach(), atol=1e-5, rtol=1e-4)
    own = logits.gather(1, _LABELS[:, None])[:, 0]
    best = logits.masked_fill(nn.functional.one_hot(_LABELS, 4).bool(), -torch.inf).amax(dim=1)
    (expected,) = torch.autograd.grad((own - best).sum(), display)
    torch.testing.assert_close(reader.gradients(images, _LABELS), expected, atol=1e-5, rtol=1e-3)


def test_a_single_output_and_probabilities_are_read_as_logits() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 1), nn.Sigmoid())
    probe = _probe(_pictures(), _LABELS % 2)
    reader = probe.reader(net, PlainHost(net), Link("sigmoid"))
    images = probe.samples.inputs
    expected = net[:2](images).detach()
    torch.testing.assert_close(
        reader.logits(images), torch.cat([torch.zeros_like(expected), expected], dim=1), atol=1e-4, rtol=1e-4
    )


def test_many_images_are_asked_in_parts() -> None:
    sizes = []

    class Net(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            sizes.append(len(images))
            return images.flatten(1)[:, :4]

    probe = _probe(_pictures())
    images = torch.rand(600, 3, 8, 8)
    found = probe.reader(Net(), PlainHost(), LOGITS).logits(images)
    torch.testing.assert_close(found, images.flatten(1)[:, :4])
    assert max(sizes) == 64
    assert sum(sizes) == 600


class _Prompted(nn.Module):
    """Takes an image and prompts that all samples share."""

    def forward(self, pixels: Tensor, prompts: Tensor) -> Tensor:
        assert prompts.shape == (1, 5), "neither repeated nor left out"
        return pixels.flatten(1)[:, :4] * prompts.sum()


def test_what_all_samples_share_is_fed_whole() -> None:
    images, prompts = _pictures(), torch.ones(1, 5)
    settings = Settings(methods=(), shared=("prompts",))
    probe = _probe({"pixels": images, "prompts": prompts}, settings=settings, shared=("prompts",))
    reader = probe.reader(_Prompted(), PlainHost(), LOGITS)
    torch.testing.assert_close(reader.logits(images[:3]), 5 * images[:3].flatten(1)[:, :4])
    assert reader.gradients(images[:3], _LABELS[:3]).shape == (3, 3, 8, 8)
    # The template of one sample has as many rows as the prompts.
    assert probe.template.explained.shape[0] == 1


def test_channels_that_come_last_are_fed_last() -> None:
    images = _pictures()
    probe = _probe(images.movedim(1, -1).contiguous(), settings=Settings(methods=(), layout="NHWC"))
    assert torch.equal(probe.samples.inputs, images)
    assert probe.reader(nn.Identity(), PlainHost(), LOGITS)._fed(images).shape == (96, 8, 8, 3)


def test_of_the_probe_only_a_few_samples_are_kept() -> None:
    batch = freeze({"x": _pictures(), "y": torch.ones(2)}, _LABELS, shared=("y",))
    probe = ImageDiscoveryProbe.prepare(batch, Settings(methods=(), shared=("y",)))
    kept = probe.kept(batch)
    assert (kept.size, len(kept.inputs["x"]), len(kept.inputs["y"]), len(kept.labels)) == (64, 64, 2, 64)
    assert kept.fingerprint == batch.fingerprint
    assert probe.kept(kept) is kept


def test_the_classes_with_hardly_any_samples_are_left_out() -> None:
    labels = torch.cat([torch.zeros(46), torch.ones(46), torch.full((4,), 2)]).long()
    with pytest.warns(UserWarning, match="are left out"):
        probe = _probe(_pictures(), labels)
    assert probe.size == 92
    assert probe.samples.classes == (0, 1)


def _batch(**changes: Any) -> ProbeBatch:
    return freeze(**{"inputs": _pictures(), "labels": _LABELS, **changes})


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (lambda: _batch(inputs=torch.rand(96, 1, 8)), "expected images \\[N, C, H, W\\]"),
        (lambda: _batch(labels=None), "has no class labels"),
        (lambda: _batch(labels=torch.ones(96, 3)), "multi-label samples"),
        (
            lambda: _batch(inputs=(_pictures(), torch.rand(96, 2))),
            "besides its image, the model takes '1' for each",
        ),
    ],
)
def test_what_cannot_be_searched(batch: Any, message: str) -> None:
    with pytest.raises(ProbeError, match=message):
        ImageDiscoveryProbe.prepare(batch(), Settings(methods=()))
