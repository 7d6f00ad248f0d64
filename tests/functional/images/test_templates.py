"""Best places of templates against loops and scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.feature import match_template
from torch import Tensor

from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.functional.images import templates as module
from saliency_callbacks.functional.images.templates import (
    Matches,
    best_distances,
    best_matches,
    least_distances,
    matches_near,
)


def _distances(image: np.ndarray, template: np.ndarray) -> np.ndarray:
    """Return the distance at every place, by loops."""
    height, width = template.shape[1:]
    rows, columns = image.shape[1] - height + 1, image.shape[2] - width + 1
    found = np.empty((rows, columns))
    for top in range(rows):
        for left in range(columns):
            window = image[:, top : top + height, left : left + width]
            found[top, left] = np.sqrt(np.mean((window - template) ** 2))
    return found


def _require_best(found: Matches, images: Tensor, templates: Tensor) -> None:
    for t, template in enumerate(templates.double().numpy()):
        for n, image in enumerate(images.double().numpy()):
            distances = _distances(image, template)
            row, column = int(found.top[t, n]), int(found.left[t, n])
            assert found.distance[t, n].item() == pytest.approx(distances[row, column], abs=2e-3)
            assert distances[row, column] == pytest.approx(distances.min(), abs=2e-3)


@given(st.integers(0, 99), st.sampled_from([1, 2, 3, 5]), st.integers(1, 6), st.integers(1, 6))
@settings(max_examples=25)
def test_places_and_distances_are_those_of_loops(seed: int, channels: int, height: int, width: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(3, channels, 6, 9, generator=generator)
    templates = torch.rand(2, channels, height, width, generator=generator)
    found = best_matches(images, templates)
    _require_best(found, images, templates)
    assert torch.equal(best_distances(images, templates), found.distance)


def test_a_piece_of_a_photograph_is_found_where_scikit_image_finds_it() -> None:
    images = torch.rand(4, 1, 30, 41)
    template = images[2:3, :, 11:17, 23:31]
    found = best_matches(images, template)
    for n in range(4):
        correlation = match_template(images[n, 0].numpy(), template[0, 0].numpy())
        if n == 2:
            row, column = np.unravel_index(correlation.argmax(), correlation.shape)
            assert (found.top[0, n], found.left[0, n]) == (row, column) == (11, 23)
    assert found.distance[0, 2] < 1e-3
    assert (found.distance[0, [0, 1, 3]] > 0.1).all()


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    images, templates = torch.rand(7, 3, 8, 8), torch.rand(3, 3, 3, 3)
    together = best_matches(images, templates)
    monkeypatch.setattr(module, "_MOST_VALUES", 250)
    apart = best_matches(images, templates)
    assert torch.equal(apart.top, together.top)
    assert torch.equal(apart.left, together.left)
    torch.testing.assert_close(apart.distance, together.distance)


def test_bright_images_have_small_distances_too() -> None:
    """Squares of values near 1 are large beside their differences, and are rounded."""
    images = 0.95 + 0.01 * torch.rand(2, 3, 12, 12)
    templates = images[:, :, 3:9, 2:8]
    found = best_matches(images, templates)
    assert found.distance.diagonal().max() < 1e-4
    assert (found.top.diagonal().tolist(), found.left.diagonal().tolist()) == ([3, 3], [2, 2])


def test_the_inputs_are_left_alone() -> None:
    images, templates = torch.rand(2, 1, 5, 5), torch.rand(1, 1, 2, 2)
    before = images.clone(), templates.clone()
    best_matches(images, templates)
    matches_near(images, templates[0], torch.zeros(2).long(), torch.zeros(2).long(), 1)
    assert torch.equal(images, before[0])
    assert torch.equal(templates, before[1])


@given(st.integers(0, 99), st.integers(0, 12), st.integers(0, 6), st.integers(0, 8))
@settings(max_examples=40)
def test_near_a_place_is_the_best_of_all_within_reach(seed: int, reach: int, row: int, column: int) -> None:
    image = torch.rand(1, 2, 7, 9, generator=torch.Generator().manual_seed(seed))
    template = torch.rand(2, 3, 2, generator=torch.Generator().manual_seed(seed + 1))
    top, left = min(row, 4), min(column, 7)
    found = matches_near(image, template, torch.tensor([top]), torch.tensor([left]), reach)
    distances = _distances(image[0].double().numpy(), template.double().numpy())
    within = distances[max(0, top - reach) : top + reach + 1, max(0, left - reach) : left + reach + 1]
    found_at = distances[int(found.top), int(found.left)]
    assert found.distance.item() == pytest.approx(found_at, abs=2e-3)
    assert found_at <= within.min() + 2e-3


def test_near_is_not_elsewhere() -> None:
    image = torch.zeros(1, 1, 9, 9)
    image[0, 0, 8, 8] = 1
    corner = torch.tensor([0])
    found = matches_near(image, torch.ones(1, 1, 1), corner, corner, reach=2)
    assert found.distance.item() == 1
    assert max(int(found.top), int(found.left)) <= 4


def test_nothing_to_match() -> None:
    assert best_matches(torch.rand(3, 1, 4, 4), torch.rand(0, 1, 2, 2)).distance.shape == (0, 3)
    assert best_matches(torch.rand(0, 1, 4, 4), torch.rand(2, 1, 2, 2)).top.shape == (2, 0)
    assert best_distances(torch.rand(0, 1, 4, 4), torch.rand(2, 1, 2, 2)).shape == (2, 0)


@pytest.mark.parametrize("shape", [(1, 1, 5, 2), (1, 1, 2, 5), (1, 3, 2, 2), (1, 2, 2)])
def test_templates_that_do_not_fit(shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigurationError, match="do not fit images of shape"):
        best_matches(torch.rand(2, 1, 4, 4), torch.rand(shape))


@pytest.mark.parametrize("shape", [(4, 3, 4, 4), (4, 1, 5, 3), (4, 2, 1, 4), (0, 3, 2, 2)])
def test_no_distance_is_below_its_lower_bound(shape: tuple[int, ...]) -> None:
    images, templates = torch.rand(6, shape[1], 9, 11), torch.rand(shape)
    templates[: len(templates) // 2] = images[: len(templates) // 2, :, 2 : 2 + shape[2], 3 : 3 + shape[3]]
    least, found = least_distances(images, templates), best_matches(images, templates).distance
    assert least.shape == found.shape
    assert (least <= found + 2e-3).all()
