import numpy as np
import pytest
from PIL import Image

from saliency_callbacks.errors import ConfigurationError, InputError
from saliency_callbacks.rendering.panel import Caption, panel
from saliency_callbacks.rendering.theme import PAPER, WRONG


def noise(count, height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 180, (count, height, width, 3), dtype=np.uint8)


def captions(count, wrong=None):
    return [Caption(f"label {index}", f"pred {index} · 0.50", wrong) for index in range(count)]


def draw(count, height=32, width=32, wrong=None, **settings):
    images, maps = noise(count, height, width), noise(count, height, width, seed=1)
    return panel(images, maps, captions(count, wrong), **{"title": "grad_cam · epoch 3", **settings})


def contains(picture, part):
    """Whether ``part`` occurs in ``picture`` pixel by pixel."""
    height, width, _ = part.shape
    rows, columns = np.nonzero((picture == part[0, 0]).all(axis=-1))
    return any(np.array_equal(picture[y : y + height, x : x + width], part) for y, x in zip(rows, columns, strict=True))


def count_of(picture, color):
    return int((picture == np.array(color, np.uint8)).all(axis=-1).sum())


@pytest.mark.parametrize("shape", [(8, 8), (32, 32), (224, 224), (512, 512), (96, 512), (512, 96)])
@pytest.mark.parametrize("count", [1, 2, 3, 5, 16, 33, 64])
def test_a_panel_is_bounded_for_any_number_of_samples(count, shape):
    height, width, channels = draw(count, *shape).shape
    assert channels == 3
    assert max(height, width) <= 2400
    assert height * width <= 4_700_000


def test_inputs_and_maps_appear_as_exact_blocks_side_by_side():
    images, maps = noise(5, 28, 28), noise(5, 28, 28, seed=1)
    picture = panel(images, maps, captions(5), title="t")
    gap = np.full((112, 2, 3), 255, np.uint8)
    for one, other in zip(images, maps, strict=True):
        tiles = [np.asarray(Image.fromarray(p).resize((112, 112), Image.Resampling.NEAREST)) for p in (one, other)]
        assert contains(picture, np.concatenate([tiles[0], gap, tiles[1]], axis=1))


def test_pictures_of_a_fitting_size_are_not_resampled():
    images, maps = noise(16, 128, 128), noise(16, 128, 128, seed=1)
    picture = panel(images, maps, captions(16), title="t")
    assert contains(picture, images[0])
    assert contains(picture, maps[15])


@pytest.mark.parametrize(("count", "side"), [(16, 158), (24, 129)])
def test_more_pictures_share_a_budget_of_pixels(count, side):
    images, maps = noise(count, 224, 224), noise(count, 224, 224, seed=1)
    picture = panel(images, maps, captions(count), title="t")
    assert 2 * count * side**2 <= 800_000 < 2 * count * (side + 1) ** 2
    assert contains(picture, np.asarray(Image.fromarray(maps[-1]).resize((side, side), Image.Resampling.BOX)))


def test_wide_pictures_stand_above_their_maps():
    images, maps = noise(1, 96, 400), noise(1, 96, 400, seed=1)
    gap = np.full((2, 400, 3), 255, np.uint8)
    assert contains(panel(images, maps, captions(1), title="t"), np.concatenate([images[0], gap, maps[0]]))


@pytest.mark.parametrize(("wrong", "visible"), [(True, True), (False, False), (None, False)])
def test_a_wrong_prediction_stands_out(wrong, visible):
    frame = 2 * 3 * (2 * 128 + 128)
    found = count_of(draw(1, wrong=wrong, style="greyscale"), WRONG)
    assert (found > frame) if visible else found == 0


def test_the_caption_of_a_wrong_prediction_is_red():
    picture = draw(1, wrong=True, style="greyscale")
    below_frame = picture[np.flatnonzero((picture == WRONG).all(-1).sum(1) > 100)[-1] + 1 :]
    assert count_of(below_frame, WRONG) > 20


def test_title_captions_and_scale_note_draw_ink():
    bare = panel(noise(1, 32, 32), noise(1, 32, 32), [Caption("")], title="")
    titled = panel(noise(1, 32, 32), noise(1, 32, 32), [Caption("")], title="grad_cam · epoch 3")
    noted = panel(noise(1, 32, 32), noise(1, 32, 32), [Caption("")], title="", scale_note="shared scale")
    labeled = panel(noise(1, 32, 32), noise(1, 32, 32), [Caption("seven")], title="")
    for other in (titled, noted, labeled):
        assert other.shape != bare.shape or count_of(other, PAPER) < count_of(bare, PAPER) - 50


def test_an_endless_title_and_caption_are_cut():
    images = noise(1, 32, 32)
    short = panel(images, images, [Caption("x" * 200, "y" * 200)], title="t" * 300)
    assert short.shape[1] < 500
    assert (short[:, -8:] == 255).all()


def test_columns_can_be_chosen():
    assert draw(6, columns=1).shape[0] > 2 * draw(6, columns=6).shape[0]
    assert draw(2, columns=9).shape == draw(2, columns=2).shape


def test_only_the_first_64_samples_are_shown():
    images = np.zeros((70, 16, 16, 3), np.uint8)
    assert draw(70, 16, 16).shape == draw(64, 16, 16).shape
    assert not np.array_equal(
        panel(images, images, [Caption("")] * 70, title="t"),
        panel(images[:64], images[:64], [Caption("")] * 64, title="t"),
    )


@pytest.mark.parametrize("style", ["overlay", "heatmap", "signed", "signed_color", "greyscale"])
def test_the_color_bar_belongs_to_the_style(style):
    picture = draw(4, style=style, colormap="viridis")
    assert np.array_equal(picture, draw(4, style=style, colormap="plasma")) == (style not in ("overlay", "heatmap"))


def test_mistakes_are_refused():
    images = noise(2, 8, 8)
    with pytest.raises(InputError, match="1 captions"):
        panel(images, images, captions(1), title="t")
    with pytest.raises(InputError, match="equal shape"):
        panel(images, noise(2, 9, 8), captions(2), title="t")
    with pytest.raises(ConfigurationError, match="columns=0"):
        panel(images, images, captions(2), title="t", columns=0)
    with pytest.raises(ConfigurationError, match="'overlay'"):
        panel(images, images, captions(2), title="t", style="overly")
