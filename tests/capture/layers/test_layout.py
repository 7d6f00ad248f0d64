"""Every layout of a layer's output becomes a map."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from saliency_callbacks.capture.layers.layout import SpatialLayout, find_layout


@pytest.mark.parametrize(
    ("shape", "input_spatial", "expected"),
    [
        ((2, 64, 7, 7), (224, 224), SpatialLayout("channels_first", (7, 7))),
        ((2, 7, 7, 64), (224, 224), SpatialLayout("channels_last", (7, 7))),
        ((2, 64, 7, 14), (224, 448), SpatialLayout("channels_first", (7, 14))),
        ((2, 7, 14, 64), (224, 448), SpatialLayout("channels_last", (7, 14))),
        ((2, 3, 5, 7), (33, 49), SpatialLayout("channels_first", (5, 7))),
        ((2, 8, 40), (80,), SpatialLayout("channels_first", (40,))),
        ((2, 16, 4, 5, 6), (16, 20, 24), SpatialLayout("channels_first", (4, 5, 6))),
        ((2, 4, 5, 6, 16), (16, 20, 24), SpatialLayout("channels_last", (4, 5, 6))),
        ((2, 196, 32), (224, 224), SpatialLayout("tokens", (14, 14))),
        ((2, 197, 32), (224, 224), SpatialLayout("tokens", (14, 14), n_prefix=1)),
        ((2, 198, 32), (224, 224), SpatialLayout("tokens", (14, 14), n_prefix=2)),
        ((2, 256 + 5, 32), (224, 224), SpatialLayout("tokens", (16, 16), n_prefix=5)),
        ((2, 7 * 14 + 1, 32), (112, 224), SpatialLayout("tokens", (7, 14), n_prefix=1)),
        ((2, 14 * 7 + 1, 32), (224, 112), SpatialLayout("tokens", (14, 7), n_prefix=1)),
    ],
)
def test_layouts(shape, input_spatial, expected):
    assert find_layout(shape, input_spatial) == expected


@pytest.mark.parametrize(
    ("shape", "input_spatial"),
    [
        ((2, 10), (8, 8)),
        ((2, 10, 1, 1), (8, 8)),
        ((2, 1, 1, 10), (8, 8)),
        ((2, 10, 1), (8,)),
        ((2, 4, 4, 4, 4, 4), (8, 8)),
        ((2, 120, 8), (64, 64)),
        ((2,), (8, 8)),
    ],
)
def test_outputs_without_space(shape, input_spatial):
    assert find_layout(shape, input_spatial) is None


@pytest.mark.parametrize("module", [nn.LayerNorm(8), nn.Linear(3, 8), nn.LSTM(3, 8), nn.MultiheadAttention(8, 1)])
def test_the_module_decides_where_shapes_cannot(module):
    assert find_layout((2, 8, 8, 8), (16, 16), module=module).order == "channels_last"
    assert find_layout((2, 40, 8), (40,), module=module) == SpatialLayout("channels_last", (40,))
    assert find_layout((2, 8, 8, 8), (16, 16), module=nn.Conv2d(3, 8, 1)).order == "channels_first"


@pytest.mark.parametrize(
    "module",
    [
        nn.Conv2d(1, 1, 1),
        nn.ConvTranspose2d(1, 1, 1),
        nn.BatchNorm2d(1),
        nn.InstanceNorm2d(1),
        nn.GroupNorm(1, 1),
        nn.MaxPool2d(2),
        nn.AvgPool2d(2),
        nn.AdaptiveAvgPool2d(2),
        nn.Upsample(2),
        nn.PixelShuffle(2),
        nn.Dropout2d(),
    ],
)
def test_the_module_outranks_the_aspect(module):
    assert find_layout((2, 16, 16, 4), (16, 16), module=module) == SpatialLayout("channels_first", (16, 4))
    assert find_layout((2, 16, 4, 4), (16, 16), module=nn.Linear(4, 4)) == SpatialLayout("channels_last", (16, 4))
    assert find_layout((2, 16, 4, 4), (16, 16), module=nn.LayerNorm(4)) == SpatialLayout("channels_last", (16, 4))


def test_layer_normalizations_that_do_not_have_their_features_last():
    class Turning(nn.LayerNorm):
        pass

    for module in (nn.LayerNorm((8, 4, 4)), Turning(8)):
        assert find_layout((2, 8, 4, 4), (16, 16), module=module) == SpatialLayout("channels_first", (4, 4))


def test_earlier_maps_outrank_the_aspect():
    shape, module = (2, 16, 16, 4), nn.ReLU()
    assert find_layout(shape, (16, 16), module=module).spatial == (16, 16)
    assert find_layout(shape, (16, 16), module=module, known_sizes=[(16, 4)]).spatial == (16, 4)
    assert find_layout(shape, (16, 16), module=module, known_sizes=[(16, 4), (16, 16)]).spatial == (16, 16)
    assert find_layout((2, 25, 16), (100,), known_sizes=[(25,)]) == SpatialLayout("channels_last", (25,))
    assert find_layout((2, 26, 16), (100,), module=nn.Linear(1, 1), known_sizes=[(25,)]) == SpatialLayout(
        "tokens", (25,), 1
    )
    assert find_layout((2, 16, 25), (100,), known_sizes=[(25,)]) == SpatialLayout("channels_first", (25,))


def test_earlier_maps_tell_the_patches_apart():
    # 17 x 7 patches keep no aspect ratio; nothing but the patch embedding tells.
    assert find_layout((2, 120, 8), (64, 64)) is None
    assert find_layout((2, 120, 8), (64, 64), known_sizes=[(8, 8), (17, 7)]) == SpatialLayout(
        "tokens", (17, 7), n_prefix=1
    )
    # 17 prefix tokens are more than any model has.
    assert find_layout((2, 120, 8), (64, 64), known_sizes=[(103, 1)]) is None


@pytest.mark.parametrize(
    ("shape", "input_spatial", "expected"),
    [
        ((17, 3, 8), (16, 16), SpatialLayout("tokens", (4, 4), n_prefix=1, batch_dim=1)),
        ((40, 3, 8), (80,), SpatialLayout("channels_last", (40,), batch_dim=1)),
        ((3, 17, 8), (16, 16), SpatialLayout("tokens", (4, 4), n_prefix=1)),
        ((12, 16, 8), (16, 16), None),
        ((12, 8, 4, 4), (16, 16), None),
        ((1, 3, 8), (80,), None),
    ],
)
def test_where_the_samples_are(shape, input_spatial, expected):
    """Sequences may have them in the second place; windows of an attention have none of their own."""
    assert find_layout(shape, input_spatial, n_rows=3) == expected


def test_once_a_grid_is_known_nothing_else_is_a_map():
    known = [(8, 8)]
    for shape in ((2, 4, 65, 65), (2, 4, 64, 64), (2, 8, 65, 16), (2, 100, 16), (2, 64 + 17, 16), (2, 9, 9, 16)):
        assert find_layout(shape, (64, 64), known_sizes=known) is None
    for size in (8, 4, 2):
        assert find_layout((2, size, size, 16), (64, 64), known_sizes=known).spatial == (size, size)
        assert find_layout((2, size**2 + 1, 16), (64, 64), known_sizes=known).spatial == (size, size)
    # Frames may stay where patches are merged.
    assert find_layout((2, 4, 4, 4, 16), (8, 64, 64), known_sizes=[(4, 8, 8)]).spatial == (4, 4, 4)


def test_a_map_that_is_laid_out_flat_is_no_sequence():
    # [N, channels, places]: as many channels as a smaller grid has places.
    assert find_layout((2, 16, 64), (64, 64), known_sizes=[(8, 8)]) is None


@pytest.mark.parametrize(("n_prefix", "n_suffix"), [(1, 0), (0, 3), (2, 3)])
def test_tokens_on_either_side_are_left_out(n_prefix, n_suffix):
    patches = torch.arange(12.0).reshape(1, 6, 2)
    own = torch.full((1, 5, 2), -1.0)
    output = torch.cat([own[:, :n_prefix], patches, own[:, :n_suffix]], dim=1)
    found = SpatialLayout("tokens", (2, 3), n_prefix, n_suffix=n_suffix).to_map(output)
    assert torch.equal(found, patches.transpose(1, 2).unflatten(2, (2, 3)))


@st.composite
def layouts(draw):
    spatial = tuple(draw(st.lists(st.integers(2, 5), min_size=1, max_size=3)))
    return spatial, draw(st.integers(1, 3)), draw(st.integers(6, 8)), draw(st.integers(0, 5))


@given(layouts())
def test_round_trip(drawn):
    """Whatever the layout, the value at a place stays at that place, in its channel, of its sample."""
    spatial, n_samples, n_channels, n_prefix = drawn
    expected = torch.arange(n_samples * n_channels * math.prod(spatial)).reshape(n_samples, n_channels, *spatial)
    tokens = expected.flatten(2).transpose(1, 2)
    prefixed = torch.cat([torch.full((n_samples, n_prefix, n_channels), -1), tokens], dim=1)
    outputs = {
        SpatialLayout("channels_first", spatial): expected,
        SpatialLayout("channels_last", spatial): expected.movedim(1, -1),
        SpatialLayout("tokens", spatial, n_prefix): prefixed,
        SpatialLayout("tokens", spatial, n_prefix, batch_dim=1): prefixed.transpose(0, 1),
    }
    for layout, output in outputs.items():
        assert torch.equal(layout.to_map(output), expected)


@given(st.integers(2, 9), st.integers(2, 9), st.integers(0, 9))
def test_tokens_are_found_from_an_earlier_map(height, width, n_prefix):
    shape = (2, n_prefix + height * width, 8)
    found = find_layout(shape, (16 * height, 16 * width), known_sizes=[(height, width)])
    assert found == SpatialLayout("tokens", (height, width), n_prefix)
