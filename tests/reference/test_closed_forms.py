"""Networks on which the right answer is known."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from saliency_callbacks import explain
from saliency_callbacks.methods import GradCAM, Gradient, IntegratedGradients, SmoothGrad

RULES = ["gauss_legendre", "midpoint", "trapezoid"]


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def images(n_samples=3):
    return torch.randn(n_samples, 2, 6, 6, dtype=torch.float64)


def smooth_network():
    return nn.Sequential(
        nn.Conv2d(2, 5, 3), nn.Tanh(), nn.Conv2d(5, 5, 3), nn.Softplus(), nn.Flatten(), nn.Linear(20, 4)
    ).double()


def relu_network(*, bias):
    return nn.Sequential(
        nn.Conv2d(2, 5, 3, padding=1, bias=bias),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(5, 6, 3, padding=1, bias=bias),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(54, 4, bias=bias),
    ).double()


@pytest.mark.parametrize("rule", RULES)
def test_linear_model(rule):
    """Gradient = W_c and integrated gradients = x ⊙ W_c."""
    model, x = nn.Sequential(nn.Flatten(), nn.Linear(72, 4)).double(), images()
    weight = model[1].weight[2].reshape(1, 2, 6, 6).expand(3, -1, -1, -1).detach()
    methods = ["gradient", "input_x_gradient", IntegratedGradients(n_steps=3, rule=rule), SmoothGrad(nt_samples=3)]
    found = explain(model, x, methods=methods, target=2)
    assert torch.equal(found["gradient"].values, weight)
    torch.testing.assert_close(found["smooth_grad"].values, weight)
    torch.testing.assert_close(found["input_x_gradient"].values, x * weight)
    torch.testing.assert_close(found["integrated_gradients"].values, x * weight)
    assert found["integrated_gradients"].extras["convergence_delta"].abs().max() < 1e-12
    torch.testing.assert_close(found["gradient"].score, model(x)[:, 2].detach())


def test_linear_model_from_several_baselines():
    model, x = nn.Sequential(nn.Flatten(), nn.Linear(72, 4)).double(), images()
    weight = model[1].weight[2].reshape(1, 2, 6, 6).detach()
    own = torch.rand(2, 6, 6, dtype=torch.float64)
    method = IntegratedGradients(n_steps=2, baselines=["zeros", "mean", own])
    found = explain(model, x, methods=method, target=2)["integrated_gradients"]
    mean_start = (x.mean(0) + own) / 3
    torch.testing.assert_close(found.values, (x - mean_start) * weight)
    assert found.extras["convergence_delta"].abs().max() < 1e-12


@pytest.mark.parametrize("rule", RULES)
def test_completeness_and_its_error_falls_with_the_steps(rule):
    model, x = smooth_network(), images()
    errors = []
    for n_steps in (3, 9, 27):
        found = explain(model, x, methods=IntegratedGradients(n_steps=n_steps, rule=rule), target=1)
        found = found["integrated_gradients"]
        change = (model(x) - model(torch.zeros_like(x)))[:, 1].detach()
        delta = found.extras["convergence_delta"]
        torch.testing.assert_close(found.values.flatten(1).sum(1) - change, delta)
        errors.append(float(delta.abs().max()))
    assert errors[0] > 3 * errors[1] > 9 * errors[2] or errors[2] < 1e-12
    assert errors[2] < (1e-9 if rule == "gauss_legendre" else 1e-2)


def test_completeness_of_noisy_paths():
    model, x = smooth_network(), images()
    method = IntegratedGradients(n_steps=20, nt_samples=3, baselines=["zeros", "noise"])
    delta = explain(model, x, methods=method, target=1)["smooth_integrated_gradients"].extras["convergence_delta"]
    assert delta.abs().max() < 1e-9


def test_bias_free_relu_network():
    """With a zero baseline input×gradient = integrated gradients, and both sum to the logit."""
    model, x = relu_network(bias=False), images()
    found = explain(model, x, methods=["input_x_gradient", IntegratedGradients(n_steps=4)], target=1)
    torch.testing.assert_close(found["integrated_gradients"].values, found["input_x_gradient"].values)
    torch.testing.assert_close(found["input_x_gradient"].values.flatten(1).sum(1), model(x)[:, 1].detach())
    biased = explain(relu_network(bias=True), x, methods=["input_x_gradient", IntegratedGradients()], target=1)
    assert not torch.allclose(biased["integrated_gradients"].values, biased["input_x_gradient"].values)


@pytest.mark.parametrize("methods", [[GradCAM()], [GradCAM(), Gradient()]])
def test_global_average_pool_and_linear(methods):
    """Grad-CAM = ReLU(CAM) / (H·W)."""
    model = nn.Sequential(nn.Conv2d(2, 5, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 4))
    model, x = model.double(), images()
    model[-1].weight.data[2] = torch.tensor([1.0, -1, 1, -1, 0.5])
    found = explain(model, x, methods=methods, target=2, target_layers="1")["grad_cam"].values
    maps = model[:2](x)
    cam = torch.einsum("k,nkhw->nhw", model[-1].weight[2], maps)
    torch.testing.assert_close(found[:, 0], (cam.relu() / 16).detach())
    assert (cam < 0).any()
    assert (cam > 0).any()


def test_smooth_grad_without_noise_is_the_gradient():
    model, x = smooth_network(), images()
    methods = ["gradient", *(SmoothGrad(3, 0.0, nt_type) for nt_type in ("smoothgrad", "smoothgrad_sq", "vargrad"))]
    found = explain(model, x, methods=methods, target=1)
    torch.testing.assert_close(found["smooth_grad"].values, found["gradient"].values)
    torch.testing.assert_close(found["smooth_grad_squared"].values, found["gradient"].values ** 2)


@pytest.mark.filterwarnings("ignore::saliency_callbacks.errors.DegenerateMapWarning")
def test_var_grad_without_noise_is_zero():
    found = explain(smooth_network(), images(), methods=SmoothGrad(3, 0.0, "vargrad"), target=1)["var_grad"].values
    assert found.abs().max() < 1e-15


def test_a_shift_of_the_input_with_a_compensated_bias():
    """The gradient does not change."""
    model, x, shift = smooth_network(), images(), 0.7
    shifted = copy.deepcopy(model)
    shifted[0].bias.data -= shift * model[0].weight.data.sum((1, 2, 3))
    torch.testing.assert_close(shifted(x + shift), model(x))
    found = explain(model, x, methods=["gradient", "input_x_gradient"], target=1)
    moved = explain(shifted, x + shift, methods=["gradient", "input_x_gradient"], target=1)
    torch.testing.assert_close(moved["gradient"].values, found["gradient"].values)
    assert not torch.allclose(moved["input_x_gradient"].values, found["input_x_gradient"].values)


def test_guided_backprop_of_one_network_written_in_three_ways():
    class Net(nn.Module):
        def __init__(self, relu):
            super().__init__()
            torch.manual_seed(0)
            self.relu = relu
            self.first, self.second, self.head = nn.Conv2d(2, 5, 3), nn.Conv2d(5, 5, 3), nn.Linear(20, 4)

        def forward(self, x):
            return self.head(self.relu(self.second(self.relu(self.first(x)))).flatten(1))

    x = images()
    found = [
        explain(Net(relu).double(), x, methods=["gradient", "guided_backprop"], target=1)
        for relu in (nn.ReLU(), F.relu, nn.ReLU(inplace=True))
    ]
    for other in found[1:]:
        assert torch.equal(other["guided_backprop"].values, found[0]["guided_backprop"].values)
    assert not torch.allclose(found[0]["guided_backprop"].values, found[0]["gradient"].values)
