import numpy as np
import pytest
from scipy import ndimage

from saliency_callbacks.errors import ConfigurationError, InputError
from saliency_callbacks.rendering.contour import draw_contour, top_region
from saliency_callbacks.rendering.panel import Caption, panel


def bump(height, width, center):
    rows, columns = np.indices((height, width))
    return np.exp(-((rows - center[0]) ** 2 + (columns - center[1]) ** 2) / (0.05 * height * width)).astype(np.float32)


@pytest.mark.parametrize("shape", [(8, 8), (28, 28), (224, 224), (100, 300)])
@pytest.mark.parametrize("share", [0.05, 0.1, 0.5])
def test_the_region_has_the_size_that_was_asked_for_and_lies_on_the_peak(shape, share):
    center = (0.4 * shape[0], 0.6 * shape[1])
    (region,) = top_region(bump(*shape, center)[None], share)
    ties = 8  # of equal distance from the center
    assert abs(region.sum() - share * region.size) <= max(ties, 0.01 * region.size)
    if share < 0.5:
        assert ndimage.center_of_mass(region) == pytest.approx(center, abs=0.07 * max(shape))
    assert ndimage.label(region)[1] == 1


def test_single_pixels_of_a_small_map_are_compared_as_they_are():
    heat = np.random.default_rng(0).random((3, 8, 8), dtype=np.float32)
    region = top_region(heat, 0.25)
    threshold = np.sort(heat.reshape(3, -1), axis=1)[:, -16]
    assert np.array_equal(region, heat >= threshold[:, None, None])


def test_noise_of_a_large_map_is_no_thousand_regions():
    noise = np.random.default_rng(0).random((1, 224, 224), dtype=np.float32) * (0.2 + bump(224, 224, (100, 100)))
    (region,) = top_region(noise, 0.1)
    assert ndimage.label(region)[1] <= 5
    assert region.mean() == pytest.approx(0.1, abs=0.005)


def test_a_constant_map_has_no_region_and_a_nearly_empty_one_its_peaks():
    assert not top_region(np.ones((2, 8, 8), np.float32), 0.1).any()
    heat = np.zeros((1, 8, 8), np.float32)
    heat[0, 3, 4] = 1
    assert np.argwhere(top_region(heat, 0.2)).tolist() == [[0, 3, 4]]


@pytest.mark.parametrize("level", [0, 255])
def test_the_line_is_one_pixel_of_light_inside_and_one_of_dark_outside(level):
    region = np.zeros((1, 8, 8), dtype=bool)
    region[0, 2:4, 3:6] = True
    tiles = np.full((1, 80, 80, 3), level, np.uint8)
    drawn = draw_contour(tiles, region)
    inside = np.zeros((80, 80), dtype=bool)
    inside[20:40, 30:60] = True
    inner = inside & ~ndimage.binary_erosion(inside)
    outer = ndimage.binary_dilation(inside) & ~inside
    expected = tiles[0].copy()
    expected[inner], expected[outer] = 255, 0
    assert np.array_equal(drawn[0], expected)
    assert (tiles == level).all(), "what was given stays"


def test_the_edge_of_the_picture_is_no_outline():
    region = np.zeros((1, 4, 4), dtype=bool)
    region[0, :, :2] = True
    drawn = draw_contour(np.full((1, 40, 40, 3), 128, np.uint8), region)
    assert (drawn[0, :, :19] == 128).all()
    assert (drawn[0, :, 19] == 255).all()
    assert (drawn[0, :, 20] == 0).all()


def test_a_panel_outlines_its_maps_and_not_its_inputs():
    pictures = np.full((1, 8, 8, 3), 90, np.uint8)
    region = np.zeros((1, 8, 8), dtype=bool)
    region[0, 2:4, 3:6] = True
    plain, outlined = (
        panel(pictures, pictures, [Caption("a")], title="t", regions=regions) for regions in (None, region)
    )
    rows, columns = np.nonzero((plain != outlined).any(-1))
    side = 112
    assert (rows.max() - rows.min() + 1, columns.max() - columns.min() + 1) == (2 * side // 8 + 2, 3 * side // 8 + 2)
    left = 12 + 3 + side + 2
    assert columns.min() == left + 3 * side // 8 - 1


@pytest.mark.parametrize("share", [0, 1, 1.5, -0.1, True, "0.1"])
def test_what_is_no_share_is_refused(share):
    with pytest.raises(ConfigurationError, match="contour="):
        top_region(np.zeros((1, 8, 8), np.float32), share)


def test_a_region_for_each_picture():
    with pytest.raises(InputError, match="1 regions for 2 pictures"):
        draw_contour(np.zeros((2, 8, 8, 3), np.uint8), np.zeros((1, 8, 8), dtype=bool))
