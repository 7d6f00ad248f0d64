import numpy as np
import pytest
from PIL import Image

from saliency_callbacks.errors import InputError
from saliency_callbacks.rendering.tiles import check_pictures, fit, tile_limit


def noise(height, width, count=2):
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(("side", "enlarged"), [(8, 112), (28, 112), (32, 128), (64, 128), (112, 112), (200, 200)])
def test_small_pictures_become_exact_blocks(side, enlarged):
    pictures = noise(side, side)
    tiles = fit(pictures, smallest=112, largest=256)
    expected = [Image.fromarray(one).resize((enlarged, enlarged), Image.Resampling.NEAREST) for one in pictures]
    assert np.array_equal(tiles, np.stack(expected))


@pytest.mark.parametrize("shape", [(512, 512), (300, 1200), (1200, 300), (3000, 2000)])
def test_large_pictures_are_reduced_and_keep_their_aspect(shape):
    _, height, width, _ = fit(noise(*shape), smallest=112, largest=224).shape
    assert height * width <= 224**2 * 1.02
    assert width / height == pytest.approx(shape[1] / shape[0], rel=0.02)


@pytest.mark.parametrize("shape", [(1, 784), (784, 1), (1, 1), (1, 100_000), (2, 3)])
def test_strips_stay_visible_and_bounded(shape):
    _, height, width, _ = fit(noise(*shape), smallest=112, largest=256).shape
    assert max(height, width) <= 768
    assert min(height, width) >= 20


def test_reducing_averages():
    checker = (np.indices((300, 300)).sum(0) % 2 * 255).astype(np.uint8)[None, ..., None].repeat(3, axis=-1)
    assert fit(checker, smallest=10, largest=150).shape == (1, 150, 150, 3)
    assert np.abs(fit(checker, smallest=10, largest=150).astype(int) - 127).max() <= 1


def test_tiles_shrink_as_their_number_grows():
    limits = [tile_limit(count, budget=1_000_000, smallest=100, largest=250) for count in (0, 1, 50, 1000)]
    assert limits == [250, 250, 141, 100]


@pytest.mark.parametrize(
    "odd", [np.zeros((1, 2, 2, 3)), np.zeros((2, 2, 3), np.uint8), np.zeros((0, 2, 2, 3), np.uint8)]
)
def test_only_batches_of_rgb_are_pictures(odd):
    with pytest.raises(InputError, match=r"thing is .*uint8 \[N, H, W, 3\]"):
        check_pictures(odd, "thing")
