import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from saliency_callbacks.errors import InputError
from saliency_callbacks.rendering import text
from saliency_callbacks.rendering.contour import draw_contour
from saliency_callbacks.rendering.gallery import Gallery, GalleryPair, draw_gallery
from saliency_callbacks.rendering.text import wrapped
from saliency_callbacks.rendering.theme import WRONG

TURNED, STAYED = GalleryPair("9", ("1", "4"), (-1.2, 0.8)), GalleryPair("6", ("8", "8"), (-2.7, -2.3))


def noise(count, side=32, seed=0):
    return np.random.default_rng(seed).integers(40, 180, (count, side, side, 3), dtype=np.uint8)


def gallery(side=32, n_pairs=4, **changes):
    given = {
        "title": "Class 4: the same 36 pixels",
        "caption": "In 52% of class 4.",
        "class_name": "4",
        "bearing": noise(4, side),
        "lacking": noise(4, side, 1),
        "before": noise(n_pairs, side, 2),
        "after": noise(n_pairs, side, 3),
        "pairs": [TURNED, STAYED, STAYED, TURNED][:n_pairs],
    }
    return Gallery(**(given | changes))


def place_of(picture, part):
    """Where ``part`` occurs in ``picture`` pixel by pixel: row and column; ``None`` if nowhere."""
    height, width, _ = part.shape
    for y, x in zip(*np.nonzero((picture == part[0, 0]).all(axis=-1)), strict=True):
        if np.array_equal(picture[y : y + height, x : x + width], part):
            return int(y), int(x)
    return None


def enlarged(image, times):
    size = (image.shape[1] * times, image.shape[0] * times)
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.NEAREST))


@pytest.fixture
def words(monkeypatch):
    """Everything that is written, as it was asked for."""
    written = []
    draw = text.draw

    def listen(canvas, position, line, **settings):
        written.append(line)
        return draw(canvas, position, line, **settings)

    monkeypatch.setattr(text, "draw", listen)
    return written


@pytest.mark.parametrize(("side", "times"), [(8, 15), (28, 5), (32, 4), (64, 2), (112, 2), (224, 1)])
def test_every_sample_is_there_enlarged_by_whole_pixels(side, times):
    shown = gallery(side)
    picture = draw_gallery(shown)
    places = [
        [place_of(picture, enlarged(image, times)) for image in images]
        for images in (shown.bearing, shown.lacking, shown.before, shown.after)
    ]
    assert all(place is not None for row in places for place in row)
    bearing, lacking, before, after = places
    assert len({y for y, _ in bearing}) == len({y for y, _ in lacking}) == 1
    assert bearing[0][0] < lacking[0][0] < before[0][0]
    assert [x for _, x in bearing] == [x for _, x in lacking], "columns line up"
    for (upper, left), (row, right) in zip(before, after, strict=True):
        assert upper == row
        assert right > left + side * times, "after is at the right of before"


def test_large_pictures_are_reduced():
    shown = gallery(512)
    picture = draw_gallery(shown)
    assert picture.shape[1] < 1100
    assert place_of(picture, np.asarray(Image.fromarray(shown.bearing[0]).resize((224, 224), Image.Resampling.BOX)))


def test_the_outline_is_around_the_region_and_hides_nothing_of_it():
    marks = np.zeros((4, 32, 32), dtype=bool)
    marks[:, 5:11, 20:26] = True
    plain, outlined = draw_gallery(gallery()), draw_gallery(gallery(marks=marks))
    top, left = place_of(plain, enlarged(noise(4)[0], 4))
    tile = outlined[top : top + 128, left : left + 128]
    region = np.zeros((128, 128), dtype=bool)
    region[20:44, 80:104] = True
    once = ndimage.binary_dilation(region)
    expected = enlarged(noise(4)[0], 4).copy()
    expected[ndimage.binary_dilation(once) & ~once] = 0
    expected[once & ~ndimage.binary_erosion(once)] = 255
    assert np.array_equal(tile, expected)
    assert np.array_equal(tile[region], enlarged(noise(4)[0], 4)[region])


def test_what_was_put_in_is_outlined_where_it_was_put():
    changed = np.zeros((4, 32, 32), dtype=bool)
    changed[2, 1:3, 1:3] = True
    plain, outlined = draw_gallery(gallery()), draw_gallery(gallery(changed=changed))
    rows, columns = np.nonzero((plain != outlined).any(-1))
    top, left = place_of(plain, enlarged(noise(4, seed=3)[2], 4))
    assert (rows.min(), columns.min()) == (top + 4 - 2, left + 4 - 2)
    assert (rows.max(), columns.max()) == (top + 12 + 1, left + 12 + 1)


