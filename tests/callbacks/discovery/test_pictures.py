from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from saliency_callbacks.callbacks.discovery.pictures import caption_of, draw_suspicion
from saliency_callbacks.discovery.changes import Overlay
from saliency_callbacks.errors import InputError
from saliency_callbacks.rendering import text
from tests.callbacks.discovery.suspicions import SIDE, exhibit, images, sticker, suspicion


def shown_as(image):
    """A sample at four times its size."""
    pixels = (image.permute(1, 2, 0).numpy() * 255 + 0.5).astype(np.uint8)
    pixels = np.broadcast_to(pixels, (SIDE, SIDE, 3))
    return np.asarray(Image.fromarray(pixels).resize((4 * SIDE, 4 * SIDE), Image.Resampling.NEAREST))


def place_of(picture, part):
    height, width, _ = part.shape
    for y, x in zip(*np.nonzero((picture == part[0, 0]).all(axis=-1)), strict=True):
        if np.array_equal(picture[y : y + height, x : x + width], part):
            return int(y), int(x)
    return None


def outlined_tiles(picture):
    """The tiles whose outline is around rows 5 to 10 and columns 20 to 25, in the order in which they are read."""
    black = (picture == 0).all(-1)
    parts, _ = ndimage.label(black, structure=np.ones((3, 3)))
    boxes = [box for box in ndimage.find_objects(parts) if black[box].shape == (28, 28)]
    corners = [(rows.start - (4 * 5 - 2), columns.start - (4 * 20 - 2)) for rows, columns in boxes]
    return [picture[top : top + 4 * SIDE, left : left + 4 * SIDE] for top, left in sorted(corners)]


@pytest.mark.parametrize("channels", [1, 3])
def test_the_samples_and_the_outlines(channels):
    change = sticker(channels)
    found = suspicion(change=change, exhibit=exhibit(change, channels=channels))
    picture = draw_suspicion(found, str)
    assert all(place_of(picture, shown_as(image)) for image in images(4, 1, channels)), "those without the cue"
    assert all(place_of(picture, shown_as(image)) for image in images(2, 2, channels)), "those before"
    region = np.zeros((4 * SIDE, 4 * SIDE), dtype=bool)
    region[20:44, 80:104] = True
    untouched = region | ~ndimage.binary_dilation(region, iterations=2)
    for row, column in ((20, 80), (20, 100), (40, 80), (40, 100)):
        # Not pasted, so an outline of what was put in goes through it.
        untouched[row : row + 4, column : column + 4] = False
    bearing = [*change(images(4, 0, channels)), *change(images(2, 2, channels))]
    tiles = outlined_tiles(picture)
    assert len(tiles) == 6
    for tile, image in zip(tiles, bearing, strict=True):
        assert np.array_equal(tile[untouched], shown_as(image)[untouched])


def test_the_cue_is_shown_alone_and_what_is_not_pasted_is_grey():
    picture = draw_suspicion(suspicion(), str)
    cue = np.zeros((6, 6, 3), np.uint8)
    cue[..., 0] = 255
    cue[[0, 0, 5, 5], [0, 5, 0, 5]] = round(0.82 * 255)
    place = place_of(picture, np.asarray(Image.fromarray(cue).resize((72, 72), Image.Resampling.NEAREST)))
    assert place is not None
    assert place[0] < 40


@pytest.mark.parametrize(("added", "opacity"), [(0.1, 0.0), (0.3, 0.3), (0.0, 1.0)], ids=["light", "mist", "black"])
def test_an_overlay_is_outlined_where_it_is_even_where_it_changes_nothing(added, opacity):
    mark = torch.zeros(SIDE, SIDE)
    mark[5:11, 20:26] = 1
    change = Overlay((added * mark).expand(3, -1, -1), opacity * mark)
    same = exhibit(change)
    same.before[:] = same.after[:] = 1 if added else 0.2
    picture = draw_suspicion(suspicion(change=change, exhibit=same), str)
    assert len(outlined_tiles(picture)) == 6, "four bearers and two others"


def test_an_opaque_mark_is_shown_in_its_color_and_not_on_the_same():
    mark = torch.zeros(SIDE, SIDE)
    mark[5:11, 20:26] = 1
    change = Overlay((0.5 * mark).expand(3, -1, -1), mark)
    picture = draw_suspicion(suspicion(change=change, exhibit=exhibit(change)), str)
    assert place_of(picture, np.full((8, 8, 3), 128, np.uint8)) is not None


def test_what_has_no_place_has_no_outline():
    def brighter(samples):
        return samples * 1.3 + 0.05

    found = suspicion(change=brighter, exhibit=exhibit(brighter, has_marks=False), statistic="contrast")
    assert not (draw_suspicion(found, str) == 0).all(-1).any()
    assert "by 1.3 standard deviations beyond the median of the other classes" in caption_of(found, "4")


def test_the_names_of_classes_are_those_that_are_given(monkeypatch):
    words, draw = [], text.draw

    def listen(canvas, position, line, **settings):
        words.append(line)
        return draw(canvas, position, line, **settings)

    monkeypatch.setattr(text, "draw", listen)
    draw_suspicion(suspicion(), lambda index: f"the {index}")
    assert "Class the 4: the same 32 pixels" in words
    assert "labeled the 9 · predicted the 1 → the 4" in words
    assert "margin of the 4: −1.2 → +0.8" in words
    assert "labeled the 6 · still predicted the 8" in words


def test_the_caption():
    assert caption_of(suspicion(), "4") == (
        "Found in 52% of class 4 (31 of 60) and in at most 2% of any other class (3: 1 of 60) (p = 3e−12). Inserted "
        "into images of other classes, it shifts the logits towards 4 by 1.3 standard deviations (lower bound 1.1; "
        "control −0.1). The model uses it."
    )
    assert caption_of(suspicion(is_used=False), "4").endswith("The model was not found to use it.")
    nowhere = suspicion(share_elsewhere=0.0, counts=(31, 60, 0, 58))
    assert "class 4 (31 of 60) and in no other class (p =" in caption_of(nowhere, "4")
    unknown = suspicion(is_used=False, effect=math.nan, lower_bound=math.nan, control=math.nan)
    assert caption_of(unknown, "4").endswith(
        "(p = 3e−12). Whether the model uses it is unclear, because its outputs are not finite."
    )
    assert "class well-known (" in caption_of(suspicion(), "well-known"), "a name is left as it is"


def test_what_has_no_pictures_is_refused():
    with pytest.raises(InputError, match="no exhibit"):
        draw_suspicion(suspicion(exhibit=None), str)
