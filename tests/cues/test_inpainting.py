"""What is painted over a region comes from its surroundings, and nothing else is changed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_dilation

from saliency_callbacks.cues.inpainting import remove
from saliency_callbacks.errors import CueError
from saliency_callbacks.probe import PatchCue

IMAGES = torch.rand(3, 2, 9, 12, generator=torch.Generator().manual_seed(0))
MASKS = torch.zeros(3, 9, 12, dtype=torch.bool)
MASKS[0, 3:5, 4:7] = True
MASKS[1, 7:, 10:] = True


def ring(mask: np.ndarray) -> np.ndarray:
    return binary_dilation(mask, np.ones((3,) * mask.ndim), iterations=2) & ~mask


def test_the_local_mean_is_that_of_the_ring():
    found = remove(IMAGES, MASKS)
    for sample in (0, 1):
        around = ring(MASKS[sample].numpy())
        for channel in (0, 1):
            painted = found[sample, channel][MASKS[sample]].numpy()
            np.testing.assert_allclose(painted, IMAGES[sample, channel].numpy()[around].mean(), rtol=1e-5)


@pytest.mark.parametrize("fill", ["local_mean", "noise"])
def test_the_rest_keeps_its_bits(fill):
    before = IMAGES.clone()
    found = remove(IMAGES, MASKS, fill=fill)
    outside = ~MASKS[:, None].expand_as(IMAGES)
    assert torch.equal(found[outside], IMAGES[outside])
    assert torch.equal(found[2], IMAGES[2]), "nothing to remove"
    assert torch.equal(IMAGES, before)
    assert found.amin() >= 0
    assert found.amax() <= 1


def test_the_noise_is_as_strong_as_the_surroundings_and_repeats():
    images = 0.5 + 0.1 * torch.randn(1, 1, 60, 60, generator=torch.Generator().manual_seed(0)).clamp(-3, 3)
    masks = torch.zeros(1, 60, 60, dtype=torch.bool)
    masks[:, 10:50, 10:50] = True
    state = torch.get_rng_state()
    found = remove(images, masks, fill="noise", seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    around = images[0, 0].numpy()[ring(masks[0].numpy())]
    painted = found[0, 0][masks[0]]
    assert painted.mean().item() == pytest.approx(around.mean(), abs=0.01)
    assert painted.std().item() == pytest.approx(around.std(), rel=0.05)
    assert torch.equal(found, remove(images, masks, fill="noise", seed=3))
    assert not torch.equal(found, remove(images, masks, fill="noise", seed=4))


@pytest.mark.parametrize("spatial", [(9,), (9, 9), (7, 8, 9)])
def test_a_cue_on_a_flat_image_is_removed_without_a_trace(spatial):
    images, masks = torch.full((2, 3, *spatial), 0.25), torch.zeros(2, *spatial)
    masks[(slice(None), *[slice(2, 4)] * len(spatial))] = 1.0
    cued = torch.where(masks[:, None] > 0, 1.0, images)
    for fill in ("local_mean", "noise"):
        torch.testing.assert_close(remove(cued, masks, fill=fill), images)


def test_removal_undoes_a_patch():
    images = torch.full((1, 1, 8, 8), 0.5)
    cue = PatchCue((-2, -2, 2, 2))
    torch.testing.assert_close(remove(cue.insert(images), cue.mask(images)), images)


@pytest.mark.parametrize(
    ("masks", "fill", "message"),
    [
        (MASKS[:2], "local_mean", r"\[2, 9, 12\].*\[3, 2, 9, 12\]; expected masks \[3, 9, 12\]"),
        (MASKS[:, None], "local_mean", r"squeeze\(1\)"),
        (MASKS, "mean", "fill='mean'.*'local_mean'"),
        (MASKS | (torch.arange(3) == 1).view(3, 1, 1), "noise", "sample 1 covers its whole image"),
    ],
)
def test_what_is_refused(masks, fill, message):
    with pytest.raises(CueError, match=message):
        remove(IMAGES, masks, fill=fill)
