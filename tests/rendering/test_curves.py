"""Curves over steps: readable for any number of them, and drawn without global state."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest

from saliency_callbacks.rendering.curves import Curve, draw_curves

NAN = math.nan
BLUE = np.array([0x00, 0x72, 0xB2])


def curve(values, name="gradient", spreads=None, band=(0.0, 0.1)):
    return Curve(name, values, [0.05] * len(values) if spreads is None else spreads, band)


def draw(curves, steps, title="t"):
    return draw_curves(curves, steps, title=title, steps_label="steps", values_label="similarity")


def near(picture, color, tolerance=40):
    return np.abs(picture.astype(int) - color).max(axis=-1) < tolerance


def test_a_picture_of_bytes():
    picture = draw([curve([0.9, 0.5, 0.1])], ["a", "b", "c"])
    assert picture.dtype == np.uint8
    assert picture.ndim == 3
    assert picture.shape[2] == 3
    assert picture.flags.owndata
    assert near(picture, BLUE).sum() > 500
    assert (picture == 255).all(axis=-1).mean() > 0.5


def test_the_same_twice():
    pictures = [draw([curve([0.9, 0.1])], ["a", "b"]) for _ in range(2)]
    assert np.array_equal(*pictures)


def test_a_higher_value_is_drawn_higher():
    rows = [
        np.nonzero(near(draw([curve([value] * 5, band=(NAN, NAN))], list("abcde")), BLUE)[:, 100:500])[0].mean()
        for value in (-0.8, 0.0, 0.8)
    ]
    assert rows[0] > rows[1] > rows[2]


def test_the_floor_is_a_band_in_the_color_of_its_curve():
    """Between the edges, all the way, and nowhere without them."""
    with_band, without = (draw([curve([0.9] * 5, band=band)], list("abcde")) for band in ((-0.2, 0.4), (NAN, NAN)))
    tinted = (with_band != without).any(axis=-1)
    rows, columns = np.nonzero(tinted)
    assert tinted[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].mean() > 0.9
    # 0.6 of an axis of 1.35.
    assert (rows.max() - rows.min()) / with_band.shape[0] == pytest.approx(0.6 / 1.35 * 0.75, abs=0.1)
    red, _, blue = with_band[tinted].astype(int).mean(axis=0)
    assert blue > red + 10


@pytest.mark.parametrize("n_steps", [1, 2, 30, 200])
@pytest.mark.parametrize("n_curves", [1, 9])
def test_any_number_of_steps_and_curves(n_steps, n_curves):
    names = [f"backbone.layer{index}.a_block_with_a_long_name.conv.weight" for index in range(n_steps)]
    curves = [curve([0.1 * index] * n_steps, f"method {index}") for index in range(n_curves)]
    picture = draw(curves, names)
    assert picture.shape[0] < 700
    assert 700 < picture.shape[1] < 1800


@pytest.mark.parametrize(
    "drawn",
    [
        curve([0.5, NAN, 0.1], spreads=[NAN, NAN, NAN]),
        curve([NAN, NAN, NAN], spreads=[NAN, NAN, NAN], band=(NAN, NAN)),
        curve([0.5, 0.4, 0.1], band=(NAN, 0.4)),
    ],
    ids=["some", "all", "band"],
)
def test_what_is_not_known_is_left_out(drawn):
    picture = draw([drawn], ["a", "b", "c"])
    assert picture.min() < 100


def test_no_curve_and_a_name_that_is_no_markup():
    assert draw([], ["a"]).ndim == 3
    assert draw([curve([0.5], name="cost $x")], ["$layer_{"], title="a $ title").ndim == 3


def test_no_global_state_and_no_window_system():
    code = (
        "import sys; from saliency_callbacks.rendering.curves import Curve, draw_curves; "
        "draw_curves([Curve('a', [0.5, 0.1], [0.1, 0.1], (0.0, 0.1))], ['x', 'y'], "
        "title='t', steps_label='s', values_label='v'); "
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
