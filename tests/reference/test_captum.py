"""Captum as a second opinion, on torchvision networks in float64.

Captum's guided backpropagation hooks ``nn.ReLU`` modules: it refuses in-place ones and misses re-used and functional
ones, so those two methods are compared on networks in which every ReLU is a module of its own, made out of place.
"""

from __future__ import annotations

import functools

import captum.attr
import pytest
import torch
import torchvision
from torch import nn

from saliency_callbacks import explain
from saliency_callbacks.capture.passes.rows import Sampler
from saliency_callbacks.methods import GuidedGradCAM, IntegratedGradients, SmoothGrad
from saliency_callbacks.types import Noise, Pass

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning:captum"),
    pytest.mark.filterwarnings("ignore::saliency_callbacks.errors.DegenerateMapWarning"),
]

LAYERS = {
    "resnet18": "layer3",
    "squeezenet1_1": "features.12",
    "shufflenet_v2_x0_5": "conv5",
    "densenet121": "features.denseblock3",
    "swin_t": "features.1",
}
GRADIENT_NETWORKS = list(LAYERS)
RELU_NETWORKS = ["squeezenet1_1", "shufflenet_v2_x0_5", "mnasnet0_5"]


@functools.cache
def network(name):
    torch.manual_seed(0)
    model = getattr(torchvision.models, name)(num_classes=7).double().eval().requires_grad_(False)
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
        if isinstance(module, nn.BatchNorm2d):
            # Not the trivial statistics of an untrained network.
            module.running_var.uniform_(0.5, 1.5)
            module.running_mean.normal_(0, 0.1)
    return model


@pytest.fixture
def inputs():
    return torch.randn(2, 3, 64, 96, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def target():
    return torch.tensor([3, 5])


def assert_agree(found, reference):
    reference = reference.detach()
    assert reference.abs().max() > 0
    assert found.shape == reference.shape
    assert float((found - reference).abs().max() / reference.abs().max()) < 1e-5


@pytest.mark.parametrize("name", GRADIENT_NETWORKS)
def test_saliency_and_input_x_gradient(name, inputs, target):
    model = network(name)
    found = explain(model, inputs, methods=["gradient", "input_x_gradient"], target=target)
    saliency = captum.attr.Saliency(model)
    assert_agree(found["gradient"].values, saliency.attribute(inputs.clone(), target=target, abs=False))
    absolute = saliency.attribute(inputs.clone(), target=target, abs=True)
    assert_agree(found["gradient"].magnitude, absolute.amax(1))
    product = captum.attr.InputXGradient(model).attribute(inputs.clone(), target=target)
    assert_agree(found["input_x_gradient"].values, product)


@pytest.mark.parametrize("name", ["resnet18", "shufflenet_v2_x0_5"])
@pytest.mark.parametrize(("rule", "captums"), [("gauss_legendre", "gausslegendre"), ("midpoint", "riemann_middle")])
def test_integrated_gradients(name, rule, captums, inputs, target):
    model, baseline = network(name), torch.rand(1, 3, 64, 96, dtype=torch.float64)
    method = IntegratedGradients(n_steps=5, rule=rule, baselines=baseline)
    found = explain(model, inputs, methods=method, target=target)["integrated_gradients"]
    reference, delta = captum.attr.IntegratedGradients(model).attribute(
        inputs, baseline, target=target, n_steps=5, method=captums, return_convergence_delta=True
    )
    assert_agree(found.values, reference)
    assert_agree(found.extras["convergence_delta"], delta)


def test_integrated_gradients_from_zeros_and_from_several_baselines(inputs, target):
    model, other = network("squeezenet1_1"), torch.rand(2, 3, 64, 96, dtype=torch.float64)
    methods = [
        IntegratedGradients(n_steps=6),
        IntegratedGradients(n_steps=6, baselines=["zeros", other], name="several"),
    ]
    found = explain(model, inputs, methods=methods, target=target, internal_batch_size=5)
    captums = captum.attr.IntegratedGradients(model)
    from_zeros = captums.attribute(inputs, target=target, n_steps=6)
    from_other = captums.attribute(inputs, other, target=target, n_steps=6)
    assert_agree(found["integrated_gradients"].values, from_zeros)
    assert_agree(found["several"].values, (from_zeros + from_other) / 2)


@pytest.mark.parametrize("name", RELU_NETWORKS)
def test_guided_backprop_and_deconvnet(name, inputs, target):
    model = network(name)
    found = explain(model, inputs, methods=["guided_backprop", "deconvnet", "gradient"], target=target)
    guided = captum.attr.GuidedBackprop(model).attribute(inputs.clone(), target=target)
    deconvnet = captum.attr.Deconvolution(model).attribute(inputs.clone(), target=target)
    assert_agree(found["guided_backprop"].values, guided)
    assert_agree(found["deconvnet"].values, deconvnet)
    assert not torch.allclose(guided, found["gradient"].values)


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "shufflenet_v2_x0_5", "densenet121"])
def test_grad_cam(name, inputs, target):
    model = network(name)
    layer = model.get_submodule(LAYERS[name])
    found = explain(model, inputs, methods=["grad_cam"], target=target, target_layers=layer)["grad_cam"]
    reference = captum.attr.LayerGradCam(model, layer).attribute(inputs, target=target, relu_attributions=True)
    assert_agree(found.values, reference)


@pytest.mark.parametrize("name", ["squeezenet1_1", "shufflenet_v2_x0_5"])
def test_guided_grad_cam(name, inputs, target):
    model = network(name)
    layer = model.get_submodule(LAYERS[name])
    found = explain(model, inputs, methods=GuidedGradCAM(), target=target, target_layers=layer)["guided_grad_cam"]
    captums = captum.attr.GuidedGradCam(model, layer)
    assert_agree(found.values, captums.attribute(inputs.clone(), target=target, interpolate_mode="bilinear"))


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1"])
def test_noise_tunnel(name, inputs, target):
    """The noise is ours, fed to Captum's saliency; the moments are taken here."""
    model, noise = network(name), Noise(4, 0.2)
    methods = [
        SmoothGrad(noise.nt_samples, noise.stdevs, nt_type) for nt_type in ("smoothgrad", "smoothgrad_sq", "vargrad")
    ]
    found = explain(model, inputs, methods=methods, target=target, seed=7, internal_batch_size=3)
    saliency = captum.attr.Saliency(model)
    gradients = torch.stack(
        [
            saliency.attribute(rows.inputs, target=target, abs=False)
            for rows in Sampler(inputs, Pass(noise=noise), seed=7).chunks(2)
        ]
    )
    assert len(gradients) == 4
    assert_agree(found["smooth_grad"].values, gradients.mean(0))
    assert_agree(found["smooth_grad_squared"].values, gradients.square().mean(0))
    assert_agree(found["var_grad"].values, gradients.var(0, unbiased=False))


def test_smooth_integrated_gradients(inputs, target):
    model = network("squeezenet1_1")
    method = IntegratedGradients(n_steps=4, nt_samples=3, stdevs=0.1)
    found = explain(model, inputs, methods=method, target=target, seed=7)[method.name].values
    captums = captum.attr.IntegratedGradients(model)
    noisy = [rows.inputs for rows in Sampler(inputs, Pass(noise=Noise(3, 0.1)), seed=7).chunks(2)]
    reference = torch.stack([captums.attribute(x, target=target, n_steps=4) for x in noisy]).mean(0)
    assert_agree(found, reference)
