"""What gradient methods need besides the gradient: quadrature on a path, moments over noise, completeness."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from saliency_callbacks.errors import ConfigurationError, MethodError, nearest_names
from saliency_callbacks.types import PathRule

__all__ = ["convergence_delta", "noise_scale", "quadrature", "variance"]


def quadrature(n_steps: int, rule: PathRule) -> tuple[Tensor, Tensor]:
    """Return nodes and weights with ∫₀¹ h(α) dα ≈ Σ_i weights_i · h(nodes_i).

    ``gauss_legendre`` is exact for polynomials up to degree 2·n_steps - 1, ``midpoint`` and ``trapezoid`` up to 1.

    Args:
        n_steps: Number of nodes; at least 1, at least 2 for ``trapezoid``, whose nodes include both ends.
        rule: Name of the rule.

    Returns:
        Ascending nodes in [0, 1] and positive weights that sum to 1, both float64 ``[n_steps]`` on the CPU.

    Raises:
        MethodError: If ``rule`` is unknown or ``n_steps`` is too small for it.

    Reference:
        Golub and Welsch 1969, doi 10.1090/S0025-5718-69-99647-1 (Gauss-Legendre from an eigenproblem); the integral
        is that of Sundararajan et al. 2017, arXiv 1703.01365, Eq. 1.

    Example:
        >>> nodes, weights = quadrature(2, "gauss_legendre")
        >>> round(float((weights * nodes**3).sum()), 12)
        0.25
    """
    if rule not in _RULES:
        raise MethodError(f"unknown quadrature rule {rule!r}; {nearest_names(rule, _RULES)}")
    fewest = 2 if rule == "trapezoid" else 1
    if n_steps < fewest:
        raise MethodError(f"n_steps={n_steps} is too small for rule {rule!r}; give at least {fewest}, e.g. 50")
    return _RULES[rule](n_steps)


def _gauss_legendre(n_steps: int) -> tuple[Tensor, Tensor]:
    index = torch.arange(1, n_steps, dtype=torch.float64, device="cpu")
    coupling = index / (4 * index**2 - 1).sqrt()
    roots, vectors = torch.linalg.eigh(torch.diag(coupling, 1) + torch.diag(coupling, -1))
    return (roots + 1) / 2, vectors[0] ** 2


def _midpoint(n_steps: int) -> tuple[Tensor, Tensor]:
    nodes = (torch.arange(n_steps, dtype=torch.float64, device="cpu") + 0.5) / n_steps
    return nodes, torch.full_like(nodes, 1 / n_steps)


def _trapezoid(n_steps: int) -> tuple[Tensor, Tensor]:
    nodes = torch.linspace(0, 1, n_steps, dtype=torch.float64, device="cpu")
    inner = torch.full_like(nodes[1:-1], 1 / (n_steps - 1))
    end = torch.full_like(nodes[:1], 0.5 / (n_steps - 1))
    return nodes, torch.cat([end, inner, end])


_RULES: Mapping[str, Callable[[int], tuple[Tensor, Tensor]]] = {
    "gauss_legendre": _gauss_legendre,
    "midpoint": _midpoint,
    "trapezoid": _trapezoid,
}


def variance(mean: Tensor, mean_square: Tensor) -> Tensor:
    """Return E[g²] - E[g]² from two running moments of the same shape; at least 0, which rounding may violate."""
    return (mean_square - mean**2).clamp(min=0)


def noise_scale(inputs: Tensor, stdevs: float) -> Tensor:
    """Return the standard deviation of the noise for each sample: stdevs · (max x - min x).

    Args:
        inputs: Samples ``[N, C, *spatial]``.
        stdevs: Noise level as a fraction of each sample's own range, at least 0.

    Returns:
        ``[N]``, in the unit of ``inputs``.

    Raises:
        MethodError: If ``stdevs`` is negative or NaN.

    Reference:
        Smilkov et al. 2017, arXiv 1706.03825, §3: the noise level is σ / (x_max - x_min).
    """
    if not stdevs >= 0:
        raise MethodError(f"stdevs={stdevs} is not a noise level; give a fraction of the input's range, e.g. 0.15")
    flat = inputs.flatten(1)
    return stdevs * (flat.amax(dim=1) - flat.amin(dim=1))


def convergence_delta(attributions: Tensor, score_change: Tensor) -> Tensor:
    """Return how far path attributions are from complete: Σ attributions - (f(x) - f(x′)), ideally 0.

    Args:
        attributions: Path attributions ``[N, C, *spatial]``.
        score_change: Score at the input minus score at the baseline, ``[N]``.

    Returns:
        ``[N]``, signed, in the unit of the score.

    Raises:
        ConfigurationError: If ``score_change`` is not one number a sample.

    Reference:
        Sundararajan et al. 2017, arXiv 1703.01365, Proposition 1.
    """
    if score_change.shape != attributions.shape[:1]:
        raise ConfigurationError(
            f"score_change has shape {tuple(score_change.shape)} for attributions {tuple(attributions.shape)}; give "
            f"one number per sample, shape ({attributions.shape[0]},)"
        )
    return attributions.flatten(1).sum(dim=1) - score_change
