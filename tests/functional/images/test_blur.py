"""Blur against SciPy, and the bands of detail that add up."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.functional.images.blur import detail_bands, gaussian_blur


@pytest.mark.parametrize("sigma", [0.2, 0.7, 1, 2, 4])
@pytest.mark.parametrize("shape", [(2, 1, 17, 23), (1, 3, 4, 4), (1, 5, 1, 6)])
def test_blur_is_that_of_scipy(shape: tuple[int, ...], sigma: float) -> None:
    images = torch.rand(shape, dtype=torch.double)
    reach = max(1, round(3 * sigma))
    expected = [
        [gaussian_filter(plane, sigma, mode="nearest", radius=reach) for plane in image] for image in images.numpy()
    ]
    np.testing.assert_allclose(gaussian_blur(images, sigma).numpy(), np.array(expected), atol=1e-12)


def test_bands_add_up_to_what_was_blurred_away() -> None:
    images = torch.rand(2, 3, 9, 11, dtype=torch.double)
    bands = list(detail_bands(images, (0, 1, 2, 4)))
    torch.testing.assert_close(sum(bands), images - gaussian_blur(images, 4))
    torch.testing.assert_close(bands[1], gaussian_blur(images, 1) - gaussian_blur(images, 2))


def test_no_blur_is_the_images() -> None:
    images = torch.rand(1, 1, 3, 3)
    assert torch.equal(gaussian_blur(images, 0), images)


@pytest.mark.parametrize("sigma", [-1, float("nan")])
def test_what_is_no_standard_deviation(sigma: float) -> None:
    with pytest.raises(ConfigurationError, match="give a standard deviation in pixels"):
        gaussian_blur(torch.rand(1, 1, 3, 3), sigma)
