import numpy as np
import pytest
from PIL import Image

from saliency_callbacks.errors import ConfigurationError, InputError
from saliency_callbacks.rendering.filmstrip import filmstrip, thin
from saliency_callbacks.rendering.grid import Caption
from saliency_callbacks.rendering.theme import WRONG


def flat(level, count=3, height=32, width=32):
    return np.full((count, height, width, 3), level, np.uint8)


def draw(epochs, count=3, height=32, width=32, **settings):
    columns = [(f"epoch {epoch}", flat(10 + epoch, count, height, width)) for epoch in range(epochs)]
    return filmstrip(flat(200, count, height, width), columns, ["row"] * count, **{"title": "grad_cam", **settings})


def levels_of(picture):
    """Grey levels of the tiles of the first row, from left to right."""
    rows = [[tuple(pixel) for pixel in row] for row in picture[[-40]]]
    levels = []
    for red, green, blue in rows[0]:
        if red == green == blue and red != 255 and (not levels or levels[-1] != red):
            levels.append(int(red))
    return levels


@pytest.mark.parametrize("count", [0, 1, 2, 15, 16, 17, 30, 1000])
@pytest.mark.parametrize("limit", [2, 3, 16])
def test_thinning_keeps_first_and_last_and_spaces_evenly(count, limit):
    kept = thin(count, limit)
    assert len(kept) == len(set(kept)) == min(count, limit)
    assert kept == sorted(kept)
    if count:
        assert (kept[0], kept[-1]) == (0, count - 1)
    gaps = np.diff(kept)
    assert not len(gaps) or gaps.max() - gaps.min() <= 1


def test_the_columns_are_the_input_and_the_epochs_in_order():
    assert levels_of(draw(4, count=1)) == [200, 10, 11, 12, 13]


def test_too_many_epochs_are_thinned():
    levels = levels_of(draw(30, count=1, max_columns=5))
    assert levels == [200, *(10 + index for index in thin(30, 5))]


def test_tiles_are_exact_blocks():
    images = np.random.default_rng(0).integers(0, 180, (1, 32, 32, 3), dtype=np.uint8)
    picture = filmstrip(images, [("epoch 0", images)], ["x"], title="t")
    block = np.asarray(Image.fromarray(images[0]).resize((96, 96), Image.Resampling.NEAREST))
    windows = np.lib.stride_tricks.sliding_window_view(picture[..., 0], (96, 96))
    hits = np.argwhere((windows[..., 0, 0] == block[0, 0, 0]) & (windows[..., 95, 95] == block[95, 95, 0]))
    assert sum(np.array_equal(windows[tuple(hit)], block[..., 0]) for hit in hits) == 2


@pytest.mark.parametrize("shape", [(8, 8), (28, 28), (224, 224), (96, 512), (512, 96)])
@pytest.mark.parametrize(("count", "epochs"), [(1, 1), (4, 30), (16, 3), (40, 40)])
def test_a_filmstrip_is_bounded(count, epochs, shape):
    height, width, _ = draw(epochs, count, *shape).shape
    assert max(height, width) <= 3400
    assert height * width <= 5_500_000


def test_row_captions_column_names_and_title_draw_ink():
    images = flat(200, 1)
    bare = filmstrip(images, [("", images)], [""], title="")
    named = filmstrip(images, [("epoch 3", images)], [""], title="")
    titled = filmstrip(images, [("", images)], [""], title="grad_cam")
    for other in (named, titled):
        assert other.shape[1] == bare.shape[1]
        assert (other != 255).any(axis=-1).sum() > (bare != 255).any(axis=-1).sum() + 50
    assert filmstrip(images, [("", images)] * 4, ["astronaut"], title="").shape[1] > draw(4, 1).shape[1] + 20


def test_no_epoch_yet_shows_the_inputs():
    assert levels_of(draw(0, count=1)) == [200]


def test_rows_beyond_16_are_left_out():
    longest = "grad_cam · by epoch · first 16 of 20"
    assert draw(5, count=20).shape == draw(5, count=16, room_for=longest).shape


def test_mistakes_are_refused():
    images = flat(0)
    with pytest.raises(InputError, match="row captions"):
        filmstrip(images, [], ["a"], title="t")
    with pytest.raises(InputError, match="'epoch 1'"):
        filmstrip(images, [("epoch 1", flat(0, 2))], ["a"] * 3, title="t")
    with pytest.raises(ConfigurationError, match="at least 2"):
        filmstrip(images, [("e", images)], ["a"] * 3, title="t", max_columns=1)


def test_a_wrong_prediction_is_framed_and_red():
    captions = [Caption("right", "pred right · 0.90", False), Caption("wrong", "pred right · 0.90", True)]
    picture = filmstrip(flat(90, 2), [("gradient", flat(50, 2))], captions, title="t", style="greyscale")
    red = (picture == np.array(WRONG, np.uint8)).all(-1)
    rows = np.flatnonzero(red.sum(1) > 90)
    assert len(rows) == 6, "three pixels above the input and three below it"
    assert red[: rows[0]].sum() == 0
    assert red[rows[0] : rows[-1], :140].sum() > 50, "the caption"
