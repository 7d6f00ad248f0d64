"""Windows that are proposed, images that are matched reduced and in full, and how a window grows to its cue."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from saliency_callbacks.discovery.images.matching import Matcher
from saliency_callbacks.discovery.images.regions import Region, grow
from saliency_callbacks.discovery.images.windows import (
    Windows,
    likely_windows,
    neighbors,
    promise,
    sensitivity,
    window_sizes,
)


def _proposed(images: Tensor, looked_at: Tensor, members: Tensor, seed: int = 0) -> list[Windows]:
    return [*likely_windows(promise(images, looked_at), members, torch.Generator().manual_seed(seed))]


@pytest.mark.parametrize(
    ("size", "sides"), [((32, 32), (4, 6, 8)), ((224, 48), (6, 9, 12)), ((8, 9), (2,)), ((4, 4), (2,))]
)
def test_sides_are_shares_of_the_shorter_one(size: tuple[int, int], sides: tuple[int, ...]) -> None:
    assert window_sizes(*size) == sides


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 30), (3, 3)])
def test_windows_are_no_larger_than_the_image(size: tuple[int, int]) -> None:
    images = torch.rand(4, 3, *size)
    for windows in _proposed(images, torch.rand(4, *size), torch.arange(4)):
        assert windows.pixels(images).shape == (len(windows.image), 3, windows.side, windows.side)


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_windows_lie_within_images_of_the_members(channels: int) -> None:
    images, members = torch.rand(6, channels, 20, 33), torch.tensor([1, 4])
    for windows in _proposed(images, torch.rand(6, 20, 33), members):
        assert {*windows.image.tolist()} == {1, 4}
        assert min(int(windows.top.min()), int(windows.left.min())) >= 0
        assert int(windows.top.max()) + windows.side <= 20
        assert int(windows.left.max()) + windows.side <= 33
        for row, pixels in enumerate(windows.pixels(images)):
            top, left, side = int(windows.top[row]), int(windows.left[row]), windows.side
            image = images[windows.image[row]]
            assert torch.equal(pixels, image[:, top : top + side, left : left + side])


def test_where_the_model_looks_most_is_a_window_and_what_differs_from_other_images_is_another() -> None:
    looked_at = torch.full((3, 16, 16), 0.01)
    looked_at[:, 4:6, 4:6] = 9
    looked_at[1, 12:14, 0:2] = 2
    windows = _proposed(torch.rand(3, 1, 16, 16), looked_at, torch.tensor([1]))[0]
    places = [*zip(windows.top.tolist(), windows.left.tolist(), strict=True)]
    assert windows.side == 2
    assert {(4, 4), (12, 0)} <= {*places}


def test_fine_detail_is_a_window_where_the_model_looks_elsewhere() -> None:
    images = torch.full((5, 1, 16, 16), 0.5)
    images[2, :, 8, 10], images[2, :, 9, 11] = 1, 0
    windows = _proposed(images, torch.zeros(5, 16, 16), torch.tensor([2]))[0]
    assert any((windows.top >= 7) & (windows.top <= 9) & (windows.left >= 9) & (windows.left <= 11))


def test_constant_images_have_windows_too() -> None:
    for windows in _proposed(torch.ones(3, 1, 9, 9), torch.zeros(3, 9, 9), torch.arange(3)):
        assert windows.pixels(torch.ones(3, 1, 9, 9)).min() == 1


def test_windows_repeat_with_their_seed() -> None:
    images, looked_at = torch.rand(4, 1, 24, 24), torch.rand(4, 24, 24)
    one, same, other = (_proposed(images, looked_at, torch.arange(4), seed) for seed in (0, 0, 1))
    assert all(torch.equal(a.top, b.top) and torch.equal(a.left, b.left) for a, b in zip(one, same, strict=True))
    assert not all(torch.equal(a.top, b.top) for a, b in zip(one, other, strict=True))


def test_sensitivity_is_its_formula() -> None:
    gradients, images = torch.randn(4, 3, 5, 6), torch.rand(4, 3, 5, 6)
    expected = np.abs(gradients.numpy() * (images.numpy() - images.numpy().mean(axis=0))).sum(axis=1)
    np.testing.assert_allclose(sensitivity(gradients, images).numpy(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("size", "factor"), [((32, 32), 1), ((47, 99), 1), ((48, 80), 2), ((224, 300), 5)])
def test_large_images_are_reduced_by_averages(size: tuple[int, int], factor: int) -> None:
    images = torch.rand(3, 1, *size, dtype=torch.double)
    matcher = Matcher(images)
    assert matcher.factor == factor
    rows, columns = (length // factor for length in size)
    blocks = images[:, :, : rows * factor, : columns * factor].reshape(3, 1, rows, factor, columns, factor)
    np.testing.assert_allclose(matcher.reduced.numpy(), blocks.numpy().mean(axis=(3, 5)), atol=1e-6)
    assert matcher.reduced.dtype == torch.float32


def test_a_patch_at_any_place_of_a_large_image_is_found_exactly() -> None:
    images = torch.rand(9, 3, 150, 170)
    # Coarse, so that its averages over blocks are alike wherever these begin.
    template = torch.rand(3, 2, 2).repeat_interleave(16, dim=1).repeat_interleave(16, dim=2)
    places = [(n * 13 % 119, n * 29 % 139) for n in range(9)]
    for image, (top, left) in zip(images, places, strict=True):
        image[:, top : top + 32, left : left + 32] = template
    matcher = Matcher(images.half())
    assert matcher.factor == 4
    positions = torch.arange(1, 9)
    # As it is seen in the first one, whose patch begins with a block.
    coarse = matcher.coarse(matcher.reduced[0:1, :, :8, :8], positions)
    found = matcher.full(template, positions, coarse)
    assert [*zip(found.top[0].tolist(), found.left[0].tolist(), strict=True)] == places[1:]
    assert found.distance.max() < 1e-2


def _planted(n_images: int, places: list[tuple[int, int]], mask: Tensor, channels: int = 3) -> tuple[Tensor, Tensor]:
    """Return images of noise with one cue, and where it is in each."""
    images = torch.rand(n_images, channels, 20, 24)
    cue = torch.rand(channels, *mask.shape)
    marks = torch.zeros(n_images, 20, 24, dtype=torch.bool)
    for image, mark, (top, left) in zip(images, marks, places, strict=True):
        at = slice(top, top + mask.shape[0]), slice(left, left + mask.shape[1])
        mark[at] = mask
        image[:, at[0], at[1]] = torch.where(mask, cue, image[:, at[0], at[1]])
    return images, marks


def test_a_window_grows_to_the_whole_cue_of_any_shape_wherever_it_is() -> None:
    mask = torch.ones(7, 6, dtype=torch.bool)
    mask[:3, 3:] = False
    places = [(n % 13, 5 * n % 18) for n in range(12)]
    images, marks = _planted(12, places, mask)
    top, left = (torch.tensor([place[axis] for place in places]) for axis in (0, 1))
    region = grow(images, top + 3, left + 1, torch.rand(40, 3, 20, 24), (2, 2), 0.06)
    for row in range(12):
        assert torch.equal(region.at(int(top[row]) + 3, int(left[row]) + 1), marks[row])


def test_a_cue_at_a_fixed_place_grows_to_the_border() -> None:
    mask = torch.ones(5, 5, dtype=torch.bool)
    images, marks = _planted(10, [(15, 19)] * 10, mask, channels=1)
    region = grow(images, torch.full((10,), 16), torch.full((10,), 20), torch.rand(30, 1, 20, 24), (2, 2), 0.06)
    assert torch.equal(region.at(16, 20), marks[0])


def test_what_other_images_have_too_is_not_of_the_cue() -> None:
    images, others = torch.rand(10, 1, 20, 24), torch.rand(30, 1, 20, 24)
    images[:, :, 4:10, 4:10] = 0.9
    images[:, :, :4], others[:, :, :4] = 0.0, 0.0
    region = grow(images, torch.full((10,), 5), torch.full((10,), 5), others, (2, 2), 0.06).at(5, 5)
    assert int(region.sum()) == 36
    assert bool(region[4:10, 4:10].all())


def test_what_is_apart_from_the_window_is_not_of_the_cue() -> None:
    images = torch.rand(10, 1, 20, 24)
    images[:, :, 4:8, 4:8], images[:, :, 12:16, 12:16] = 0.9, 0.1
    region = grow(images, torch.full((10,), 5), torch.full((10,), 5), torch.rand(30, 1, 20, 24), (2, 2), 0.06).at(5, 5)
    assert region.nonzero().amax() == 7


def test_what_only_few_bearers_have_beside_the_window_is_not_of_the_cue() -> None:
    images = torch.rand(20, 1, 12, 12)
    left = torch.tensor([0] * 19 + [7])
    for image, column in zip(images, left.tolist(), strict=True):
        image[:, :4, column : column + 4] = 0.9
    # Left of the cue there are pixels in one image alone, which agrees with itself.
    region = grow(images, torch.zeros(20).long(), left, torch.rand(30, 1, 12, 12), (2, 2), 0.06)
    expected = torch.zeros(12, 12, dtype=torch.bool)
    expected[:4, 7:11] = True
    assert torch.equal(region.at(0, 7), expected)


@pytest.mark.parametrize("n_bearing", [1, 3])
def test_without_agreement_the_region_is_the_window(n_bearing: int) -> None:
    images = torch.rand(n_bearing, 1, 8, 8)
    place = torch.full((n_bearing,), 3)
    # Others agree with it everywhere.
    region = grow(images, place, place, images[:1].expand(6, -1, -1, -1), (2, 2), 2.0)
    window = torch.zeros(8, 8, dtype=torch.bool)
    window[3:5, 3:5] = True
    assert torch.equal(region.at(3, 3), window)


def test_a_region_that_leaves_the_image_is_cut() -> None:
    mask = torch.zeros(8, 8, dtype=torch.bool)
    mask[4:6, 4:6] = True
    region = Region(mask, (4, 4))
    assert region.at(0, 0).nonzero().tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert region.at(3, 3).nonzero().tolist() == [[3, 3]]


@pytest.mark.parametrize(("top", "left"), [(0, 0), (10, 7), (26, 18)])
def test_neighbors_lie_around_a_window_and_within_the_image(top: int, left: int) -> None:
    window = Windows(torch.tensor([3]), torch.tensor([top]), torch.tensor([left]), 6)
    found = [*neighbors(window, (32, 24))]
    assert tuple(one.side for one in found) == window_sizes(32, 24)
    for one in found:
        assert {*one.image.tolist()} == {3}
        assert len({*zip(one.top.tolist(), one.left.tolist(), strict=True)}) == len(one.top)
        for row, column in zip(one.top.tolist(), one.left.tolist(), strict=True):
            assert 0 <= row <= 32 - one.side
            assert 0 <= column <= 24 - one.side
            assert max(abs(row + one.side // 2 - top - 3), abs(column + one.side // 2 - left - 3)) <= 2
        assert (top, left) in zip(one.top.tolist(), one.left.tolist(), strict=True) or one.side != 6
