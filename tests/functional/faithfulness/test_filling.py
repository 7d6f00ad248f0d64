"""What takes the place of removed positions, against other libraries."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pytorch_grad_cam.metrics.road import NoisyLinearImputer
from scipy.ndimage import gaussian_filter
from torch import Tensor

from saliency_callbacks.functional.faithfulness.filling import blurred, inpainted
from saliency_callbacks.functional.images.blur import gaussian_blur

_SIZES = [(20,), (13, 18), (6, 9, 10)]


def _smooth(size: tuple[int, ...]) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return gaussian_blur(torch.rand(2, 3, *size, generator=generator, dtype=torch.float64), 2)


def _missing(size: tuple[int, ...], share: float) -> Tensor:
    return torch.rand(2, *size, generator=torch.Generator().manual_seed(1)) < share


@pytest.mark.parametrize("size", _SIZES)
def test_known_positions_keep_their_bits_and_missing_ones_are_as_their_surroundings(size: tuple[int, ...]) -> None:
    samples, missing = _smooth(size), _missing(size, 0.5)
    found = inpainted(samples, missing)
    known = ~missing[:, None].expand_as(samples)
    assert torch.equal(found[known], samples[known])
    spread = (samples - samples.mean()).square().mean().sqrt()
    assert float((found - samples).square().mean().sqrt()) < 0.5 * float(spread)


@pytest.mark.parametrize("size", _SIZES)
def test_what_is_missing_tells_nothing(size: tuple[int, ...]) -> None:
    samples, missing = _smooth(size), _missing(size, 0.3)
    others = torch.where(missing[:, None], torch.full_like(samples, 0.0), samples)
    # All but the mean, which takes the place of what nothing is left of.
    torch.testing.assert_close(inpainted(samples, missing), inpainted(others, missing))


@pytest.mark.parametrize("size", _SIZES)
def test_a_flat_sample_stays_flat(size: tuple[int, ...]) -> None:
    flat = torch.full((2, 3, *size), 0.3, dtype=torch.float64)
    torch.testing.assert_close(inpainted(flat, _missing(size, 0.8)), flat)


def test_where_nothing_is_left_there_is_the_mean() -> None:
    samples = _smooth((9, 9))
    found = inpainted(samples, torch.ones(2, 9, 9, dtype=torch.bool))
    torch.testing.assert_close(found, samples.mean(dim=(2, 3), keepdim=True).expand_as(samples))


@pytest.mark.filterwarnings("ignore:__array_wrap__ must accept")  # NumPy's functions on a tensor, in that library
@pytest.mark.parametrize("share", [0.25, 0.75])
def test_scattered_pixels_come_out_as_those_of_road(share: float) -> None:
    """ROAD solves for every missing pixel as the mean of its neighbors; this only comes close to it."""
    samples = _smooth((24, 24)).float()
    missing = _missing((24, 24), share)
    road = NoisyLinearImputer(noise=0.0)
    for sample, mask, mine in zip(samples, missing, inpainted(samples, missing), strict=True):
        theirs = torch.as_tensor(road(sample, (~mask).float()))[:, mask]
        error = (mine[:, mask] - theirs).abs().mean()
        assert error < 0.35 * (theirs - theirs.mean()).abs().mean()
        assert torch.stack([mine[:, mask].flatten(), theirs.flatten()]).corrcoef()[0, 1] > 0.9


@pytest.mark.parametrize("size", [(30,), (20, 40), (10, 20, 20)])
def test_the_blur_is_that_of_scipy(size: tuple[int, ...]) -> None:
    samples = _smooth(size)
    expected = [
        [gaussian_filter(channel, [length / 10 for length in size], mode="nearest", truncate=3.0) for channel in sample]
        for sample in samples.numpy()
    ]
    np.testing.assert_allclose(blurred(samples).numpy(), np.array(expected), atol=2e-3)
