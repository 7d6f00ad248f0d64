"""What puts a cue into images does it as a cue, too, and the alarm takes it."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from saliency_callbacks import CueAlarm
from saliency_callbacks.callbacks.cue.probe import checked_cue
from saliency_callbacks.discovery.changes import (
    AddedNoise,
    Change,
    OtherSize,
    Overlay,
    PastedPixels,
    ShiftedProperty,
)
from saliency_callbacks.functional.images.properties import PROPERTIES
from saliency_callbacks.probe import FunctionCue, ImageCue

_MASK = torch.tensor([[1, 1, 0], [0, 1, 1]]).bool()


def _pasted(channels: int) -> PastedPixels:
    return PastedPixels(torch.rand(channels, 2, 3), _MASK, top=4, left=5)


def _all(channels: int) -> list[Change]:
    is_marked = torch.rand(7, 9) > 0.5
    properties = ["brightness", "noise", "sharpness"] + (["red", "saturation"] if channels == 3 else [])
    return [
        _pasted(channels),
        Overlay(torch.randn(channels, 7, 9) * is_marked, torch.rand(7, 9) * is_marked),
        AddedNoise(torch.randn(channels, 5, 4)),
        *(ShiftedProperty(name, sign * 0.1) for name in properties for sign in (1, -1)),
    ]


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_a_cue_does_what_the_change_does(channels: int) -> None:
    images = torch.rand(4, channels, 7, 9)
    before = images.clone()
    for change in _all(channels):
        cue = checked_cue(change.to_cue("a-name_3"))
        changed = change(images)
        torch.testing.assert_close(cue.insert(images), changed, rtol=0, atol=1e-6)
        assert torch.equal(images, before)
        assert changed.shape == images.shape
        assert float(changed.min()) >= 0
        assert float(changed.max()) <= 1
        assert cue.name == "a-name_3"
        assert cue.mask(images).any()
        alarm = CueAlarm(cue, suspect_class=1)
        assert alarm.cue == change.to_cue("a-name_3")


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_changes_go_where_the_images_are(channels: int) -> None:
    """The device "meta" refuses what is elsewhere, as a GPU does."""
    images = torch.rand(2, channels, 7, 9, device="meta")
    names = [name for name, one in PROPERTIES.items() if one.fits(channels)]
    others = [*(ShiftedProperty(name, -0.1) for name in names), OtherSize("size", -1.0), OtherSize("aspect", 0.5)]
    for change in (*_all(channels), *others):
        changed = change(images)
        assert (changed.device, changed.shape) == (images.device, images.shape)


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_changes_are_stored(channels: int) -> None:
    images = torch.rand(2, channels, 7, 9)
    for change in _all(channels):
        for twin in (pickle.loads(pickle.dumps(change)), copy.deepcopy(change)):
            assert torch.equal(twin(images), change(images))


def test_pixels_are_pasted_where_the_mask_says() -> None:
    images = torch.rand(2, 3, 7, 9)
    change = _pasted(3)
    expected = images.clone()
    for row, column in _MASK.nonzero().tolist():
        expected[:, :, 4 + row, 5 + column] = change.pixels[:, row, column]
    assert torch.equal(change(images), expected)
    mask = torch.zeros(7, 9, dtype=torch.bool)
    mask[4:6, 5:8] = _MASK
    assert torch.equal(change.to_cue("cue").mask(images), mask.expand(2, -1, -1))


@pytest.mark.parametrize(("channels", "kind"), [(1, ImageCue), (3, ImageCue), (2, FunctionCue), (5, FunctionCue)])
def test_pixels_that_can_be_drawn_are_a_picture(channels: int, kind: type) -> None:
    assert type(_pasted(channels).to_cue("cue")) is kind


def test_an_overlay_is_composited_as_pillow_does() -> None:
    draws = np.random.default_rng(0)
    scene, color, opacity = (draws.integers(0, 256, shape, dtype=np.uint8) for shape in ((7, 9, 3), (7, 9, 3), (7, 9)))
    mark = Image.fromarray(np.dstack([color, opacity]), "RGBA")
    expected = np.asarray(Image.alpha_composite(Image.fromarray(scene).convert("RGBA"), mark).convert("RGB"))
    image, ink, alpha = (torch.from_numpy(one) / 255 for one in (scene, color, opacity))
    laid = Overlay((ink * alpha[..., None]).permute(2, 0, 1), alpha)(image.permute(2, 0, 1)[None])
    torch.testing.assert_close(laid[0].permute(1, 2, 0), torch.tensor(expected) / 255, rtol=0, atol=1.5 / 255)


def test_what_is_only_added_is_kept_in_range() -> None:
    difference = torch.tensor([[[0.5, -0.5, 0.0]]])
    images = torch.tensor([[[[0.25, 0.25, 0.25]]], [[[0.75, 0.75, 0.75]]]])
    expected = torch.tensor([[[[0.75, 0.0, 0.25]]], [[[1.0, 0.25, 0.75]]]])
    assert torch.equal(Overlay(difference, torch.zeros(1, 3))(images), expected)


def test_a_tile_of_noise_is_repeated_and_kept_in_range() -> None:
    tile = torch.tensor([[[0.5, -0.5]]])
    expected = torch.tensor([[[[0.75, 0.0, 0.75], [0.75, 0.0, 0.75]]]])
    assert torch.equal(AddedNoise(tile)(torch.full((1, 1, 2, 3), 0.25)), expected)


@pytest.mark.parametrize("most", [12, 6, 5000])
def test_a_reduced_change_does_the_same_to_blocks_of_pixels(most: int) -> None:
    """Blocks of 4 × 4 pixels lose nothing but half precision when their images do not either."""
    blocks, mask = torch.rand(3, 3, 4), torch.tensor([[1, 1, 0, 1], [0, 1, 1, 1], [1, 1, 1, 1]]).bool()
    large = PastedPixels(*(one.repeat_interleave(4, -2).repeat_interleave(4, -1) for one in (blocks, mask)), 2, 3)
    small = large.reduced(most)
    assert small.pixels.shape[1:].numel() <= most
    assert (small.top, small.left) == (2, 3)
    assert small.reduced(most) is small
    images = torch.rand(2, 3, 20, 24)
    rows, columns = slice(2, 14), slice(3, 19)
    inside = torch.zeros(20, 24, dtype=torch.bool)
    inside[rows, columns] = True
    assert torch.equal(small(images)[..., ~inside], images[..., ~inside])
    if most >= 12:
        changed = (small(images) != images).any(dim=1)[0][rows, columns]
        assert torch.equal(changed, mask.repeat_interleave(4, 0).repeat_interleave(4, 1))
    opacity = 0.5 * large.pixels[0]
    overlay = Overlay((large.pixels - 0.5) * opacity, opacity)
    at_once = overlay.reduced(most)
    assert at_once.added.shape[1:] == at_once.opacity.shape
    assert at_once.opacity.numel() <= most
    assert at_once.reduced(most) is at_once
    grey = torch.full((1, 3, 12, 16), 0.5)
    assert float((at_once(grey) - overlay(grey)).mean().abs()) < 0.02


def _half(images: Tensor) -> Tensor:
    return images.half()


@pytest.mark.parametrize("convert", [_half, Tensor.double], ids=["half", "double"])
def test_pixels_overlays_and_noise_keep_the_precision_of_the_images(convert) -> None:
    images = convert(torch.rand(2, 3, 7, 9))
    for change in _all(3)[:3]:
        assert change(images).dtype == images.dtype


def test_what_is_printed_is_short() -> None:
    large = torch.zeros(3, 224, 224)
    for change in (Overlay(large, large[0]), AddedNoise(large), PastedPixels(large, large[0] > 0, 0, 0)):
        assert len(repr(change)) < 120
