"""What Captum has not, against loops over single elements in float64, end to end."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from saliency_callbacks import explain
from saliency_callbacks.capture.passes.rows import Sampler
from saliency_callbacks.functional import quadrature
from saliency_callbacks.methods import IntegratedGradients, SmoothGrad
from saliency_callbacks.types import Noise, Pass


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Tanh(), nn.Conv2d(4, 3, 2), nn.Tanh(), nn.Flatten(), nn.Linear(27, 3))
    return model.double()


@pytest.fixture
def inputs():
    return torch.randn(2, 2, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


TARGET = torch.tensor([2, 0])


def plus_plus(activation, gradient):
    total, weight = sum(activation.flatten().tolist()), 0.0
    for g in gradient.flatten().tolist():
        if g != 0:
            weight += g**2 / (2 * g**2 + total * g**3) * max(g, 0.0)
    return lambda cell: weight * float(activation[cell])


def hires(activation, gradient):
    return lambda cell: float(gradient[cell]) * float(activation[cell])


def layer(activation, gradient):
    return lambda cell: max(float(gradient[cell]), 0.0) * float(activation[cell])


def xgrad(activation, gradient):
    pairs = list(zip(activation.flatten().tolist(), gradient.flatten().tolist(), strict=True))
    weight = sum(g * a for a, g in pairs) / sum(a for a, _ in pairs)
    return lambda cell: weight * float(activation[cell])


def grad(activation, gradient):
    weight = sum(gradient.flatten().tolist()) / gradient.numel()
    return lambda cell: weight * float(activation[cell])


CAMS = {
    "grad_cam": grad,
    "grad_cam_plus_plus": plus_plus,
    "hires_cam": hires,
    "layer_cam": layer,
    "xgrad_cam": xgrad,
}


@pytest.mark.filterwarnings("ignore::saliency_callbacks.errors.DegenerateMapWarning")
@pytest.mark.parametrize("target_layer", [1, 3])
@pytest.mark.parametrize("name", CAMS)
def test_class_activation_maps(model, inputs, name, target_layer):
    found = explain(model, inputs, methods=name, target=TARGET, target_layers=str(target_layer))[name].values
    for sample in range(2):
        activation = model[: target_layer + 1](inputs[sample : sample + 1]).detach().requires_grad_(True)
        score = model[target_layer + 1 :](activation)[0, TARGET[sample]]
        (gradient,) = torch.autograd.grad(score, activation)
        channels = [CAMS[name](activation[0, k].detach(), gradient[0, k]) for k in range(activation.shape[1])]
        cells = list(itertools.product(*(range(size) for size in activation.shape[2:])))
        expected = [max(0.0, sum(channel(cell) for channel in channels)) for cell in cells]
        torch.testing.assert_close(found[sample, 0].flatten(), torch.tensor(expected, dtype=torch.float64))


def gradient_of(model, x, target):
    x = x.clone().requires_grad_(True)
    return torch.autograd.grad(model(x[None])[0, target], x)[0]


def noisy_copies(inputs, nt_samples, stdevs, seed):
    """The noise itself is tested with the sampler; here it is only fed."""
    rows = list(Sampler(inputs, Pass(noise=Noise(nt_samples, stdevs)), seed).chunks(len(inputs)))
    return [[row.inputs[sample] for row in rows] for sample in range(len(inputs))]


def test_moments_over_noise(model, inputs):
    methods = [SmoothGrad(4, 0.3, nt_type) for nt_type in ("smoothgrad", "smoothgrad_sq", "vargrad")]
    found = explain(model, inputs, methods=methods, target=TARGET, seed=5, internal_batch_size=3)
    for sample, copies in enumerate(noisy_copies(inputs, 4, 0.3, 5)):
        gradients = [gradient_of(model, x, TARGET[sample]) for x in copies]
        for cell in itertools.product(range(2), (0, 3), (1, 5)):
            values = [float(gradient[cell]) for gradient in gradients]
            mean = sum(values) / 4
            expected = {
                "smooth_grad": mean,
                "smooth_grad_squared": sum(value**2 for value in values) / 4,
                "var_grad": sum((value - mean) ** 2 for value in values) / 4,
            }
            for name, value in expected.items():
                assert float(found[name].values[sample][cell]) == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize("rule", ["gauss_legendre", "midpoint", "trapezoid"])
@pytest.mark.parametrize("nt_samples", [0, 3])
def test_integrated_gradients(model, inputs, rule, nt_samples):
    baselines = [torch.rand(2, 6, 6, dtype=torch.float64), torch.zeros(2, 6, 6, dtype=torch.float64)]
    method = IntegratedGradients(5, rule, baselines, nt_samples=nt_samples, stdevs=0.3)
    found = explain(model, inputs, methods=method, target=TARGET, seed=5, internal_batch_size=7)[method.name]
    nodes, weights = (values.tolist() for values in quadrature(5, rule))
    ends = noisy_copies(inputs, nt_samples, 0.3, 5) if nt_samples else [[x] for x in inputs]
    for sample in range(2):
        total, change = torch.zeros(2, 6, 6, dtype=torch.float64), 0.0
        for end, start in itertools.product(ends[sample], baselines):
            for node, weight in zip(nodes, weights, strict=True):
                gradient = gradient_of(model, start + node * (end - start), TARGET[sample])
                total += weight * (end - start) * gradient
            with torch.no_grad():
                change += float(model(end[None])[0, TARGET[sample]] - model(start[None])[0, TARGET[sample]])
        n_paths = len(ends[sample]) * len(baselines)
        torch.testing.assert_close(found.values[sample], total / n_paths)
        delta = float(total.sum() - change) / n_paths
        assert float(found.extras["convergence_delta"][sample]) == pytest.approx(delta, abs=1e-12)


def test_guided_grad_cam(inputs):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)).double()
    model[-1].weight.data[1].abs_()
    found = explain(
        model,
        inputs,
        methods=["guided_grad_cam", "guided_backprop", "grad_cam"],
        target=1,
        target_layers="1",
    )
    upsampled = nn.functional.interpolate(found["grad_cam"].values, (6, 6), mode="bilinear")
    torch.testing.assert_close(found["guided_grad_cam"].values, upsampled * found["guided_backprop"].values)
    assert found["guided_grad_cam"].layer == "1"
