"""Images as they would be in another size or aspect ratio, against scikit-image and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from skimage.transform import resize

from saliency_callbacks.functional.images.resampling import through_smaller, widened


@pytest.mark.parametrize("factor", [1.0, 1.5, 7.0])
def test_nothing_makes_up_lost_detail(factor: float) -> None:
    images = torch.rand(2, 3, 9, 7)
    assert torch.equal(through_smaller(images, factor), images)


def test_through_half_the_size_only_fine_detail_is_lost() -> None:
    image = np.random.default_rng(0).random((16, 16))
    smooth = gaussian_filter(image, 4)
    expected = resize(resize(smooth, (8, 8), order=1, anti_aliasing=True), (16, 16), order=1, mode="edge")
    found = through_smaller(torch.from_numpy(smooth)[None, None], 0.5)[0, 0].numpy()
    # The two libraries blur differently before they shrink.
    np.testing.assert_allclose(found, expected, atol=0.01)
    checkers = (torch.arange(8)[:, None] + torch.arange(8)) % 2
    assert (through_smaller(checkers[None, None].float(), 0.25)[..., 2:-2, 2:-2] - 0.5).abs().max() < 0.05


@pytest.mark.parametrize("factor", [4.0, 0.25])
def test_a_square_becomes_wider_and_lower(factor: float) -> None:
    images = torch.zeros(1, 1, 32, 32)
    images[..., 12:20, 12:20] = 1
    found = widened(images, factor)[0, 0] > 0.5
    height, width = int(found.any(dim=1).sum()), int(found.any(dim=0).sum())
    assert width / height == pytest.approx(factor, rel=0.15)
    assert height * width == pytest.approx(64, rel=0.15)


def test_the_same_aspect_ratio_changes_nothing() -> None:
    images = torch.rand(2, 3, 9, 7)
    assert torch.allclose(widened(images, 1.0), images, atol=1e-6)
