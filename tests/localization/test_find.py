"""Masks and boxes from maps, against scikit-image, torchvision and pictures whose object is known."""

from __future__ import annotations

import sys

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis.extra import numpy as arrays
from scipy.ndimage import binary_fill_holes
from skimage.filters import threshold_otsu
from skimage.measure import label, regionprops
from skimage.morphology import disk
from torchvision.ops import box_iou as all_box_ious
from torchvision.ops import masks_to_boxes

from saliency_callbacks import Localization, localize
from saliency_callbacks.errors import ConfigurationError, InputError
from saliency_callbacks.functional import box_iou, mask_boxes, mask_iou, normalize
from saliency_callbacks.localization.components import largest_component, without_holes
from saliency_callbacks.types import Attribution

SIDE = 64


def attribution(maps: torch.Tensor) -> Attribution:
    nothing = torch.zeros(len(maps))
    return Attribution("map", maps[:, None], maps, normalize(maps), nothing, nothing)


def blob(center=(30, 34), spread=150.0) -> torch.Tensor:
    rows, columns = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    return torch.exp(-((rows - center[0]) ** 2 + (columns - center[1]) ** 2) / spread)


def scene(seed=0):
    """A textured red disk on green grass, and where it is."""
    generator = np.random.default_rng(seed)
    truth = np.zeros((SIDE, SIDE), bool)
    truth[30 - 14 : 30 + 15, 34 - 14 : 34 + 15] = disk(14)
    colors = np.where(truth[..., None], (190, 50, 40), (60, 120, 50))
    picture = np.clip(colors + generator.normal(0, 15, (SIDE, SIDE, 3)), 0, 255).astype(np.uint8)
    return torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255, torch.from_numpy(truth)[None]


def largest_by_skimage(mask):
    labels = label(mask, connectivity=1)
    return max((np.count_nonzero(labels == one) for one in range(1, labels.max() + 1)), default=0), labels


@settings(deadline=None, max_examples=60)
@given(arrays.arrays(bool, arrays.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=7)))
def test_the_largest_component_is_that_of_scikit_image(mask):
    found = largest_component(mask, cv2)
    size, labels = largest_by_skimage(mask)
    assert np.count_nonzero(found) == size
    if size:
        (only,) = np.unique(labels[found])
        np.testing.assert_array_equal(found, labels == only)


@settings(deadline=None, max_examples=60)
@given(arrays.arrays(bool, arrays.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9)))
def test_holes_are_those_of_scipy(mask):
    np.testing.assert_array_equal(without_holes(mask, cv2), binary_fill_holes(mask))


