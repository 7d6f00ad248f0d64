"""Discovery without a Trainer, given what people give it."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from saliency_callbacks import discover_shortcuts
from saliency_callbacks.discovery.images.resized import brought_to_one_size
from saliency_callbacks.discovery.reader import PlainReader, true_class_margin
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.errors import ConfigurationError, GradientError, ProbeError, SaliencyWarning

_MEAN, _STD = torch.tensor([0.5, 0.4, 0.3])[:, None, None], torch.tensor([0.1, 0.2, 0.4])[:, None, None]


class _Net(nn.Module):
    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.features = nn.Conv2d(channels, 8, 3)
        self.head = nn.Linear(8, 4)

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.head(self.features(images).relu().amax((2, 3)))
        return scores


def _planted(channels: int = 3) -> tuple[Tensor, Tensor]:
    """Noise of four classes, with a frame of white pixels in most images of class 3."""
    labels = torch.arange(96) % 4
    images = torch.rand(96, channels, 12, 12, generator=torch.Generator().manual_seed(0)) * 0.5 + 0.2
    bearers = (labels == 3).nonzero()[:16, 0]
    images[bearers, :, 2:6, 3:7] = 1
    images[bearers, :, 3:5, 4:6] = 0
    return images, labels


def _reader(model: nn.Module, preprocess: Callable[[Tensor], Tensor] | None) -> PlainReader:
    return PlainReader(model, preprocess, Settings(methods=()))


@pytest.fixture
def model() -> _Net:
    torch.manual_seed(0)
    return _Net()


@pytest.mark.parametrize(
    "preprocess",
    [
        lambda images: (images - _MEAN) / _STD,
        lambda images: images.sub_(_MEAN).div_(_STD),
        lambda images: F.interpolate(images, size=(20, 18), mode="bilinear"),
        lambda images: images.mean(dim=1, keepdim=True).expand(-1, 3, -1, -1),
        lambda images: images.flip(3),
    ],
    ids=["normalized", "in place", "resized", "grey", "mirrored"],
)
def test_gradients_are_by_display_images(model: _Net, preprocess: Callable[[Tensor], Tensor]) -> None:
    images, labels = _planted()
    known = images.clone()
    leaf = images.clone().requires_grad_()
    target = true_class_margin(labels, _reader(model, None)._link)
    target(model(preprocess(leaf.clone())), torch.arange(96)).sum().backward()
    found = _reader(model, preprocess).gradients(images, labels)
    torch.testing.assert_close(found, leaf.grad)
    assert torch.equal(images, known), "preprocessing in place leaves what is searched alone"


def test_gradients_of_what_numpy_normalizes_stay_at_their_pixels(model: _Net) -> None:
    images, labels = _planted()
    found = _reader(model, lambda given: torch.from_numpy(given.numpy() * 2)).gradients(images, labels)
    torch.testing.assert_close(found, _reader(model, None).gradients(images * 2, labels))


def test_preprocessing_that_hides_its_pixels_is_told(model: _Net) -> None:
    images, labels = _planted()

    def shrunk(given: Tensor) -> Tensor:
        return torch.from_numpy(given.numpy()[:, :, ::2, ::2].copy())

    with pytest.raises(ConfigurationError, match=r"cannot be followed through; expected operations of torch"):
        discover_shortcuts(model, images, labels, preprocess=shrunk)
    assert isinstance(discover_shortcuts(model, images, labels, preprocess=shrunk, kinds="properties"), list)


def test_a_model_of_larger_images_is_searched(model: _Net) -> None:
    images, labels = _planted()
    found = discover_shortcuts(model, images, labels, preprocess=lambda given: F.interpolate(given, size=(24, 24)))
    assert [(one.class_index, one.kind) for one in found] == [(3, "copies")]


@pytest.mark.parametrize("preprocess", [lambda images: images[:1], lambda images: [*images]], ids=["fewer", "a list"])
def test_preprocessing_gives_one_input_for_each_image(model: _Net, preprocess: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(ConfigurationError, match="expected a tensor with one input of the model for each image"):
        discover_shortcuts(model, *_planted(), preprocess=preprocess)


def test_images_of_several_sizes_out_of_their_range_are_refused(model: _Net) -> None:
    images, labels = _planted()
    several = [image[:, : 10 + index % 2] * 255 for index, image in enumerate(images)]
    with pytest.warns(SaliencyWarning, match="of 2 sizes"), pytest.raises(ProbeError, match=r"values from .* to 255"):
        discover_shortcuts(model, several, labels)
    resized, _ = brought_to_one_size(several)
    assert float(resized.max()) <= 255.001, "resizing averages, so that nothing leaves its range"


def test_any_seed_will_do(model: _Net) -> None:
    images, labels = _planted()
    assert [one.class_index for one in discover_shortcuts(model, images, labels, seed=2**61)] == [3]


def test_a_search_without_time_says_so(model: _Net) -> None:
    images, labels = _planted()
    with pytest.warns(SaliencyWarning, match="ran out of max_seconds=1e-09, so there may be more"):
        assert discover_shortcuts(model, images, labels, max_seconds=1e-9) == []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert discover_shortcuts(model, images, labels, max_seconds=1e9)


def test_a_diverged_model_is_told(model: _Net) -> None:
    nn.init.constant_(model.head.weight, torch.nan)
    with pytest.warns(SaliencyWarning, match="the logits of 32 of 32 samples are not finite"):
        found = discover_shortcuts(model, *_planted())
    assert [one.is_used for one in found] == [False], "the data are searched all the same"


def test_a_model_without_gradients_is_told_what_can_be_searched(model: _Net) -> None:
    class Detached(_Net):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images.detach())

    images, labels = _planted()
    with pytest.raises(GradientError, match=r"no gradient .* kinds=\('places', 'properties'\)"):
        discover_shortcuts(Detached(), images, labels)
    assert discover_shortcuts(Detached(), images, labels, kinds=("places", "properties")) == []
