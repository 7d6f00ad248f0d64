import math
from itertools import pairwise

import pytest
import torch

from saliency_callbacks.functional.positions import spread_positions


@pytest.mark.parametrize("count", [1, 7, 100])
def test_of_few_positions_all_are_chosen(count):
    assert spread_positions(count, 100).tolist() == list(range(count))


@pytest.mark.parametrize(("count", "most"), [(101, 100), (50_176, 7056), (786_432, 7056), (128**3, 65_536)])
def test_one_of_each_part_is_chosen(count, most):
    chosen = spread_positions(count, most)
    assert chosen.shape == (most,)
    assert chosen.dtype == torch.int64
    edges = [part * count // most for part in range(most + 1)]
    parts = pairwise(edges)
    assert all(first <= one < end for one, (first, end) in zip(chosen.tolist(), parts, strict=True))


@pytest.mark.parametrize(("height", "width"), [(224, 224), (768, 1024), (1024, 1024)])
@pytest.mark.parametrize("stride", [2, 4, 8, 16])
def test_no_stride_of_a_layer_is_seen_at_one_phase_alone(height, width, stride):
    chosen = spread_positions(height * width, 7056)
    for coordinate in (chosen % width, chosen // width):
        found = torch.bincount(coordinate % stride, minlength=stride) / len(chosen)
        # Within what 7056 independent draws would do.
        assert (found - 1 / stride).abs().max() < 4 * math.sqrt(1 / stride / 7056)


def test_the_generators_are_left_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    spread_positions(10_000, 100)
    assert torch.equal(torch.get_rng_state(), before)
