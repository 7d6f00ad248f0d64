"""Images as if they had been stored in another size or aspect ratio, against bars whose size is known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from saliency_callbacks.discovery.images.resampling import through_smaller, widened


def _bar(height: int, width: int) -> Tensor:
    """Return a bright bar in the middle of a dark image of 32×32."""
    image = torch.zeros(1, 1, 32, 32)
    image[:, :, 16 - height // 2 : 16 + height // 2, 16 - width // 2 : 16 + width // 2] = 1
    return image


@pytest.mark.parametrize("factor", [1.0, 1.5, 9.0])
def test_nothing_makes_up_lost_detail(factor: float) -> None:
    images = torch.rand(2, 3, 7, 9)
    assert torch.equal(through_smaller(images, factor), images)


@pytest.mark.parametrize("factor", [0.9, 0.5, 0.1, 0.001])
def test_detail_is_lost_and_brightness_is_kept(factor: float) -> None:
    images = torch.rand(2, 3, 16, 24)
    smaller = through_smaller(images, factor)
    assert smaller.shape == images.shape
    assert (smaller.flatten(1).var(dim=1) < images.flatten(1).var(dim=1)).all()
    torch.testing.assert_close(smaller.mean(), images.mean(), atol=0.03, rtol=0)
    torch.testing.assert_close(through_smaller(torch.full_like(images, 0.3), factor), torch.full_like(images, 0.3))


@pytest.mark.parametrize(("factor", "expected"), [(4.0, (4, 16)), (0.25, (16, 4)), (1.0, (8, 8))])
def test_width_grows_as_height_shrinks(factor: float, expected: tuple[int, int]) -> None:
    found = widened(_bar(8, 8), factor)
    assert float(found.sum()) == pytest.approx(64, abs=4), "the area stays"
    assert float(found[0, 0, 15].sum()) == pytest.approx(expected[1], abs=0.1)
    assert float(found[0, 0, :, 15].sum()) == pytest.approx(expected[0], abs=0.1)


def test_what_is_outside_repeats_the_edge() -> None:
    image = torch.zeros(1, 1, 8, 8)
    image[:, :, 0] = 1
    found = widened(image, 4.0)
    assert (found[0, 0, :2] == 1).all(), "lower by half, so that a quarter is filled above"
    assert (found[0, 0, 4:] == 0).all()
