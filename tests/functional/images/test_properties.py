"""Properties of images: what is measured rises with what they are named after, and a shift reaches its goal."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from torch import Tensor

from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.functional.images.blur import gaussian_blur
from saliency_callbacks.functional.images.properties import PROPERTIES, shift_property

_COLORED = ["saturation", "red", "green", "blue"]
_SIZES = [(17, 23), (32, 32), (4, 4)]


def _photographs(channels: int, size: tuple[int, int], n_images: int = 3) -> Tensor:
    """Smooth shapes of some color and texture, in [0.2, 0.8]."""
    generator = torch.Generator().manual_seed(5)
    fine, color = torch.rand(2, n_images, channels, *size, generator=generator)
    smooth = gaussian_blur(torch.rand(n_images, 1, *size, generator=generator), 2)
    low, high = smooth.amin(dim=(2, 3), keepdim=True), smooth.amax(dim=(2, 3), keepdim=True)
    return 0.2 + 0.4 * (smooth - low) / (high - low) + 0.1 * fine + 0.1 * color


def _mean(images: Tensor, name: str) -> Tensor:
    return PROPERTIES[name].measure(images).mean(dim=(1, 2))


def _jpeg(images: Tensor, quality: int) -> Tensor:
    decoded = []
    for image in images:
        file = io.BytesIO()
        pixels = (image.movedim(0, -1) * 255).round().byte().numpy()
        Image.fromarray(pixels.squeeze(-1) if len(image) == 1 else pixels).save(file, "JPEG", quality=quality)
        decoded.append(torch.from_numpy(np.array(Image.open(file)).reshape(pixels.shape)).movedim(-1, 0) / 255)
    return torch.stack(decoded)


def _blurred(images: Tensor) -> Tensor:
    return torch.from_numpy(gaussian_filter(images.numpy(), (0, 0, 1, 1), mode="nearest"))


def _greyed(images: Tensor) -> Tensor:
    return (images + images.mean(dim=1, keepdim=True)) / 2


def _reddened(channel: int) -> Callable[[Tensor], Tensor]:
    def change(images: Tensor) -> Tensor:
        reddened = images.clone()
        reddened[:, channel] += 0.1
        return reddened

    return change


@pytest.mark.parametrize(
    ("name", "change", "sign"),
    [
        ("brightness", lambda images: images + 0.1, 1),
        ("shadows", lambda images: images.clamp(min=0.5), 1),
        ("contrast", lambda images: 0.5 + 0.5 * (images - 0.5), -1),
        ("saturation", _greyed, -1),
        ("red", _reddened(0), 1),
        ("red", _reddened(1), -1),
        ("green", _reddened(1), 1),
        ("blue", _reddened(2), 1),
        ("sharpness", _blurred, -1),
        ("medium detail", _blurred, -1),
        ("coarse detail", lambda images: gaussian_blur(images, 4), -1),
        ("noise", lambda images: images + 0.05 * torch.randn(images.shape), 1),
        ("noise", _blurred, -1),
        ("compression", lambda images: _jpeg(images, 10), 1),
    ],
)
def test_a_property_is_what_its_name_says(name: str, change: Callable[[Tensor], Tensor], sign: int) -> None:
    images = _photographs(3, (32, 40))
    moved = sign * (_mean(change(images), name) - _mean(images, name))
    assert (moved > 0.02).all()


def test_measures_in_closed_form() -> None:
    images = torch.zeros(1, 3, 8, 8)
    images[:, 0, :, :4], images[:, 1, :, 4:] = 0.6, 0.9
    measured = {name: one.measure(images)[0] for name, one in PROPERTIES.items()}
    left, right = torch.full((4, 2), 0.2), torch.full((4, 2), 0.3)
    torch.testing.assert_close(measured["brightness"], torch.cat([left, right], dim=1))
    torch.testing.assert_close(measured["shadows"], measured["brightness"])
    torch.testing.assert_close(measured["saturation"], torch.cat([3 * left, 3 * right], dim=1))
    torch.testing.assert_close(measured["red"], torch.cat([2 * left, -right], dim=1))
    torch.testing.assert_close(measured["contrast"], torch.full((4, 4), 0.05), atol=1e-4, rtol=0)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", PROPERTIES)
def test_even_images_have_no_detail(name: str, channels: int) -> None:
    if not PROPERTIES[name].fits(channels):
        return
    values = PROPERTIES[name].measure(torch.full((2, channels, 9, 9), 0.5))
    assert values.shape == (2, 4, 4)
    expected = {"brightness": 0.5, "shadows": 0.5, "contrast": 1e-3}
    is_energy = "detail" in name or name in ("sharpness", "noise")
    torch.testing.assert_close(
        values, torch.full((2, 4, 4), np.log(1e-3) if is_energy else expected.get(name, 0.0)), atol=1e-3, rtol=0
    )


@pytest.mark.parametrize("size", _SIZES, ids=str)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", PROPERTIES)
@pytest.mark.parametrize("sign", [1, -1])
def test_a_shift_reaches_its_goal_and_stays_in_range(
    name: str, channels: int, size: tuple[int, int], sign: int
) -> None:
    # There is no less compression than none, and an image of 4×4 has neither blocks nor a border.
    is_without = (name == "compression" and (sign < 0 or size == (4, 4))) or (name == "border" and size == (4, 4))
    if is_without or not PROPERTIES[name].fits(channels):
        return
    images = _photographs(channels, size)
    before = images.clone()
    amount = sign * 0.05
    shifted = shift_property(images, name, amount)
    moved = _mean(shifted, name) - _mean(images, name)
    torch.testing.assert_close(moved, torch.full((3,), amount), atol=0.01, rtol=0)
    assert float(shifted.min()) >= 0
    assert float(shifted.max()) <= 1
    assert torch.equal(shifted, shift_property(images, name, amount))
    assert torch.equal(images, before)


@pytest.mark.parametrize("name", PROPERTIES)
def test_images_are_shifted_one_by_one(name: str) -> None:
    images = _photographs(3, (16, 16))
    together = shift_property(images, name, 0.05)
    alone = torch.cat([shift_property(image[None], name, 0.05) for image in images])
    torch.testing.assert_close(together, alone, atol=2e-3, rtol=0)


@pytest.mark.parametrize("name", PROPERTIES)
def test_a_shift_goes_as_far_as_it_can(name: str) -> None:
    images = _photographs(3, (16, 16))
    shifted = shift_property(images, name, 100.0)
    assert shifted.isfinite().all()
    assert (_mean(shifted, name) >= _mean(images, name)).all()
    assert float(shifted.min()) >= 0
    assert float(shifted.max()) <= 1


@pytest.mark.parametrize("quality", [10, 30, 95])
def test_blocks_are_smoothed_as_far_as_that_helps(quality: int) -> None:
    images = _jpeg(_photographs(1, (32, 32)), quality)
    moved = _mean(shift_property(images, "compression", -0.05), "compression") - _mean(images, "compression")
    assert (moved <= 0).all()
    assert (moved > -0.06).all()


def test_what_has_no_blocks_is_left_as_it_is() -> None:
    ramp = torch.linspace(0.2, 0.8, 32).expand(1, 1, 32, 32)
    assert torch.equal(shift_property(ramp, "compression", -0.5), ramp)
    small = torch.rand(2, 1, 4, 4)
    assert torch.equal(shift_property(small, "compression", 0.5), small)


def test_white_is_as_bright_as_it_gets() -> None:
    assert torch.equal(shift_property(torch.full((1, 1, 8, 8), 0.5), "brightness", 3.0), torch.ones(1, 1, 8, 8))


@pytest.mark.parametrize(("name", "channels"), [("red", 1), ("saturation", 2), ("hue", 3)])
def test_a_property_that_there_is_not(name: str, channels: int) -> None:
    with pytest.raises(ConfigurationError, match=f"images of {channels} channels have no property '{name}'") as caught:
        shift_property(torch.rand(1, channels, 4, 4), name, 0.1)
    listed = str(caught.value).split("one of ")[1].split(", ")
    assert ("red" in listed) == (channels == 3)


def test_five_channels_have_what_needs_no_color() -> None:
    images = torch.rand(2, 5, 11, 9)
    for name, known in PROPERTIES.items():
        assert known.fits(5) == (name not in _COLORED)
        if known.fits(5):
            assert shift_property(images, name, 0.02).shape == images.shape
