import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.rendering import colormap as colors

HEAT = np.random.default_rng(0).random((2, 9, 7)).astype(np.float32)
PICTURES = np.random.default_rng(1).integers(0, 256, (2, 9, 7, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", ["turbo", "viridis", "coolwarm", "tab10"])
def test_apply_is_what_matplotlib_draws(name):
    heat = HEAT.copy()
    heat[0, 0, :3] = [0, 0.5, 1]
    expected = mpl.colormaps[name].resampled(256)(heat, bytes=True)[..., :3]
    drawn = colors.apply(heat, name)
    assert drawn.dtype == np.uint8
    assert np.array_equal(drawn, expected)


def test_apply_clips():
    assert np.array_equal(colors.apply(np.full((1, 1, 1), 7.0)), colors.apply(np.ones((1, 1, 1))))
    assert np.array_equal(colors.apply(np.full((1, 1, 1), -7.0)), colors.apply(np.zeros((1, 1, 1))))


def test_an_unknown_color_map_names_the_nearest():
    with pytest.raises(ConfigurationError, match=r"'tubro'.*'turbo'"):
        colors.apply(HEAT, "tubro")
    with pytest.raises(ConfigurationError, match=r"'tubro'.*'turbo'"):
        colors.overlay(PICTURES, HEAT, colormap="tubro")


def test_overlay_leaves_pixels_at_0_and_paints_the_map_maximum():
    heat = np.zeros((2, 9, 7))
    heat[:, 4, 3] = 1
    drawn = colors.overlay(PICTURES, heat, colormap="turbo", alpha=0.8)
    cold = heat == 0
    assert np.array_equal(drawn[cold], PICTURES[cold])
    top = np.array(mpl.colormaps["turbo"](1.0, bytes=True)[:3], dtype=float)
    assert np.abs(drawn[:, 4, 3] - (0.8 * top + 0.2 * PICTURES[:, 4, 3])).max() <= 1.5


_LINEAR_LUMA = np.array([0.2126, 0.7152, 0.0722])

# Machado et al. 2009, severity 1, for linear RGB.
_BLINDNESS = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
}


def _ramp(level, **given):
    """Return an overlay of all strengths of heat over one grey, ``[256, 3]``."""
    heat = np.linspace(0, 1, 256)[None, None]
    return colors.overlay(np.full((1, 1, 256, 3), level, np.uint8), heat, **given)[0, 0].astype(float)


@pytest.mark.parametrize("level", [0, 60, 128, 200, 255])
def test_the_default_overlay_grows_brighter_with_the_heat_over_any_picture(level):
    """In grayscale print."""
    grey = _ramp(level) @ _LINEAR_LUMA
    assert grey.argmax() >= 254
    assert (np.maximum.accumulate(grey) - grey).max() < 8, "hardly anything looks weaker than what is"
    assert grey[-1] - grey[0] > 80
    rainbow = _ramp(level, colormap="rainbow") @ _LINEAR_LUMA
    assert rainbow[-1] < rainbow.max() - 50, "the familiar look is darkest where it is strongest"


@pytest.mark.parametrize("kind", _BLINDNESS)
def test_the_default_overlay_is_told_from_grey_without_red_or_green(kind):
    linear = np.clip((_ramp(128) / 255) ** 2.2 @ np.array(_BLINDNESS[kind]).T, 0, 1)
    seen = 255 * linear ** (1 / 2.2)
    assert seen[0].max() - seen[0].min() < 5, "no heat is grey"
    chroma = seen.max(axis=1) - seen.min(axis=1)
    assert chroma[128] > 40
    assert chroma[-1] > 60


def test_opacity_grows_with_the_heat():
    visible = (_ramp(255, colormap="rainbow") - _ramp(0, colormap="rainbow"))[:, 0]
    assert visible[0] == 255
    assert (np.diff(visible) <= 1).all()
    assert visible[-1] == pytest.approx(255 * (1 - colors.DEFAULT_ALPHA), abs=2)


def test_the_ground_is_grey_as_pillow_makes_it():
    grey = [np.asarray(Image.fromarray(picture).convert("L", (0.2126, 0.7152, 0.0722, 0))) for picture in PICTURES]
    found = colors.ground(PICTURES)
    assert (found[..., 0] == found[..., 1]).all()
    assert (found[..., 0] == found[..., 2]).all()
    np.testing.assert_allclose(found[..., 0], 0.55 * np.stack(grey), atol=1.5)


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan")])
def test_an_opacity_outside_its_range_is_refused(alpha):
    with pytest.raises(ConfigurationError, match="alpha"):
        colors.overlay(PICTURES, HEAT, alpha=alpha)


def test_signed_is_white_at_zero_red_above_blue_below():
    drawn = colors.signed(np.array([[[-9.0, -1, 0, 1, 9]]]), np.array([2.0]))[0, 0].astype(int)
    assert drawn[2].tolist() == [255, 255, 255]
    assert drawn[4, 0] > drawn[4, 2] + 100
    assert drawn[0, 2] > drawn[0, 0] + 100
    assert drawn[3, 0] > drawn[3, 2] > drawn[4, 2]


def test_each_sample_has_its_own_scale_and_none_means_white():
    values = np.ones((3, 1, 1))
    full, half, none = colors.signed(values, np.array([1.0, 2.0, 0.0]))[:, 0, 0].tolist()
    assert full != half
    assert none == [255, 255, 255]


def test_signed_color_is_grey_at_zero_and_keeps_the_channels():
    values = np.zeros((1, 3, 1, 2))
    values[0, :, 0, 1] = [1, -1, 0]
    drawn = colors.signed_color(values, np.ones(1))
    assert drawn[0, 0].tolist() == [[128, 128, 128], [255, 1, 128]]


def test_signed_color_repeats_one_channel_and_sums_others():
    values = np.random.default_rng(0).normal(size=(2, 5, 4, 3))
    one = colors.signed_color(values[:, :1], np.ones(2))
    assert one.shape == (2, 4, 3, 3)
    assert (one[..., 0] == one[..., 2]).all()
    assert np.array_equal(colors.signed_color(values, np.ones(2)), colors.signed(values.sum(1), np.ones(2)))


def test_greyscale_runs_from_black_to_white():
    assert colors.greyscale(np.array([[[0, 0.5, 1]]]))[0, 0, :, 1].tolist() == [0, 128, 255]


def test_the_ground_is_the_luma_of_every_color():
    levels = (0, 1, 2, 127, 128, 254, 255)
    every = [(red, green, blue) for red in levels for green in levels for blue in levels]
    found = colors.ground(np.array(every, dtype=np.uint8)[None, None])
    expected = [(30 * red + 101 * green + 10 * blue) // 256 for red, green, blue in every]
    assert found[0, 0].tolist() == [[grey] * 3 for grey in expected]


def test_what_is_not_finite_never_reaches_a_picture():
    odd = np.array([[[np.nan, np.inf, -np.inf, 0.0]]])
    grey = np.full((1, 1, 4, 3), 90, np.uint8)
    assert colors.greyscale(odd)[0, 0, :, 0].tolist() == [0, 255, 0, 0]
    assert (colors.overlay(grey, odd, colormap="rainbow")[0, 0, [0, 2, 3]] == 90).all()
    assert (colors.signed(odd, np.ones(1))[0, 0, 0] == 255).all()
    assert (colors.signed(odd, np.array([np.nan])) == 255).all()
    assert colors.signed_color(odd[:, None], np.ones(1))[0, 0, :, 0].tolist() == [128, 255, 1, 128]
