import numpy as np

from saliency_callbacks.arrays.slices import ContactSheet
from saliency_callbacks.rendering.contact_sheet import number_slices, sheet_note


def test_every_slice_is_numbered_in_its_corner_and_lines_divide_them():
    sheet = ContactSheet.of((24, 40, 40))
    tiles = np.full((1, 180, 180, 3), 90, np.uint8)
    drawn = number_slices(tiles, sheet)[0]
    changed = (drawn != 90).any(-1)
    numbers = set()
    for place in range(9):
        row, column = divmod(place, 3)
        corner = changed[60 * row : 60 * row + 20, 60 * column : 60 * column + 24]
        assert corner.mean() > 0.3
        assert not changed[60 * row + 22 : 60 * row + 58, 60 * column + 2 : 60 * column + 58].any()
        numbers.add(drawn[60 * row + 1 : 60 * row + 18, 60 * column + 1 : 60 * column + 24].tobytes())
    assert len(numbers) == 9
    assert (drawn[60] == 255).all(-1).sum() > 100
    assert (tiles == 90).all(), "what was given stays"


def test_pictures_that_are_no_sheets_stay_as_they_are():
    tiles = np.zeros((1, 8, 8, 3), np.uint8)
    assert number_slices(tiles, None) is tiles


def test_the_note_says_how_many_slices_there_are():
    assert sheet_note(ContactSheet.of((2, 8, 8)), None) == "2 slices, axis 0"
    assert sheet_note(ContactSheet.of((1, 8, 8)), None) == "1 slice, axis 0"
    assert sheet_note(ContactSheet.of((16, 8, 8)), ("time", "height", "width")) == "9 of 16 frames, axis 0 (time)"
