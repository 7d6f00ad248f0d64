import io

import numpy as np
import pytest
from PIL import Image

from saliency_callbacks.sinks.image_files import encode_gif, encode_png, is_animation


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (12, 20), (224, 224)])
def test_every_pixel_comes_back(size):
    picture = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    with Image.open(io.BytesIO(encode_png(picture))) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        np.testing.assert_array_equal(np.asarray(image), picture)


def test_a_view_is_encoded_as_what_it_shows(picture):
    view = picture[::-2, 3:9]
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(encode_png(view)))), view)


def test_it_is_compressed_at_the_fastest_level():
    picture = np.full((64, 64, 3), 200, dtype=np.uint8)
    encoded = encode_png(picture)
    assert len(encoded) < picture.nbytes / 10
    # The second byte of a zlib stream tells its level: 0x01 is the fastest, 0x9c the default.
    start = encoded.index(b"IDAT") + 4
    assert encoded[start : start + 2] == b"\x78\x01"


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
    """Noise that turns into a gradient of colors, beside a strip that stays."""
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


def test_colors_are_close_even_where_there_are_thousands(fading):
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
