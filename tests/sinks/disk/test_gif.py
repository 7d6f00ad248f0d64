import io

import numpy as np
import pytest
from PIL import Image

from saliency_callbacks.sinks.disk.gif import encode_gif, is_animation


def decoded(content):
    """Return frames and how long each is shown, as Pillow reads them."""
    with Image.open(io.BytesIO(content)) as image:
        assert image.format == "GIF"
        frames, durations = [], []
        for index in range(image.n_frames):
            image.seek(index)
            frames.append(np.asarray(image.convert("RGB")))
            durations.append(image.info["duration"])
        return np.stack(frames), durations, image.info.get("loop")


@pytest.fixture
def fading():
    """Noise that turns into a gradient of colours, beside a strip that stays."""
    generator = np.random.default_rng(0)
    start = generator.integers(0, 256, (40, 60, 3))
    ramp = np.stack(np.broadcast_arrays(np.arange(60) * 4, np.arange(40)[:, None] * 6, 128), axis=-1)
    frames = np.stack([start * (1 - t) + ramp * t for t in np.linspace(0, 1, 5)]).astype(np.uint8)
    frames[:, :, :20] = frames[0, :, :20]
    return frames


def test_frames_and_times_come_back(fading):
    frames, durations, loop = decoded(encode_gif(fading, milliseconds=200))
    assert frames.shape == fading.shape
    assert durations == [200, 200, 200, 200, 800]
    assert loop == 0, "forever"


def test_what_stands_still_does_not_flicker(fading):
    frames, _, _ = decoded(encode_gif(fading))
    assert (frames[:, :, :20] == frames[0, :, :20]).all()


def test_colours_are_close_even_where_there_are_thousands(fading):
    assert len(np.unique(fading.reshape(-1, 3), axis=0)) > 5000
    frames, _, _ = decoded(encode_gif(fading))
    assert np.abs(frames.astype(int) - fading).max() <= 40


def test_a_small_red_frame_stays_red_in_a_grey_picture():
    frames = np.random.default_rng(0).integers(0, 256, (3, 200, 200, 1), dtype=np.uint8).repeat(3, axis=-1)
    frames[:, :4, :10] = (214, 39, 40)
    found, _, _ = decoded(encode_gif(frames))
    assert np.abs(found[:, :4, :10].astype(int) - (214, 39, 40)).max() <= 12


@pytest.mark.parametrize("count", [1, 2])
def test_short_animations(picture, count):
    frames, durations, _ = decoded(encode_gif(np.stack([picture, 255 - picture][:count])))
    assert len(frames) == count
    assert durations[-1] == 2000


def test_the_random_state_and_the_frames_are_not_touched(fading):
    before, state = fading.copy(), np.random.get_state()[1].tolist()  # noqa: NPY002
    assert encode_gif(fading) == encode_gif(fading)
    assert (fading == before).all()
    assert np.random.get_state()[1].tolist() == state  # noqa: NPY002


def test_pictures_and_animations_are_told_apart(picture):
    assert not is_animation(picture)
    assert is_animation(picture[np.newaxis])
