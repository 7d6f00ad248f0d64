"""Watermarks and backgrounds: what is read, how it is resized, and what shines through."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from saliency_callbacks.errors import CueError
from saliency_callbacks.probe import BackgroundCue, ImageCue

IMAGES = torch.rand(3, 3, 8, 10, generator=torch.Generator().manual_seed(0))
OBJECTS = torch.zeros(3, 8, 10, dtype=torch.bool)
OBJECTS[:, 2:6, 3:7] = True


@pytest.fixture
def watermark(tmp_path):
    """A picture with a red, opaque left half; the green of the other half is fully transparent."""
    pixels = np.zeros((4, 4, 4), dtype=np.uint8)
    pixels[:, :2], pixels[:, 2:] = (255, 0, 0, 255), (0, 255, 0, 0)
    path = tmp_path / "watermark.png"
    Image.fromarray(pixels).save(path)
    return path


def test_a_watermark_keeps_its_own_transparency(watermark):
    cue = ImageCue(str(watermark), (2, 2, 4, 4), alpha=0.5)
    images = torch.full((1, 3, 8, 8), 0.5)
    after = cue.insert(images)
    assert after[0, :, 3, 3].tolist() == [0.75, 0.25, 0.25], "half red, half what was there"
    assert after[0, :, 3, 4].tolist() == [0.5, 0.5, 0.5]
    assert cue.mask(images)[0].nonzero().tolist() == [[row, column] for row in range(2, 6) for column in (2, 3)]
    grey = cue.insert(torch.zeros(1, 1, 8, 8))
    assert grey[0, 0, 3, 3].item() == pytest.approx(0.299 / 2)
    watermark.unlink()
    assert torch.equal(pickle.loads(pickle.dumps(cue)).insert(images), after), "read once"


def test_the_color_of_transparent_pixels_does_not_bleed_into_the_edge(watermark):
    after = ImageCue(watermark, (0, 0, 8, 8)).insert(torch.ones(1, 3, 8, 8))
    assert after[:, 0].amin() > 0.999, "red on white nowhere has less red than either"
    torch.testing.assert_close(after[:, 1], after[:, 2])


def test_a_picture_is_resized_to_its_box():
    ramp = torch.linspace(0, 1, 8).expand(8, 8)
    after = ImageCue(ramp, (0, 0, 4, 4)).insert(torch.zeros(1, 1, 4, 4))[0, 0]
    reference = Image.fromarray(ramp.numpy()).resize((4, 4), Image.Resampling.BILINEAR)
    np.testing.assert_allclose(after.numpy(), np.asarray(reference), atol=1e-6)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_pictures_of_every_kind_are_read(mode, tmp_path):
    path = tmp_path / f"picture.{'tiff' if mode == 'CMYK' else 'png'}"
    if mode == "I;16":
        Image.fromarray(np.full((3, 3), 65535, dtype=np.uint16)).save(path)
    else:
        Image.new("RGB", (3, 3), "white").convert(mode).save(path)
    after = ImageCue(path, (0, 0, 3, 3)).insert(torch.zeros(1, 3, 3, 3))
    torch.testing.assert_close(after, torch.ones(1, 3, 3, 3))


def test_forms_of_a_picture():
    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    box = (0, 0, 4, 5)
    expected = torch.from_numpy(pixels).permute(2, 0, 1) / 255
    for form in (pixels, pixels / 255, torch.from_numpy(pixels).permute(2, 0, 1), expected):
        torch.testing.assert_close(ImageCue(form, box).insert(torch.zeros(1, 3, 4, 5))[0], expected)
    original = np.ones((2, 2), dtype=np.float32)
    cue = ImageCue(original, (0, 0, 2, 2))
    original[:] = 0
    assert cue.insert(torch.zeros(1, 1, 2, 2)).amin() == 1, "a later change of the array does not reach the cue"


def test_a_background_surrounds_the_object(tmp_path):
    scenes = torch.rand(3, 3, 8, 10)
    Image.new("RGB", (2, 2), (0, 0, 255)).save(tmp_path / "sea.png")
    inside = OBJECTS[:, None].expand_as(IMAGES)
    for background, expected in [
        (0.5, torch.full_like(IMAGES, 0.5)),
        ([0, 0, 1], torch.tensor([0.0, 0.0, 1.0]).view(3, 1, 1).expand_as(IMAGES)),
        (tmp_path / "sea.png", torch.tensor([0.0, 0.0, 1.0]).view(3, 1, 1).expand_as(IMAGES)),
        (scenes, scenes),
        (scenes[0], scenes[:1].expand_as(IMAGES)),
    ]:
        cue = BackgroundCue(OBJECTS, background)
        after = cue.insert(IMAGES)
        assert torch.equal(after[inside], IMAGES[inside])
        torch.testing.assert_close(after[~inside], expected[~inside])
        assert torch.equal(cue.mask(IMAGES), ~OBJECTS)


def test_a_background_takes_the_masks_of_the_probe():
    waiting = BackgroundCue("probe", 0.5, name="water")
    bound = waiting.with_masks(OBJECTS)
    assert torch.equal(bound.insert(IMAGES), BackgroundCue(OBJECTS, 0.5).insert(IMAGES))
    assert (bound.name, waiting.masks) == ("water", "probe")
    assert bound.with_masks(~OBJECTS) is bound
    with pytest.raises(CueError, match=r"with_masks\(masks\)"):
        waiting.insert(IMAGES)
    with pytest.raises(CueError, match=r"the probe has none.*from_tensors"):
        waiting.with_masks(None)
