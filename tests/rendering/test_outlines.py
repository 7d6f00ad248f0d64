"""Boxes and masks on tiles: where they belong, seen on any picture, and nothing where there are none."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from saliency_callbacks.errors import InputError
from saliency_callbacks.rendering.filmstrip import filmstrip
from saliency_callbacks.rendering.outlines.drawing import draw_marks
from saliency_callbacks.rendering.outlines.marks import Marks
from saliency_callbacks.rendering.outlines.placing import marks_of
from saliency_callbacks.rendering.panel import Caption, panel
from saliency_callbacks.types import Outlines

BLUE = (64, 196, 255)
NAN = float("nan")


def tiles_of(value, height=96, width=128, count=1):
    return np.full((count, height, width, 3), value, np.uint8)


def is_color(picture, color):
    return (picture == np.array(color, np.uint8)).all(axis=-1)


def drawn(tiles, outlines, spatial, *, is_found=False):
    return draw_marks(tiles, marks_of(outlines, spatial, is_found=is_found))


@pytest.mark.parametrize(("spatial", "tile"), [((8, 8), (112, 112)), ((768, 1024), (96, 128)), ((48, 64), (48, 64))])
def test_a_box_in_pixels_of_the_input_is_where_it_belongs_on_a_tile_of_another_size(spatial, tile):
    height, width = spatial
    box = torch.tensor([[width / 4, height / 8, width * 3 / 4, height / 2]])
    blue = is_color(drawn(tiles_of(90, *tile), Outlines(boxes=box), spatial)[0], BLUE)
    rows, columns = np.nonzero(blue)
    assert (rows.min(), rows.max() + 1) == (tile[0] // 8, tile[0] // 2)
    assert (columns.min(), columns.max() + 1) == (tile[1] // 4, tile[1] * 3 // 4)
    assert blue.mean() < 0.2, "a line, not a surface"


def test_a_box_that_reaches_the_border_or_beyond_is_drawn_within_the_tile():
    boxes = torch.tensor([[0.0, 0.0, 64.0, 48.0], [-9.0, 12.0, 99.0, 24.0]])
    found = drawn(tiles_of(90, count=2), Outlines(boxes=boxes), (48, 64))
    assert is_color(found[0][:, [0, -1]], BLUE).all()
    assert is_color(found[0][[0, -1]], BLUE).all()
    assert is_color(found[1][24:48, [0, -1]], BLUE).all()
    assert not is_color(found[1][:23], BLUE).any()


@pytest.mark.parametrize(
    "outlines",
    [
        Outlines(boxes=torch.full((1, 4), NAN)),
        Outlines(boxes=torch.tensor([[70.0, 0.0, 90.0, 9.0]])),
        Outlines(masks=torch.zeros(1, 48, 64, dtype=torch.bool)),
        Outlines(masks=torch.ones(1, 48, 64, dtype=torch.bool)),
        Outlines(),
        None,
    ],
    ids=["no box", "beyond", "no mask", "everything", "nothing", "none"],
)
def test_there_is_nothing_to_draw(outlines):
    tiles = tiles_of(90)
    np.testing.assert_array_equal(drawn(tiles, outlines, (48, 64)), tiles)


def test_a_box_of_less_than_a_pixel_of_the_tile_is_seen():
    found = drawn(tiles_of(90), Outlines(boxes=torch.tensor([[500.0, 300.0, 502.0, 301.0]])), (768, 1024))
    assert is_color(found, BLUE).sum() == 1


@pytest.mark.parametrize("value", [0, 64, 128, 255])
@pytest.mark.parametrize("is_found", [False, True])
def test_lines_stand_out_from_any_grey(value, is_found):
    mask = torch.zeros(1, 48, 64, dtype=torch.bool)
    mask[:, 10:30, 20:40] = True
    changed = np.abs(drawn(tiles_of(value), Outlines(masks=mask), (48, 64), is_found=is_found).astype(int) - value)
    assert (changed.mean(axis=-1) > 100).sum() > 70


def test_what_is_found_is_told_apart_without_color():
    mask = torch.zeros(1, 48, 64, dtype=torch.bool)
    mask[:, 10:30, 20:40] = True
    solid, dashed = (
        drawn(tiles_of(90), Outlines(masks=mask), (48, 64), is_found=is_found)[0, 20, :].mean(axis=-1)
        for is_found in (False, True)
    )
    assert len({*solid[42:78]} - {90.0}) == 1
    assert {0.0, 255.0} <= {*dashed[42:78]}


@pytest.mark.parametrize("slope", [(1, 0), (0, 1), (1, 1), (1, -1)])
def test_no_line_of_what_is_found_is_of_one_color(slope):
    rows, columns = np.indices((64, 64))
    place = slope[0] * rows + slope[1] * columns
    outlines = Outlines(masks=torch.from_numpy(place < np.median(place))[None])
    values = drawn(tiles_of(90, 64, 64), outlines, (64, 64), is_found=True)[..., 0]
    line = values[values != 90]
    assert 0.3 < (line == 255).mean() < 0.7


def test_masks_of_volumes_are_drawn_slice_by_slice_and_of_signals_as_bands():
    volume = torch.zeros(1, 4, 16, 16, dtype=torch.bool)
    volume[:, 2, 4:12, 4:12] = True
    sheet = is_color(drawn(tiles_of(90, 128, 128), Outlines(masks=volume), (4, 16, 16))[0], BLUE)
    quarters = [sheet[:64, :64], sheet[:64, 64:], sheet[64:, :64], sheet[64:, 64:]]
    assert [bool(part.any()) for part in quarters] == [False, False, True, False]
    signal = torch.zeros(1, 64, dtype=torch.bool)
    signal[:, 16:32] = True
    band = is_color(drawn(tiles_of(90), Outlines(masks=signal, boxes=torch.zeros(1, 4)), (64,))[0], BLUE)
    assert np.flatnonzero(band.all(axis=0)).tolist() == [32, 33, 62, 63]


def test_outlines_of_other_samples_are_an_error():
    with pytest.raises(InputError, match="got 2 outlines for 1 pictures"):
        draw_marks(tiles_of(90), [Marks(boxes=np.zeros((2, 4)))])


def test_panels_and_pictures_of_all_methods_have_them():
    pictures = tiles_of(90, 112, 112, count=2)
    marks = [Marks(boxes=np.array([[0.25, 0.25, 0.75, 0.75], [NAN] * 4]))]
    with_box = panel(pictures, pictures, [Caption("a"), Caption("b")], title="t", marks=marks)
    side = is_color(draw_marks(pictures, marks)[0], BLUE).sum()
    assert is_color(with_box, BLUE).sum() == 2 * side, "on the input and on the map, of the first sample"
    strip = filmstrip(pictures, [("a", pictures), ("b", pictures)], ["x", "y"], title="t", marks=[marks, marks, []])
    assert is_color(strip, BLUE).sum() == 2 * side