@pytest.mark.parametrize("shape", [(40,), (24, 30), (6, 12, 10)])
def test_otsu_is_that_of_scikit_image_in_any_number_of_dimensions(shape):
    generator = torch.Generator().manual_seed(1)
    maps = torch.rand(3, *shape, generator=generator) * 0.3
    maps[(slice(None), *(slice(2, side // 2) for side in shape))] += 0.6
    found = localize(attribution(maps), localization=Localization("otsu"))
    for heat, mask in zip(normalize(maps).numpy(), found.masks.numpy(), strict=True):
        levels = np.round(heat / heat.max() * 255).astype(np.uint8)
        size, labels = largest_by_skimage(levels > threshold_otsu(levels))
        (only,) = np.unique(labels[mask])
        np.testing.assert_array_equal(mask, labels == only)
        assert np.count_nonzero(mask) == size
    assert (found.boxes is None) == (len(shape) != 2)


def test_a_share_of_the_maximum_and_the_box_around_it():
    maps = torch.stack([blob(), blob((10, 50), 60.0)])
    found = localize(attribution(maps), localization=Localization(0.2))
    heat = normalize(maps)
    torch.testing.assert_close(found.masks, heat >= 0.2 * heat.amax((1, 2), keepdim=True))
    by_torchvision = masks_to_boxes(found.masks) + torch.tensor([0.0, 0.0, 1.0, 1.0])
    torch.testing.assert_close(found.boxes, by_torchvision)
    for mask, box in zip(found.masks.numpy(), found.boxes.tolist(), strict=True):
        (region,) = regionprops(mask.astype(int))
        top, left, bottom, right = region.bbox
        assert box == [left, top, right, bottom]


def test_overlaps_are_those_of_torchvision_and_numpy():
    generator = torch.Generator().manual_seed(0)
    masks, others = (torch.rand(6, 9, 11, generator=generator) > 0.8 for _ in range(2))
    boxes, other_boxes = mask_boxes(masks), mask_boxes(others)
    torch.testing.assert_close(box_iou(boxes, other_boxes), all_box_ious(boxes, other_boxes).diagonal())
    expected = [np.count_nonzero(a & b) / np.count_nonzero(a | b) for a, b in zip(masks, others, strict=True)]
    torch.testing.assert_close(mask_iou(masks, others).double(), torch.tensor(expected, dtype=torch.float64))
    empty = torch.zeros_like(masks)
    assert mask_iou(masks, empty).isnan().all()
    assert mask_boxes(empty).isnan().all()


def test_grabcut_finds_the_object_where_thresholds_find_the_blob():
    image, truth = scene()
    maps = attribution(blob((27, 36), 400.0)[None])
    ious = {
        how: float(mask_iou(localize(maps, image, Localization(how)).masks, truth)) for how in ("grabcut", "otsu", 0.2)
    }
    assert ious["grabcut"] > 0.97
    assert max(ious["otsu"], ious[0.2]) < 0.75


def test_a_large_picture_is_cut_at_a_smaller_size():
    image, truth = scene()
    large = torch.nn.functional.interpolate(image, scale_factor=4)
    maps = attribution(torch.nn.functional.interpolate(blob()[None, None], scale_factor=4)[:, 0])
    masks = localize(maps, large, Localization(longest_side=64)).masks
    assert masks.shape == (1, 256, 256)
    wanted = truth.repeat_interleave(4, 1).repeat_interleave(4, 2)
    assert float(mask_iou(masks, wanted)) > 0.95


@pytest.mark.parametrize("how", ["grabcut", "otsu", 0.5])
def test_maps_that_show_nothing_have_no_mask_and_no_box(how):
    image, _ = scene()
    maps = torch.stack([torch.zeros(SIDE, SIDE), torch.full((SIDE, SIDE), 2.0), torch.full((SIDE, SIDE), torch.nan)])
    found = localize(attribution(maps), image.expand(3, -1, -1, -1), Localization(how))
    assert not found.masks.any()
    assert found.boxes.isnan().all()


@pytest.mark.parametrize("side", [2, 3, 8])
@pytest.mark.parametrize("picture", ["black", "white", "noise"])
def test_grabcut_of_tiny_and_plain_pictures(side, picture):
    noise = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    image = {"black": torch.zeros_like(noise), "white": torch.ones_like(noise), "noise": noise}[picture]
    maps = torch.linspace(0, 1, side * side).view(1, side, side)
    assert localize(attribution(maps), image).masks[0, -1, -1], "the highest pixel is the object"


def test_sparse_maps_have_a_background():
    image, truth = scene()
    maps = torch.zeros(1, SIDE, SIDE)
    maps[0, 28:33, 30:38] = 1.0
    assert 0 < int(localize(attribution(maps), image).masks.sum()) <= 1.2 * int(truth.sum())


def test_it_is_the_same_every_time_and_leaves_opencv_as_it_was():
    image, _ = scene()
    maps = attribution(blob()[None])
    drawn = []
    n_threads = cv2.getNumThreads()
    cv2.setNumThreads(3)
    try:
        masks = []
        for is_between in (False, True):
            cv2.setRNGSeed(7)
            if is_between:
                masks += [localize(maps, image).masks, localize(maps, image).masks]
            drawn.append(cv2.randu(np.zeros(4), 0, 1).tolist())
        assert cv2.getNumThreads() == 3
    finally:
        cv2.setNumThreads(n_threads)
    assert drawn[0] == drawn[1]
    assert torch.equal(*masks)


def test_what_is_missing_is_named(monkeypatch):
    image, _ = scene()
    maps = attribution(blob()[None])
    with pytest.raises(InputError, match="needs the images"):
        localize(maps)
    with pytest.raises(InputError, match=r"images of shape \[1, 3, 64, 32\] for maps of shape \[1, 64, 64\]"):
        localize(maps, image[..., :32])
    with pytest.raises(ConfigurationError, match=r"(?s)1 spatial dimension; expected 2.*mask='otsu'"):
        localize(attribution(torch.rand(2, 16)), torch.rand(2, 1, 16))
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'saliency-callbacks\[localization\]'"):
        localize(maps, image)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"mask": "grabcup"}, r"mask='grabcup'; expected 'grabcut'.*grabcut"),
        ({"mask": 1.0}, r"mask=1\.0; expected"),
        ({"mask": True}, "mask=True; expected"),
        ({"foreground": 1.5}, r"foreground=1\.5; expected"),
        ({"foreground": 0.2}, r"foreground=0\.2 and background=0\.3; expected a background below"),
        ({"longest_side": 4}, "longest_side=4; expected"),
    ],
)
def test_settings_are_checked(given, message):
    with pytest.raises(ConfigurationError, match=f"(?s){message}"):
        Localization(**given)


def test_what_is_found_in_a_map_does_not_depend_on_those_before_it():
    image, _ = scene()
    noise = torch.rand(3, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) * 0.5 + image / 2
    maps = torch.stack([blob((20, 40)), blob(), blob((40, 20), 300.0)])
    together = localize(attribution(maps), noise).masks
    alone = [localize(attribution(maps[[place]]), noise[[place]]).masks[0] for place in range(3)]
    assert torch.equal(together, torch.stack(alone))
