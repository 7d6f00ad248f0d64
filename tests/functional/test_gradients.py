"""Quadrature against NumPy's own rules and exact integrals; moments and completeness against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.integrate
import torch
from hypothesis import given
from hypothesis import strategies as st

from saliency_callbacks import functional
from saliency_callbacks.errors import ConfigurationError, MethodError

RULES = ["gauss_legendre", "midpoint", "trapezoid"]


@pytest.mark.parametrize("n_steps", [1, 2, 3, 10, 50, 200])
def test_gauss_legendre_is_numpys(n_steps):
    nodes, weights = functional.quadrature(n_steps, "gauss_legendre")
    expected_nodes, expected_weights = np.polynomial.legendre.leggauss(n_steps)
    np.testing.assert_allclose(nodes.numpy(), (expected_nodes + 1) / 2, rtol=0, atol=1e-13)
    np.testing.assert_allclose(weights.numpy(), expected_weights / 2, rtol=0, atol=1e-13)


@given(st.integers(1, 12), st.lists(st.floats(-5, 5), min_size=1, max_size=24))
def test_gauss_legendre_is_exact_for_polynomials_up_to_degree_2n_minus_1(n_steps, coefficients):
    coefficients = coefficients[: 2 * n_steps]
    nodes, weights = functional.quadrature(n_steps, "gauss_legendre")
    integral = np.polynomial.Polynomial(coefficients).integ()
    approximation = (weights.numpy() * np.polynomial.Polynomial(coefficients)(nodes.numpy())).sum()
    assert approximation == pytest.approx(integral(1) - integral(0), abs=1e-11)


@pytest.mark.parametrize("n_steps", [2, 3, 51])
def test_trapezoid_is_scipys(n_steps):
    nodes, weights = functional.quadrature(n_steps, "trapezoid")
    np.testing.assert_allclose(nodes.numpy(), np.linspace(0, 1, n_steps), atol=1e-15)
    values = np.exp(np.linspace(0, 1, n_steps))
    expected = scipy.integrate.trapezoid(values, np.linspace(0, 1, n_steps))
    assert (weights.numpy() * values).sum() == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("n_steps", [1, 2, 50])
def test_midpoint_is_the_mean_over_the_centres_of_equal_cells(n_steps):
    nodes, weights = functional.quadrature(n_steps, "midpoint")
    edges = np.linspace(0, 1, n_steps + 1)
    np.testing.assert_allclose(nodes.numpy(), (edges[1:] + edges[:-1]) / 2, rtol=1e-14)
    np.testing.assert_allclose(weights.numpy(), np.diff(edges), rtol=1e-12)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("n_steps", [2, 5, 64, 300])
def test_weights_are_positive_and_sum_to_one_over_ascending_nodes(rule, n_steps):
    nodes, weights = functional.quadrature(n_steps, rule)
    assert nodes.dtype == weights.dtype == torch.float64
    assert nodes.shape == weights.shape == (n_steps,)
    assert (weights > 0).all()
    assert weights.sum().item() == pytest.approx(1, abs=1e-13)
    assert (nodes.diff() > 0).all()
    assert nodes.min() >= 0
    assert nodes.max() <= 1


def test_quadrature_names_the_nearest_rule():
    with pytest.raises(MethodError, match=r"'trapezoidal'.*'trapezoid'"):
        functional.quadrature(50, "trapezoidal")


@pytest.mark.parametrize(("rule", "n_steps"), [("gauss_legendre", 0), ("midpoint", 0), ("trapezoid", 1)])
def test_quadrature_refuses_too_few_steps(rule, n_steps):
    with pytest.raises(MethodError, match=f"n_steps={n_steps}.*{rule}"):
        functional.quadrature(n_steps, rule)


def test_variance_is_the_population_variance():
    draws = np.random.default_rng(0).normal(size=(50, 2, 3, 4))
    moments = torch.from_numpy(draws.mean(axis=0)), torch.from_numpy((draws**2).mean(axis=0))
    np.testing.assert_allclose(functional.variance(*moments).numpy(), draws.var(axis=0), rtol=1e-10)


def test_variance_is_never_negative_by_rounding_and_shows_nan():
    mean = torch.tensor([0.1, torch.nan])
    result = functional.variance(mean, mean**2 - 1e-9)
    assert result[0] == 0
    assert result[1].isnan()


@pytest.mark.parametrize("spatial", [(7,), (5, 6), (3, 4, 5)])
def test_noise_scale_is_a_fraction_of_each_samples_range(spatial):
    inputs = np.random.default_rng(1).normal(size=(4, 3, *spatial)) * np.arange(1, 5).reshape(
        -1, *[1] * len(spatial), 1
    )
    expected = [0.15 * (sample.max() - sample.min()) for sample in inputs]
    np.testing.assert_allclose(functional.noise_scale(torch.from_numpy(inputs), 0.15).numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("stdevs", [-0.1, float("nan")])
def test_noise_scale_refuses_what_is_not_a_level(stdevs):
    with pytest.raises(MethodError, match="stdevs"):
        functional.noise_scale(torch.zeros(1, 1, 2), stdevs)


def test_convergence_delta_is_zero_for_a_linear_model_and_counts_what_is_missing():
    generator = torch.Generator().manual_seed(0)
    weight, inputs = (torch.randn(*shape, generator=generator) for shape in [(2, 3, 3), (4, 2, 3, 3)])
    attributions = inputs * weight
    score_change = (inputs * weight).sum(dim=(1, 2, 3))
    torch.testing.assert_close(functional.convergence_delta(attributions, score_change), torch.zeros(4))
    torch.testing.assert_close(functional.convergence_delta(attributions, score_change - 2), torch.full((4,), 2.0))


@pytest.mark.parametrize("shape", [(1,), (4, 1), ()])
def test_convergence_delta_refuses_a_score_change_that_would_broadcast(shape):
    with pytest.raises(ConfigurationError, match="one number per sample"):
        functional.convergence_delta(torch.zeros(4, 1, 2, 2), torch.zeros(shape))
