"""The way to display images and back, and that a cue leaves every other value its bits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from saliency_callbacks.cues.display_range import DisplayRange
from saliency_callbacks.errors import CueError
from saliency_callbacks.probe import BrightnessCue, PatchCue

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
PATCH = PatchCue((-2, -2, 2, 2))
ranges = st.one_of(
    st.just(DisplayRange()),
    st.just(DisplayRange(*IMAGENET)),
    st.just(DisplayRange((0.5,), (0.25,))),
    st.just(DisplayRange(low=-1)),
    st.just(DisplayRange(high=255)),
    st.builds(lambda low, size: DisplayRange(low=low, high=low + size), st.floats(-100, 100), st.floats(0.1, 100)),
)


def images(dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.rand(4, 3, 6, 6, generator=torch.Generator().manual_seed(0)).to(dtype)


@given(arrays(np.float32, (2, 3, 4), elements=st.floats(-50, 50, width=32)), ranges)
def test_there_and_back(values, display):
    inputs = torch.from_numpy(values)
    back = display.to_model(display.to_display(inputs))
    torch.testing.assert_close(back, inputs, rtol=1e-4, atol=1e-3)


@given(arrays(np.float32, (2, 3, 4, 4), elements=st.floats(-50, 50, width=32)), ranges)
def test_untouched_values_keep_their_bits(values, display):
    inputs = torch.from_numpy(values)
    cued = display.apply(PATCH, inputs)
    outside = ~PATCH.mask(inputs)[:, None].expand_as(inputs)
    assert torch.equal(cued[outside], inputs[outside])
    inside = display.to_display(cued)[~outside]
    assert (inside > 1 - 1e-4).all(), "white, or what was shown as white before"


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        (torch.tensor([0.0, 0.3]), (0, 1)),
        (torch.tensor([0.0, 1.00005]), (0, 1)),
        (torch.tensor([0, 3], dtype=torch.uint8), (0, 255)),
        (torch.tensor([0.0, 255.0]), (0, 255)),
        (torch.tensor([3.0, 128.0]), (0, 255)),
        (torch.tensor([0.0, 16.0]), (0, 16)),
        (torch.tensor([-0.2, 0.9]), (-1, 1)),
        (torch.tensor([-2.0, 3.0, torch.nan, torch.inf]), (-2, 3)),
        (torch.tensor([-3.0, 0.5]), (-3, 0.5)),
        (torch.tensor([0.0, 4000.0]), (0, 4000)),
        (torch.tensor([7.0, 7.0]), (7, 8)),
        (torch.tensor([torch.nan]), (0, 1)),
    ],
    ids=str,
)
def test_the_range_is_recognized(inputs, expected):
    display = DisplayRange.of(inputs.view(1, 1, -1))
    assert (display.mean, display.std, display.low, display.high) == (None, None, *expected)


def test_a_normalization_is_undone():
    original = images()
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in IMAGENET)
    display = DisplayRange.of((original - mean) / std, IMAGENET)
    torch.testing.assert_close(display.to_display((original - mean) / std), original)
    cued = display.apply(PATCH, (original - mean) / std)
    torch.testing.assert_close(cued * std + mean, PATCH.insert(original))
    assert DisplayRange.of(original, ([123.7], [58.4])).high == 255


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.float16, torch.bfloat16, torch.float64])
def test_inputs_keep_their_dtype(dtype):
    inputs = (images() * 255).to(dtype)
    display = DisplayRange.of(inputs)
    cued = display.apply(BrightnessCue(0.2), inputs)
    assert cued.dtype == dtype
    expected = (inputs.double() + 51).clamp(max=255)
    torch.testing.assert_close(cued.double(), expected, rtol=0.01, atol=0.51)
    assert torch.equal(display.apply(PATCH, inputs)[..., :4, :], inputs[..., :4, :])


def test_what_is_refused():
    with pytest.raises(CueError, match=r"mean .* has 3 values.*\[4, 1, 6, 6\].*1 channel"):
        DisplayRange(*IMAGENET).to_display(images()[:, :1])
    with pytest.raises(CueError, match="low=1, high=1"):
        DisplayRange(low=1, high=1)
    with pytest.raises(CueError, match="above 0"):
        DisplayRange((0.0,), (0.0,))
