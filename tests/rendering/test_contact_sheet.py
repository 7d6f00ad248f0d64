import numpy as np

from saliency_callbacks.arrays.slices import ContactSheet
from saliency_callbacks.rendering.contact_sheet import number_slices, sheet_note


def test_every_slice_is_numbered_in_its_corner_and_lines_divide_them():
    sheet = ContactSheet.of((24, 40, 40))
    tiles = np.full((1, 120, 120, 3), 90, np.uint8)
    drawn = number_slices(tiles, sheet, 14)[0]
    changed = (drawn != 90).any(-1)
    numbers = set()
    for place in range(4):
        row, column = divmod(place, 2)
        corner = changed[60 * row : 60 * row + 16, 60 * column : 60 * column + 10]
        assert corner.mean() > 0.3
        assert not changed[60 * row + 24 : 60 * row + 58, 60 * column + 2 : 60 * column + 58].any()
        numbers.add(drawn[60 * row + 1 : 60 * row + 18, 60 * column + 1 : 60 * column + 24].tobytes())
    assert len(numbers) == 4
    assert (drawn[60] == 255).all(-1).sum() > 60
    assert (tiles == 90).all(), "what was given stays"


def test_numbers_that_would_cover_a_slice_are_left_out():
    tiles = np.full((1, 120, 120, 3), 90, np.uint8)
    changed = (number_slices(tiles, ContactSheet.of((200, 40, 40)), 30)[0] != 90).any(-1)
    assert changed[60].all()
    assert not changed[2:58, 2:58].any()


def test_pictures_that_are_no_sheets_stay_as_they_are():
    tiles = np.zeros((1, 8, 8, 3), np.uint8)
    assert number_slices(tiles, None, 12) is tiles


def test_the_note_says_which_slices_are_shown():
    assert sheet_note(ContactSheet.of((2, 8, 8)), None) == "2 slices, axis 0"
    assert sheet_note(ContactSheet.of((1, 8, 8)), None) == "1 slice, axis 0"
    assert sheet_note(ContactSheet.of((16, 8, 8)), ("time", "height", "width")) == (
        "frames 3, 7, 11, 15 of 16, axis 0 (time)"
    )
