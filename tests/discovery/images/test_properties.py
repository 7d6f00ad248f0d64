"""What covers the whole image: which property, of which class, whether it is used, and what is put into others."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from saliency_callbacks.callbacks.discovery.pictures import caption_of
from saliency_callbacks.discovery.changes import AddedNoise, ShiftedProperty
from saliency_callbacks.discovery.images.properties import Properties, measured
from saliency_callbacks.discovery.samples import Samples
from saliency_callbacks.discovery.search import Search
from saliency_callbacks.discovery.suspicion import Suspicion
from saliency_callbacks.errors import SaliencyWarning
from saliency_callbacks.functional.images.properties import PROPERTIES
from tests.discovery.images.cases import CLASS, ReadsBrightness, reader, scenery

_N_CLASSES = 6


def _changed(change: Callable[[Tensor], Tensor], *, channels: int = 3, share: float = 1.0) -> tuple[Tensor, Tensor]:
    labels = torch.arange(60 * _N_CLASSES) % _N_CLASSES
    images = scenery(len(labels), channels, (24, 31))
    rows = (labels == CLASS).nonzero()[:, 0]
    rows = rows[: round(share * len(rows))]
    images[rows] = change(images[rows]).clamp(0, 1)
    return images, labels


def _found(images: Tensor, labels: Tensor, model: nn.Module | None = None) -> list[Suspicion]:
    model = ReadsBrightness(_N_CLASSES) if model is None else model
    return Search([Properties()]).run(Samples(images, labels, range(len(labels))), reader(model))


def _blurred(images: Tensor) -> Tensor:
    return torch.from_numpy(gaussian_filter(images.numpy(), (0, 0, 1, 1)))


def _noisy(images: Tensor) -> Tensor:
    return images + 0.1 * torch.randn(images.shape)


def _tinted(images: Tensor) -> Tensor:
    return images + torch.tensor([0.15, -0.05, -0.05])[:, None, None]


@pytest.mark.filterwarnings(
    "ignore:with only 6 classes, one class may naturally differ:saliency_callbacks.errors.SaliencyWarning"
)
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda images: images + 0.2, {"more brightness"}),
        (lambda images: images - 0.2, {"less brightness"}),
        (_tinted, {"more red"}),
        (_blurred, {"less sharpness"}),
        (_noisy, {"more noise"}),
        (lambda images: images.mean(dim=1, keepdim=True).expand_as(images), {"less saturation"}),
        (lambda images: 0.3 * images + 0.7 * images.mean(dim=(1, 2, 3), keepdim=True), {"less contrast"}),
    ],
)
def test_a_property_is_found_and_named(change: Callable[[Tensor], Tensor], words: set[str]) -> None:
    images, labels = _changed(change)
    samples = Samples(images, labels, range(len(labels)))
    proposed, n_looked_at = Properties().propose(samples, reader(ReadsBrightness(_N_CLASSES)))
    assert n_looked_at == len(proposed)
    counted = [(one, one.count(samples)) for one in proposed]
    assert {one.class_index for one, count in counted if count is not None} == {CLASS}
    told = set()
    for one, count in counted:
        if count is not None:
            trial = one.trial(samples, count)
            assert trial is not None
            assert (trial.region, trial.statistic, len(trial.controls)) == (None, "contrast", 1)
            assert not count.bears[trial.recipients].any()
            told.add(trial.what)
    assert words <= told


@pytest.mark.parametrize("sign", [1, -1])
def test_brightness_is_used_by_a_model_that_reads_it(sign: int) -> None:
    images, labels = _changed(lambda images: images + sign * 0.2)
    found = _found(images, labels, ReadsBrightness(_N_CLASSES, sign=sign))
    assert found[0].is_used
    assert found[0].what == ("more brightness" if sign > 0 else "less brightness")
    change = found[0].change
    assert isinstance(change, ShiftedProperty)
    assert change.amount == pytest.approx(sign * 0.2, abs=0.07)
    assert not any(one.is_used for one in _found(images, labels, ReadsBrightness(_N_CLASSES, sign=-sign)))
    assert not any(one.is_used for one in _found(images, labels, ReadsBrightness(_N_CLASSES, sign=0)))


def test_of_three_classes_a_property_is_listed_and_not_called_used() -> None:
    images, labels = _changed(lambda images: images + 0.2)
    few = labels < 3
    with pytest.warns(SaliencyWarning, match=r"with only 3 classes, one class may naturally differ"):
        found = _found(images[few], labels[few], ReadsBrightness(3))
    (one,) = (one for one in found if one.what == "more brightness")
    assert one.class_index == CLASS
    assert one.lower_bound > 0.25
    assert not one.is_used
    assert one.sentence.endswith("but the class may differ by nature")
    assert caption_of(one, "2").endswith(
        "With so few classes, it cannot be told apart from a natural difference of the class."
    )


@pytest.mark.filterwarnings(
    "ignore:with only 3 classes, one class may naturally differ:saliency_callbacks.errors.SaliencyWarning"
)
def test_of_three_classes_a_property_that_the_network_ignores_is_called_unused() -> None:
    images, labels = _changed(lambda images: images + 0.2)
    few = labels < 3
    found = _found(images[few], labels[few], ReadsBrightness(3, sign=-1))
    (one,) = (one for one in found if one.what == "more brightness")
    assert one.sentence.endswith("the model was not found to use it")


@pytest.mark.parametrize(("rise", "is_used"), [(0.1, False), (0.3, True)])
def test_of_few_classes_only_an_outlier_is_called_used(rise: float, is_used: bool) -> None:
    """Four classes differ in brightness by nature, and the fifth by some more, or by far."""
    images, labels = _changed(lambda images: images)
    few = labels < 5
    images, labels = images[few] * 0.5, labels[few]
    images += torch.tensor([0.0, 0.01, rise, 0.02, 0.03])[labels][:, None, None, None]
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = _found(images, labels, ReadsBrightness(5))
    one = next(one for one in found if one.class_index == CLASS)
    assert one.lower_bound > 0.25
    assert one.is_used is is_used
    assert bool(told) is not is_used


@pytest.mark.parametrize("texture", [True, False])
def test_more_noise_is_added_as_the_class_has_it(texture: bool) -> None:
    grating = 0.08 * torch.sin(2.1 * (torch.arange(24)[:, None] + torch.arange(31)))

    def changed(images: Tensor) -> Tensor:
        return images + (grating if texture else 0.08 * torch.randn(images.shape))

    images, labels = _changed(changed)
    samples = Samples(images, labels, range(len(labels)))
    proposed, _ = Properties().propose(samples, reader(ReadsBrightness(_N_CLASSES)))
    (one,) = (one for one in proposed if (one.class_index, one.what) == (CLASS, "more noise"))
    count = one.count(samples)
    assert count is not None
    trial = one.trial(samples, count)
    assert trial is not None
    assert isinstance(trial.change, AddedNoise)
    power = torch.fft.rfft2(trial.change.tile[0]).abs().square()
    assert (float(power.max() / power.sum()) > 0.2) is texture
    assert float(trial.change.tile.std()) == pytest.approx(0.08 if not texture else 0.08 / 2**0.5, rel=0.3)


def test_a_property_of_half_of_a_class() -> None:
    found = _found(*_changed(lambda images: images + 0.3, share=0.5))
    assert [one.class_index for one in found][:1] == [CLASS]
    assert found[0].is_used
    bearers = [int(name) for name in found[0].bearers[:20]]
    assert sum(name < 180 for name in bearers) > 15, "the most typical are among those that were changed"


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_scenes_that_are_alike_have_no_property_of_a_class(channels: int) -> None:
    images, labels = _changed(lambda images: images, channels=channels)
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, _N_CLASSES))
    assert not _found(images, labels, model)


def test_a_bright_object_is_no_property_of_the_image() -> None:
    def with_object(images: Tensor) -> Tensor:
        bright = images.clone()
        bright[:, :, 10:15, 12:18] = 0.95
        return bright

    assert not _found(*_changed(with_object))


@pytest.mark.parametrize("channels", [1, 3])
def test_properties_are_measured_in_cells(channels: int) -> None:
    images = torch.rand(300, channels, 9, 11).half()
    found = measured(images)
    assert {*found} == {name for name, one in PROPERTIES.items() if one.fits(channels)}
    for name, values in found.items():
        torch.testing.assert_close(values, PROPERTIES[name].measure(images.float()).flatten(1))


@pytest.mark.parametrize("size", [(1, 1), (2, 9), (4, 4)], ids=str)
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("constant", [False, True])
def test_images_of_any_form_are_searched(size: tuple[int, int], n_classes: int, *, constant: bool) -> None:
    labels = torch.arange(24 * n_classes) % n_classes
    images = torch.full((len(labels), 3, *size), 0.5) if constant else torch.rand(len(labels), 3, *size)
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, n_classes))
    assert not any(one.is_used for one in _found(images, labels, model))
    if constant:
        assert not _found(images, labels, model)
