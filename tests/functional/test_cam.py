"""Class activation maps against loops over single elements, written from the papers in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from saliency_callbacks import functional
from saliency_callbacks.errors import ConfigurationError

SPATIAL = [(7,), (3, 4), (2, 3, 2)]


def grad_cam_weight(_activation, gradient):
    return sum(gradient) / len(gradient)


def grad_cam_plus_plus_weight(activation, gradient):
    weight, total = 0.0, sum(activation)
    for g in gradient:
        denominator = 2 * g**2 + total * g**3
        alpha = g**2 / denominator if g != 0 and denominator != 0 else 0.0
        weight += alpha * max(g, 0.0)
    return weight


def xgrad_cam_weight(activation, gradient):
    total = sum(activation)
    return 0.0 if total == 0 else sum(g * a / total for g, a in zip(gradient, activation, strict=True))


def channel_weighted(weight):
    def twin(activations, gradients):
        cells = range(activations.shape[1])
        channels = range(activations.shape[0])
        weights = [weight(activations[k], gradients[k]) for k in channels]
        return [max(0.0, sum(weights[k] * activations[k, cell] for k in channels)) for cell in cells]

    return twin


def cell_weighted(weight):
    def twin(activations, gradients):
        channels = range(activations.shape[0])
        return [
            max(0.0, sum(weight(gradients[k, cell]) * activations[k, cell] for k in channels))
            for cell in range(activations.shape[1])
        ]

    return twin


TWINS = {
    "grad_cam": channel_weighted(grad_cam_weight),
    "grad_cam_plus_plus": channel_weighted(grad_cam_plus_plus_weight),
    "hires_cam": cell_weighted(lambda g: g),
    "layer_cam": cell_weighted(lambda g: max(g, 0.0)),
    "xgrad_cam": channel_weighted(xgrad_cam_weight),
}


def twin_of(name, activations, gradients):
    shape = (activations.shape[0], *activations.shape[2:])
    flat = [tensor.numpy().astype(np.float64).reshape(*tensor.shape[:2], -1) for tensor in (activations, gradients)]
    return np.array([TWINS[name](a, g) for a, g in zip(*flat, strict=True)]).reshape(shape)


def layer(*shape: int, seed: int, relu: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    activations = torch.randn(*shape, generator=generator, dtype=torch.float64)
    gradients = torch.randn(*shape, generator=generator, dtype=torch.float64)
    gradients[torch.rand(*shape, generator=generator) < 0.3] = 0
    return (activations.relu() if relu else activations), gradients


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("spatial", SPATIAL)
@pytest.mark.parametrize("name", TWINS)
def test_map_is_the_formula_of_the_paper(name, spatial, relu):
    for seed in range(3):
        activations, gradients = layer(3, 4, *spatial, seed=seed, relu=relu)
        result = getattr(functional, name)(activations, gradients)
        np.testing.assert_allclose(result.numpy(), twin_of(name, activations, gradients), rtol=1e-9, atol=1e-12)
        assert (result >= 0).all()


@pytest.mark.parametrize("name", TWINS)
def test_map_is_zero_where_all_evidence_is_against_the_class(name):
    activations, gradients = torch.ones(1, 2, 3, 3), -torch.ones(1, 2, 3, 3)
    assert getattr(functional, name)(activations, gradients).eq(0).all()


@pytest.mark.parametrize("name", TWINS)
def test_samples_do_not_interact(name):
    activations, gradients = layer(4, 3, 5, 5, seed=7)
    whole = getattr(functional, name)(activations, gradients)
    torch.testing.assert_close(getattr(functional, name)(activations[2:3], gradients[2:3]), whole[2:3])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", TWINS)
def test_half_precision_is_kept_and_does_not_overflow(name, dtype):
    activations = torch.full((1, 2, 60, 60), 30.0, dtype=dtype)
    gradients = torch.full((1, 2, 60, 60), 0.01, dtype=dtype)
    result = getattr(functional, name)(activations, gradients)
    assert result.dtype == dtype
    expected = twin_of(name, activations.float(), gradients.float())
    np.testing.assert_allclose(result.float().numpy(), expected, rtol=1e-2)


@pytest.mark.parametrize("name", TWINS)
def test_dead_layer_gives_a_zero_map(name):
    zero = torch.zeros(2, 3, 4, 4)
    assert getattr(functional, name)(zero, zero).eq(0).all()


@pytest.mark.parametrize("name", TWINS)
def test_shapes_that_differ_are_refused(name):
    with pytest.raises(ConfigurationError, match=r"\(2, 3, 4, 4\).*\(2, 3, 1, 1\)"):
        getattr(functional, name)(torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 1, 1))


@pytest.mark.parametrize("name", TWINS)
def test_what_is_not_finite_is_not_hidden(name):
    activations, gradients = layer(2, 3, 4, 4, seed=3)
    activations[1, 0, 2, 2] = torch.nan
    result = getattr(functional, name)(activations, gradients)
    assert result[0].isfinite().all()
    assert result[1].isnan().any()


def test_grad_cam_plus_plus_with_a_vanishing_denominator():
    # ΣA = -1, so 2g² + ΣA·g³ is 0 exactly where g = 2; only the cell with g = 1 is left, with α = 1/(2 - 1).
    activations = torch.tensor([[[3.0, -4.0, 0.0]]])
    gradients = torch.tensor([[[2.0, 1.0, 0.0]]])
    assert functional.grad_cam_plus_plus(activations, gradients).tolist() == [[3.0, 0.0, 0.0]]


def test_grad_cam_plus_plus_with_gradients_whose_powers_underflow():
    activations = torch.tensor([[[1.0, 2.0]]])
    gradients = torch.tensor([[[1e-20, 1e-20]]])
    torch.testing.assert_close(functional.grad_cam_plus_plus(activations, gradients), activations[:, 0] * 1e-20)


def test_xgrad_cam_with_activations_that_cancel():
    activations = torch.tensor([[[1.0, -1.0], [1.0, 3.0]], [[0.1 + 0.2, -0.3], [1.0, 3.0]]], dtype=torch.float64)
    gradients = torch.tensor([[[5.0, 2.0], [1.0, 1.0]]] * 2, dtype=torch.float64)
    assert activations[1, 0].sum() != 0
    torch.testing.assert_close(functional.xgrad_cam(activations, gradients), activations[:, 1])


def test_grad_cam_of_global_average_pooling_is_the_class_activation_map():
    activations = torch.randn(2, 5, 4, 6, generator=torch.Generator().manual_seed(0)).relu().requires_grad_()
    classifier = torch.randn(3, 5, generator=torch.Generator().manual_seed(1))
    logits = activations.mean(dim=(2, 3)) @ classifier.T
    (gradients,) = torch.autograd.grad(logits[:, 1].sum(), activations)
    class_activation_map = torch.einsum("k,nkij->nij", classifier[1], activations)
    for name in ("grad_cam", "hires_cam", "xgrad_cam"):
        result = getattr(functional, name)(activations.detach(), gradients)
        torch.testing.assert_close(result, class_activation_map.detach().relu() / (4 * 6))


def test_fuse_averages_layers_scaled_by_their_maximum_at_the_finest_resolution():
    coarse = torch.rand(3, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 100
    fine = torch.rand(3, 8, 10, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    coarse[1] = 0
    expected = np.zeros((3, 8, 10))
    for sample in range(3):
        maps = [coarse[sample] / (coarse[sample].max() if sample != 1 else 1), fine[sample] / fine[sample].max()]
        large = [F.interpolate(m[None, None], (8, 10), mode="bilinear", align_corners=False)[0, 0] for m in maps]
        expected[sample] = (large[0] + large[1]).numpy() / 2
    result = functional.fuse([coarse, fine])
    np.testing.assert_allclose(result.numpy(), expected, rtol=1e-12)
    torch.testing.assert_close(functional.fuse([fine, coarse]), result)
    assert 0 <= result.min() <= result.max() <= 1


def test_fuse_of_one_layer_only_scales():
    maps = torch.tensor([[1.0, 4.0], [0.0, 0.0]], dtype=torch.float16)
    fused = functional.fuse([maps])
    assert fused.dtype == torch.float16
    assert fused.tolist() == [[0.25, 1.0], [0.0, 0.0]]


def test_fuse_shows_a_layer_that_is_not_finite():
    broken = torch.tensor([[1.0, math.nan], [1.0, 2.0]])
    assert functional.fuse([broken, torch.ones(2, 2)]).isnan().any(dim=1).tolist() == [True, False]


def test_fuse_refuses_no_maps_and_maps_of_different_dimensions():
    with pytest.raises(ConfigurationError, match="at least one layer"):
        functional.fuse([])
    with pytest.raises(ConfigurationError, match="cannot resize"):
        functional.fuse([torch.ones(1, 4), torch.ones(1, 4, 4)])