def test_a_turned_prediction_is_framed_in_red_three_pixels_wide_and_no_other():
    picture = draw_gallery(gallery())
    for image, is_framed in zip(noise(4, seed=3), (True, False, False, True), strict=True):
        top, left = place_of(picture, enlarged(image, 4))
        frame = picture[top - 3 : top + 131, left - 3 : left + 131].copy()
        frame[3:-3, 3:-3] = WRONG
        assert bool((frame == np.array(WRONG, np.uint8)).all()) == is_framed
    for image in noise(4, seed=2):
        top, left = place_of(picture, enlarged(image, 4))
        assert tuple(picture[top - 1, left]) != WRONG


def test_what_was_predicted_as_the_class_before_is_not_turned(words):
    pairs = [GalleryPair("9", ("4", "4"), (0.5, 2.0))] * 2
    picture = draw_gallery(gallery(n_pairs=2, pairs=pairs))
    assert not (picture == np.array(WRONG, np.uint8)).all(-1).any()
    assert not any("red frame" in line for line in words)


def test_the_words(words):
    draw_gallery(gallery(marks=np.ones((4, 32, 32), dtype=bool)))
    assert words == [
        "Class 4: the same 36 pixels",
        "In 52% of class 4.",
        "Class 4 with the cue",
        "outlined",
        "Class 4 without the cue",
        "Other classes, before → after inserting the cue",
        "red frame: prediction flipped to that class",
        *["→", "labeled 9 · predicted 1 → 4", "margin of 4: −1.2 → +0.8"],
        *["→", "labeled 6 · still predicted 8", "margin of 4: −2.7 → −2.3"] * 2,
        *["→", "labeled 9 · predicted 1 → 4", "margin of 4: −1.2 → +0.8"],
    ]


def test_what_is_not_there_is_said_or_left_out(words):
    picture = draw_gallery(gallery(bearing=noise(1), lacking=noise(0), n_pairs=0))
    assert "No image of class 4 clearly lacks the cue." in words
    assert not any("outlined" in line or "Other classes" in line for line in words)
    assert place_of(picture, enlarged(noise(1)[0], 4))
    assert picture.shape[1] >= 560, "wide enough for the words"


def test_long_names_are_cut_so_that_both_predictions_are_seen(words):
    long = "indigo bunting, indigo finch, indigo bird, Passerina cyanea"
    pairs = [GalleryPair(long, (long, "shark"), (-1.0, 2.0)), GalleryPair("x", ("x", long), (0.0, 0.0))]
    shown = gallery(n_pairs=2, pairs=pairs, class_name=long, caption=long * 30, title=long * 9)
    assert draw_gallery(shown).shape[1] == draw_gallery(gallery()).shape[1]
    assert any(line.startswith("predicted indigo") and line.endswith("… → shark") for line in words)
    (short,) = (line for line in words if line.startswith("predicted x → indigo bunting, indigo finch, "))
    assert text.text_width(short, 12) > 240, "a short name leaves its room to the other"
    assert any(line.startswith("margin of indigo") and line.endswith("…: −1.0 → +2.0") for line in words)


def test_the_cue_is_enlarged_at_the_upper_right(words):
    cue = noise(1, 6, seed=7)[0]
    picture = draw_gallery(gallery(cue=cue))
    top, left = place_of(picture, enlarged(cue, 12))
    assert top < 40
    assert left > picture.shape[1] - 120
    assert "the cue" in words


@pytest.mark.parametrize("size", [(32, 96), (96, 32), (1, 300)])
def test_pictures_of_any_aspect(size):
    images = np.full((4, *size, 3), 90, np.uint8)
    shown = gallery(bearing=images, lacking=images, before=images, after=images)
    height, width, _ = draw_gallery(shown).shape
    assert max(height, width) < 1700


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="bearing is float64"):
        gallery(bearing=np.zeros((1, 8, 8, 3)))
    with pytest.raises(InputError, match=r"lacking is uint8 \[2, 9, 9, 3\]; expected uint8 \[N, 32, 32, 3\]"):
        gallery(lacking=noise(2, 9))
    with pytest.raises(InputError, match="4 pictures before, 4 after and 1 captions"):
        gallery(pairs=[TURNED])
    with pytest.raises(InputError, match="marks is"):
        gallery(marks=np.zeros((3, 32, 32), dtype=bool))
    with pytest.raises(InputError, match="changed is"):
        gallery(changed=np.zeros((4, 32, 32)))


@pytest.mark.parametrize("line", ["one two three four five six", "a" * 90, "", "a " * 90])
def test_wrapped_lines_fit_and_lose_nothing_but_the_end(line):
    lines = wrapped(line, 12, 60, 3)
    assert len(lines) <= 3
    assert all(text.text_width(one, 12) <= 60 for one in lines)
    if not any("…" in one for one in lines):
        assert " ".join(lines) == " ".join(line.split())


def test_a_contour_around_leaves_the_region_as_it_is():
    tiles, region = np.full((1, 9, 9, 3), 128, np.uint8), np.zeros((1, 9, 9), dtype=bool)
    region[0, 4, 4] = True
    drawn = draw_contour(tiles, region, is_around=True)[0, :, :, 0]
    assert drawn[4].tolist() == [128, 128, 0, 255, 128, 255, 0, 128, 128]
