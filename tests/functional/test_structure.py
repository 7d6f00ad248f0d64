"""SSIM and HOG against scikit-image, the clip against NumPy, and the laws they obey."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.feature
import skimage.metrics
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from saliency_callbacks import functional
from saliency_callbacks.errors import ConfigurationError

SIMILARITIES = [functional.ssim, functional.hog_similarity]

# Whole numbers make ties and maps that are constant once clipped likely.
maps = arrays(np.float64, st.tuples(st.just(2), st.integers(3, 9), st.integers(3, 9)), elements=st.integers(-3, 3))


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def clipped(values: np.ndarray) -> np.ndarray:
    low, high = np.percentile(values, [1, 99], method="inverted_cdf")
    return (np.clip(values, low, high) - low) / (high - low)


def expected_ssim(a: torch.Tensor, b: torch.Tensor, window: int) -> list[float]:
    return [
        skimage.metrics.structural_similarity(clipped(x), clipped(y), win_size=window, data_range=1.0)
        for x, y in zip(a.numpy(), b.numpy(), strict=True)
    ]


def expected_hog(values: np.ndarray, orientations: int = 9, cell: int = 8, block: int = 3) -> np.ndarray:
    return skimage.feature.hog(
        values,
        orientations=orientations,
        pixels_per_cell=(cell, cell),
        cells_per_block=(block, block),
        block_norm="L2-Hys",
        feature_vector=True,
    )


@pytest.mark.parametrize("spatial", [(7,), (20, 30), (5, 6, 7), (1, 1000)])
def test_clip_and_scale_is_numpys_percentiles(spatial):
    values = noise(3, *spatial) ** 3
    result = functional.clip_and_scale(values.float())
    assert result.dtype == torch.float64
    np.testing.assert_allclose(result.numpy(), [clipped(x) for x in values.float().double().numpy()], atol=1e-12)


def test_clip_and_scale_of_a_scaled_map_changes_nothing():
    scaled = functional.clip_and_scale(noise(3, 20, 20))
    assert torch.equal(functional.clip_and_scale(scaled), scaled)


@pytest.mark.parametrize("window", [3, 5, 7, 11])
@pytest.mark.parametrize("spatial", [(40,), (11, 11), (24, 31), (11, 12, 13)])
def test_ssim_is_scikit_images(spatial, window):
    a = noise(3, *spatial)
    b = a + noise(3, *spatial, seed=1)
    result = functional.ssim(a, b, window=window).numpy()
    np.testing.assert_allclose(result, expected_ssim(a, b, window), atol=1e-12)


def test_ssim_has_a_window_of_seven_by_default():
    a, b = noise(2, 16, 16), noise(2, 16, 16, seed=1)
    np.testing.assert_allclose(functional.ssim(a, b).numpy(), expected_ssim(a, b, 7), atol=1e-12)


@pytest.mark.parametrize(("spatial", "window"), [((3, 9), 3), ((4, 4), 3), ((5, 6), 5), ((6, 20), 5), ((7, 7), 7)])
def test_the_window_shrinks_to_the_largest_odd_side_that_fits(spatial, window):
    a, b = noise(2, *spatial), noise(2, *spatial, seed=1)
    np.testing.assert_allclose(functional.ssim(a, b).numpy(), expected_ssim(a, b, window), atol=1e-12)


@given(maps)
def test_ssim_laws(values):
    a = torch.from_numpy(values)
    b = a.roll(1, dims=1)
    with np.errstate(invalid="ignore"):
        shown = np.array([not np.isnan(clipped(x)).any() for x in values])
    assert functional.ssim(a, a).isnan().tolist() == (~shown).tolist()
    assert functional.ssim(a, a)[shown].tolist() == [1.0] * shown.sum()
    torch.testing.assert_close(functional.ssim(a, b), functional.ssim(b, a), equal_nan=True)
    torch.testing.assert_close(functional.ssim(3 * a + 5, b / 7), functional.ssim(a, b), equal_nan=True)


@pytest.mark.parametrize("spatial", [(2,), (2, 50), (50, 1), (9, 2, 9)])
def test_a_side_below_three_has_no_structure(spatial):
    maps_ = noise(2, *spatial)
    assert functional.ssim(maps_, maps_).isnan().all()


@pytest.mark.parametrize("window", [-1, 0, 1, 2, 8])
def test_a_window_without_a_centre_or_neighbors_is_refused(window):
    with pytest.raises(ConfigurationError, match=f"window={window} .*odd"):
        functional.ssim(noise(1, 9, 9), noise(1, 9, 9), window=window)


@pytest.mark.parametrize("spatial", [(), (4, 4, 4, 4)])
def test_ssim_of_another_number_of_dimensions_is_refused(spatial):
    with pytest.raises(ConfigurationError, match="1 to 3 spatial dimensions"):
        functional.ssim(noise(2, *spatial), noise(2, *spatial))


@pytest.mark.parametrize(
    ("spatial", "orientations", "cell", "block"),
    [
        ((48, 48), 9, 8, 3),
        ((51, 70), 9, 8, 3),
        ((24, 24), 9, 8, 3),
        ((64, 48), 7, 5, 2),
        ((20, 33), 4, 6, 1),
        ((9, 9), 1, 1, 4),
    ],
)
@pytest.mark.parametrize("scale", [1, 1e-4, 1e4])
def test_hog_is_scikit_images(spatial, orientations, cell, block, scale):
    values = noise(3, *spatial) * scale
    result = functional.hog(values, orientations=orientations, pixels_per_cell=cell, cells_per_block=block)
    expected = [expected_hog(x, orientations, cell, block) for x in values.numpy()]
    assert result.dtype == torch.float64
    # scikit-image sums a cell in single precision.
    np.testing.assert_allclose(result.numpy(), expected, atol=3e-7)


def test_hog_has_scikit_images_defaults():
    values = noise(1, 40, 40)
    np.testing.assert_allclose(functional.hog(values)[0].numpy(), expected_hog(values[0].numpy()), atol=3e-7)


@pytest.mark.parametrize(
    "picture",
    [
        lambda row, column: row,
        lambda row, column: -row,
        lambda row, column: column,
        lambda row, column: -column,
        lambda row, column: row + column,
        lambda row, column: row - column,
        lambda row, column: (row > 20) & (column > 20),
        lambda row, column: 0 * row,
    ],
)
def test_hog_of_straight_edges(picture):
    values = picture(*np.mgrid[:48, :48]).astype(np.float64)
    result = functional.hog(torch.from_numpy(values)[None])[0].numpy()
    np.testing.assert_allclose(result, expected_hog(values), atol=3e-7)


def test_hog_of_single_precision_is_computed_in_double():
    values = noise(2, 48, 48).float()
    assert torch.equal(functional.hog(values), functional.hog(values.double()))


def test_hog_of_a_map_smaller_than_a_block_is_refused():
    with pytest.raises(ConfigurationError, match=r"\(24, 23\).*24"):
        functional.hog(noise(1, 24, 23))


@pytest.mark.parametrize("name", ["orientations", "pixels_per_cell", "cells_per_block"])
def test_hog_of_nothing_is_refused(name):
    with pytest.raises(ConfigurationError, match=f"{name}=0"):
        functional.hog(noise(1, 48, 48), **{name: 0})


@pytest.mark.parametrize("spatial", [(60,), (60, 60, 60)])
def test_hog_is_for_pictures(spatial):
    values = noise(1, *spatial)
    with pytest.raises(ConfigurationError, match="two-dimensional"):
        functional.hog(values)
    with pytest.raises(ConfigurationError, match="two-dimensional"):
        functional.hog_similarity(values, values)


@pytest.mark.parametrize("spatial", [(48, 48), (50, 71)])
@pytest.mark.parametrize("scale", [1, 1e-12])
def test_hog_similarity_is_the_correlation_of_scikit_images_features(spatial, scale):
    a = noise(3, *spatial).cumsum(1)
    b = a + 5 * noise(3, *spatial, seed=1)
    result = functional.hog_similarity(a * scale, b * scale).numpy()
    expected = [
        np.corrcoef(expected_hog(clipped(x)), expected_hog(clipped(y)))[0, 1]
        for x, y in zip(a.numpy(), b.numpy(), strict=True)
    ]
    np.testing.assert_allclose(result, expected, atol=1e-6)


@settings(max_examples=20)
@given(st.integers(0, 1000), st.sampled_from([1e-6, 1.0, 1e6]), st.floats(-5, 5))
def test_hog_similarity_laws(seed, scale, offset):
    a, b = noise(2, 48, 52, seed=seed), noise(2, 48, 52, seed=seed + 1)
    np.testing.assert_allclose(functional.hog_similarity(a, a).numpy(), 1, atol=1e-12)
    # A reversed map has the same edges: a direction has no sign.
    np.testing.assert_allclose(functional.hog_similarity(a, -a).numpy(), 1, atol=1e-3)
    straight = functional.hog_similarity(a, b)
    torch.testing.assert_close(functional.hog_similarity(b, a), straight)
    torch.testing.assert_close(functional.hog_similarity(scale * (a + offset), b), straight, rtol=0, atol=1e-6)


@pytest.mark.parametrize("spatial", [(47, 60), (60, 47), (8, 8)])
def test_hog_similarity_of_small_maps_is_unknown(spatial):
    values = noise(2, *spatial)
    assert functional.hog_similarity(values, values).isnan().all()


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("bad", ["zero", "constant", "constant once clipped", "nan", "inf", "-inf"])
def test_a_map_that_shows_nothing_is_similar_to_nothing(similarity, bad):
    good = noise(3, 50, 50)
    broken = good.clone()
    if bad in {"zero", "constant", "constant once clipped"}:
        broken[1] = 0.1 if bad == "constant" else 0.0
        broken[1, 0, :2] += bad == "constant once clipped"
    else:
        broken[1, 3, 4] = float(bad)
    for result in (similarity(good, broken), similarity(broken, good), similarity(broken, broken)):
        assert result.isnan().tolist() == [False, True, False]
        np.testing.assert_allclose(result[[0, 2]].numpy(), 1, rtol=1e-12)


@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_samples_do_not_interact(similarity):
    a, b = noise(5, 49, 50), noise(5, 49, 50, seed=1)
    a[2] = torch.nan
    together = similarity(a, b)
    alone = torch.cat([similarity(a[[row]], b[[row]]) for row in range(5)])
    torch.testing.assert_close(together, alone, equal_nan=True)
    assert similarity(a[:0], b[:0]).shape == (0,)


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("side", [2, 50])
@pytest.mark.parametrize(
    ("given_dtype", "dtype"),
    [(torch.bfloat16, torch.float32), (torch.float16, torch.float32), (torch.float64, torch.float64)],
)
def test_similarity_has_at_least_single_precision(similarity, side, given_dtype, dtype):
    values = noise(2, side, side).to(given_dtype)
    assert similarity(values, values).dtype == dtype


@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_shapes_that_differ_are_refused(similarity):
    with pytest.raises(ConfigurationError, match=r"\(2, 50, 50\).*\(2, 50, 49\)"):
        similarity(noise(2, 50, 50), noise(2, 50, 49))
