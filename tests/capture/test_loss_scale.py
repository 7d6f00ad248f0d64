"""Gradients through float16 come out as in float32, by torch's own autocast and half-precision kernels on the CPU."""

from __future__ import annotations

import warnings
from functools import partial

import pytest
import torch
from torch import nn

from saliency_callbacks.capture import loss_scale
from saliency_callbacks.capture.loss_scale import LossScale
from saliency_callbacks.engine.run import run_engine
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.errors import SaliencyWarning
from saliency_callbacks.methods.resolution import resolve_methods

METHODS = ("gradient", "grad_cam", "layer_cam", "guided_backprop", "smooth_grad", "integrated_gradients")
HALF = partial(torch.autocast, "cpu", torch.float16)


class Faint(nn.Module):
    """Its gradients are about 10⁻⁹ at the input, where float16 has nothing between 0 and 6·10⁻⁸."""

    def __init__(self, factor=1e-4):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.head = nn.Linear(4 * 64, 3)
        self.factor = factor

    def forward(self, x):
        return self.head(self.conv(x).relu().flatten(1) * self.factor) * self.factor


class Scaled(nn.Module):
    """A factor that float16 has no number for, so that it is applied in float32."""

    def forward(self, x):
        return x * 1e-9


def images():
    return torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def maps(model, inputs, methods=METHODS, **changes):
    settings = Settings(resolve_methods(methods), **{"target_layers": "conv", **changes})
    found = run_engine(model, inputs, settings, [0]).attributions[0]
    return {name: one.values for name, one in found.items()}


def without_scale(monkeypatch):
    monkeypatch.setattr(loss_scale, "_goes_through_half", lambda score, wrt: False)


def assert_close(found, expected, tolerance=1e-2):
    for name, values in found.items():
        assert values.dtype == torch.float32
        assert values.cpu().numpy().dtype == "float32"
        torch.testing.assert_close(values, expected[name], rtol=tolerance, atol=tolerance * float(values.abs().max()))


def test_under_autocast_as_in_float32():
    assert_close(maps(Faint(), images(), forward_context=HALF), maps(Faint(), images()))


def test_without_the_scale_autocast_leaves_nothing(monkeypatch):
    without_scale(monkeypatch)
    assert not any(values.any() for values in maps(Faint(), images(), forward_context=HALF).values())


def test_half_precision_weights_as_in_float32():
    model, inputs = Faint(1e-2).half(), images().half()
    expected = maps(Faint(1e-2).half().float(), inputs.float(), methods=("gradient", "layer_cam"))
    assert_close(maps(model, inputs, methods=("gradient", "layer_cam")), expected, 2e-2)


def test_full_precision_is_the_float32_model_exactly():
    model, inputs = Faint().half(), images().half()
    expected = maps(Faint().half().float(), inputs.float())
    for name, values in maps(model, inputs, full_precision=True).items():
        assert torch.equal(values, expected[name])


def test_the_automatic_layer_is_found_where_gradients_underflow():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3), Scaled(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    settings = Settings(resolve_methods("layer_cam"), forward_context=HALF)
    assert run_engine(model, images(), settings, [0]).target_layers == ("2",)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_nothing_is_scaled_in_other_precisions(dtype):
    scale = LossScale()
    x = torch.ones(2, 3, dtype=dtype, requires_grad=True)
    (gradient,) = scale.gradients((x * 3).sum(1), [x], keep_graph=False)
    assert gradient.dtype == dtype
    assert not scale.is_used or torch.__version__ < "2.6"


@pytest.mark.parametrize("factor", [1.0, 1e3, 3e4])
def test_the_scale_is_halved_until_the_gradient_is_finite(factor):
    x = torch.zeros(2, 3, dtype=torch.float16, requires_grad=True)
    scale = LossScale()
    (gradient,) = scale.gradients((x * factor).sum(1) * 0.5, [x], keep_graph=False)
    assert gradient.dtype == torch.float32
    torch.testing.assert_close(gradient, torch.full((2, 3), factor / 2), rtol=1e-3, atol=0)
    # 65504 is the largest number of float16.
    assert scale.scale * factor / 2 <= 65504 < scale.scale * factor * 2 or scale.scale == 2**15


def test_the_scale_stays_for_the_rest_of_a_run():
    x = torch.ones(1, 1, dtype=torch.float16, requires_grad=True)
    scale = LossScale()
    scale.gradients((x * 1e4).sum(1), [x], keep_graph=False)
    found = scale.scale
    scale.gradients(x.sum(1), [x], keep_graph=False)
    assert scale.scale == found < 2**15


@pytest.mark.parametrize(
    ("factor", "message"), [(0.0, "all zero despite a loss scale of 32768"), (float("inf"), "are not finite")]
)
def test_a_lost_map_is_named_once(factor, message):
    class Lossy(nn.Module):
        def forward(self, x):
            return (x * factor).flatten(1)[:, :2]

    with pytest.warns(SaliencyWarning, match=f"float16 .*{message}.*precision='32'") as caught:
        maps(Lossy(), images().half(), methods=("gradient", "input_x_gradient"), target_layers="auto")
    assert len(caught) == 1


def test_zero_maps_in_float32_are_no_matter_of_precision():
    class Zero(nn.Module):
        def forward(self, x):
            return (x * 0).flatten(1)[:, :2]

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = maps(Zero(), images(), methods="gradient", target_layers="auto")
    assert not found["gradient"].any()
