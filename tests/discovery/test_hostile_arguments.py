"""Discovery without a Trainer, given what people give it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from saliency_callbacks import discover_shortcuts
from saliency_callbacks.discovery.images.resized import brought_to_one_size
from saliency_callbacks.errors import ConfigurationError, GradientError, ProbeError, SaliencyWarning


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


@pytest.fixture
def model() -> _Net:
    torch.manual_seed(0)
    return _Net()


def test_preprocessing_with_numpy_is_followed_to_its_pixels(model: _Net) -> None:
    images, labels = _planted()

    def doubled(given: Tensor) -> Tensor:
        return torch.from_numpy(given.numpy().repeat(2, axis=2).repeat(2, axis=3))

    found = discover_shortcuts(model, images, labels, preprocess=doubled)
    assert [(one.class_index, one.kind) for one in found] == [(3, "copies")]


def test_preprocessing_in_place_leaves_the_images_alone(model: _Net) -> None:
    images, labels = _planted()
    found = discover_shortcuts(model, images, labels, preprocess=lambda given: given.sub_(0.5))
    same = discover_shortcuts(model, images, labels, preprocess=lambda given: given - 0.5)
    assert [(one.sentence, one.lower_bound) for one in found] == [(one.sentence, one.lower_bound) for one in same]


@pytest.mark.parametrize("preprocess", [lambda images: images[:1], lambda images: [*images]], ids=["fewer", "a list"])
def test_preprocessing_gives_one_input_for_each_image(model: _Net, preprocess: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(ConfigurationError, match="expected a tensor with one model input per image"):
        discover_shortcuts(model, *_planted(), preprocess=preprocess)


def test_images_of_several_sizes_out_of_their_range_are_refused(model: _Net) -> None:
    images, labels = _planted()
    several = [image[:, : 10 + index % 2] * 255 for index, image in enumerate(images)]
    with pytest.warns(SaliencyWarning, match="of 2 sizes"), pytest.raises(ProbeError, match=r"values from .* to 255"):
        discover_shortcuts(model, several, labels)
    resized, _ = brought_to_one_size(several)
    assert float(resized.max()) <= 255.001, "resizing averages, so that nothing leaves its range"


@pytest.mark.parametrize("given", [{"preprocess": torch.relu}, {"sizes": [[9, 9]] * 96}], ids=["preprocess", "sizes"])
def test_what_is_for_images_is_refused_for_texts(given: Any) -> None:
    texts = nn.Sequential(nn.Embedding(9, 2), nn.Flatten(), nn.Linear(8, 2))
    with pytest.raises(ConfigurationError, match="is for images; expected None"):
        discover_shortcuts(texts, torch.randint(9, (96, 4)), torch.arange(96) % 2, embedding="auto", **given)
    with pytest.raises(ProbeError, match="text inputs are, with embedding='auto'"):
        discover_shortcuts(texts, torch.randint(9, (96, 4)), torch.arange(96) % 2)


def test_any_seed_will_do(model: _Net) -> None:
    images, labels = _planted()
    assert [one.class_index for one in discover_shortcuts(model, images, labels, seed=2**61)] == [3]


def test_a_search_without_time_says_so(model: _Net) -> None:
    images, labels = _planted()
    with pytest.warns(SaliencyWarning, match="reached max_seconds=1e-09, so the list may be incomplete"):
        assert discover_shortcuts(model, images, labels, max_seconds=1e-9) == []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert discover_shortcuts(model, images, labels, max_seconds=1e9)


def test_a_model_without_gradients_is_told_what_can_be_searched(model: _Net) -> None:
    class Detached(_Net):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images.detach())

    images, labels = _planted()
    with pytest.raises(GradientError, match=r"no gradient .* kinds=\('places', 'properties'\)"):
        discover_shortcuts(Detached(), images, labels)
    assert discover_shortcuts(Detached(), images, labels, kinds=("places", "properties")) == []
