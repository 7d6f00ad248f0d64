"""Noise with the spectrum that some images have more of than others."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import welch
from torch import Tensor

from saliency_callbacks.functional.images.spectrum import noise_like, tiled
from tests.discovery.images.cases import scenery


def _found(more: Tensor, less: Tensor) -> Tensor | None:
    return noise_like(more, less, torch.Generator().manual_seed(0))


def _images(seed: int, size: tuple[int, int] = (32, 32)) -> Tensor:
    return 0.25 + 0.5 * scenery(80, 3, size, seed)


@pytest.mark.parametrize("size", [(32, 32), (48, 33), (100, 80)], ids=str)
def test_of_a_grating_it_is_the_grating(size: tuple[int, int]) -> None:
    rows, columns = torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing="ij")
    grating = 0.08 * torch.sin((rows + columns) * 2.1)
    found = _found(_images(0, size) + grating, _images(1, size))
    assert found is not None
    assert found.shape == (3, min(64, size[0]), min(64, size[1]))
    assert float(found.mean().abs()) < 1e-6
    assert float(found.std()) == pytest.approx(float(grating.std()), rel=0.15)
    frequencies, power = welch(found[0].numpy(), axis=1, nperseg=32)
    assert frequencies[power.mean(axis=0).argmax()] == pytest.approx(2.1 / (2 * np.pi), abs=1 / 32)


@pytest.mark.parametrize("deviation", [0.03, 0.06])
def test_of_white_noise_it_has_the_strength_in_what_is_fine(deviation: float) -> None:
    noise = deviation * torch.randn(80, 3, 32, 32)
    found = _found(_images(0) + noise, _images(1))
    assert found is not None
    # Three quarters of all waves have a quarter of a cycle per pixel or more in one direction.
    assert float(found.std()) == pytest.approx(deviation * 0.75**0.5, rel=0.15)
    assert float(torch.corrcoef(found.flatten(1)).tril(-1).abs().max()) < 0.35


@pytest.mark.parametrize("signs", [(1, 1, 1), (1, -1, 0)], ids=str)
def test_channels_go_together_as_they_do_in_the_images(signs: tuple[int, ...]) -> None:
    grating = 0.08 * torch.sin(2.1 * (torch.arange(32)[:, None] + torch.arange(32)))
    found = _found(_images(0) + torch.tensor(signs)[:, None, None] * grating, _images(1))
    assert found is not None
    assert float(torch.corrcoef(found[:2].flatten(1))[0, 1]) == pytest.approx(signs[1], abs=0.05)
    assert float(found[0].std()) == pytest.approx(float(grating.std()), rel=0.15)


def test_a_texture_in_a_corner_of_large_images_is_seen() -> None:
    images = _images(0, (160, 160))
    images[:, :, 80:, 80:] += 0.08 * torch.sin(2.1 * (torch.arange(80)[:, None] + torch.arange(80)))
    assert _found(images, _images(1, (160, 160))) is not None


def test_images_that_are_alike_have_none() -> None:
    assert _found(_images(0), _images(1)) is None
    assert _found(_images(0), _images(1) + 0.1 * torch.randn(80, 3, 32, 32)) is None


def test_what_is_coarse_is_no_noise() -> None:
    waves = 0.1 * torch.sin(torch.arange(32) * 2 * torch.pi / 16)
    assert _found(_images(0) + waves, _images(1)) is None


def test_tiles_have_no_seam() -> None:
    rows = torch.arange(96)
    grating = (0.1 * torch.cos(torch.pi * rows))[:, None].expand(96, 96)
    found = _found(_images(0, (96, 96)) + grating, _images(1, (96, 96)))
    assert found is not None
    over = tiled(found, 96, 96)
    assert over.shape == (3, 96, 96)
    steps = over.diff(dim=1).abs().mean(dim=(0, 2))
    assert float(steps[63]) == pytest.approx(float(steps.median()), rel=0.1)
