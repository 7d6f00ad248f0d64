"""1-D signals as traces: legible at any length, with every peak, and drawn without global state."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import matplotlib as mpl
import numpy as np
import pytest
import torch

from saliency_callbacks.rendering.images import display_images, display_maps
from saliency_callbacks.rendering.trace import draw_traces


@pytest.mark.parametrize(
    ("length", "width"), [(3, 258), (60, 300), (187, 374), (256, 256), (300, 300), (512, 512), (20000, 512)]
)
def test_a_signal_is_drawn_at_a_legible_size(length, width):
    drawn = display_images(torch.randn(2, 1, length).cumsum(-1))
    assert drawn.shape == (2, 96, width, 3)
    ink = drawn.min(axis=(1, 3)) < 200
    assert ink.all(), "every column holds a piece of the line"
    assert drawn.mean() > 180, "light paper"


@pytest.mark.parametrize("length", [50, 512, 1024, 9000])
def test_a_spike_survives_and_its_band_lies_on_it(length):
    signal = torch.zeros(1, 1, length)
    signal[0, 0, length // 3] = 1
    drawn = draw_traces(signal)
    spike = np.flatnonzero(drawn[0, 8, :, 0] < 150)
    bands = display_maps(signal[:, 0], drawn.shape[1:3])
    assert len(spike)
    assert bands.shape == (1, *drawn.shape[1:3])
    hot = np.flatnonzero(bands[0, 0])
    assert hot[0] - 1 <= spike.mean() <= hot[-1] + 1
    assert (bands == bands[:, :1]).all()


def test_traces_have_a_color_a_channel_and_a_steep_line_does_not_fall_apart():
    step = torch.tensor([0.0, 1.0]).repeat_interleave(512)
    drawn = draw_traces(torch.stack([step, step.flip(0)])[:, None])
    assert (drawn[:, 8:88, 254:258].min(axis=(2, 3)) < 200).all()
    two = draw_traces(torch.stack([torch.zeros(64), torch.ones(64)])[None])
    assert two[0, 89, 100].tolist() != two[0, 5, 100].tolist()
    assert draw_traces(torch.randn(1, 40, 64)).shape == (1, 96, 256, 3)


def test_a_line_has_its_width_and_its_colors():
    """A constant signal is a flat line in the middle, 1.6 pixels wide: 80 % of two rows."""
    drawn = draw_traces(torch.full((1, 1, 40), 3.0))[0].astype(int)
    paper, ink = np.array([250, 250, 248]), np.array([38, 50, 70])
    assert (np.delete(drawn, (47, 48), axis=0) == paper).all()
    assert np.abs(drawn[47:49] - (0.2 * paper + 0.8 * ink)).max() <= 2


def test_the_range_of_the_largest_numbers_does_not_overflow():
    drawn = draw_traces(torch.tensor([[[-3e38, 3e38, 0.0]]]))
    assert np.array_equal(drawn, draw_traces(torch.tensor([[[-1.0, 1.0, 0.0]]])))


def test_the_settings_of_matplotlib_do_not_change_a_trace():
    signal = torch.randn(1, 2, 900).cumsum(-1)
    drawn = draw_traces(signal)
    with mpl.rc_context({"lines.linewidth": 9, "path.simplify_threshold": 1.0, "lines.antialiased": False}):
        assert np.array_equal(draw_traces(signal), drawn)


def test_threads_draw_as_one_does():
    signals = [torch.randn(2, 3, 700).cumsum(-1) for _ in range(16)]
    with ThreadPoolExecutor(8) as pool:
        drawn = list(pool.map(draw_traces, signals))
    assert all(np.array_equal(one, draw_traces(signal)) for one, signal in zip(drawn, signals, strict=True))


def test_no_global_state_and_no_window_system():
    code = (
        "import sys, torch; from saliency_callbacks.rendering.trace import draw_traces; "
        "draw_traces(torch.rand(1, 1, 50)); sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
