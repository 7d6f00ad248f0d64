"""Integrated gradients, plain and averaged over noisy inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import torch
from torch import Tensor

from saliency_callbacks.config.checks import checked_choice, checked_integer, checked_real
from saliency_callbacks.errors import MethodError, nearest_names
from saliency_callbacks.functional.gradients import convergence_delta
from saliency_callbacks.methods.gradients import needed
from saliency_callbacks.types import (
    Baseline,
    Evidence,
    Noise,
    Pass,
    Path,
    PathRule,
    Quantity,
    RawMap,
    Reduction,
    TensorBaseline,
)

__all__ = ["IntegratedGradients"]

_NAMED_BASELINES = ("zeros", "mean", "noise", "pad_token", "mask_token")


@dataclass(frozen=True)
class IntegratedGradients:
    r"""Integrated gradients along the straight line from a baseline to the input.

    .. math:: R = (x - x') \odot \int_0^1 \frac{\partial f_c(x' + \alpha (x - x'))}{\partial x} \, d\alpha

    Values are signed, ``[N, C, *spatial]``, in score units. ``extras["convergence_delta"]`` ``[N]`` is
    :math:`\sum R - (f_c(x) - f_c(x'))`, the error of the quadrature. Several baselines are averaged. With
    ``nt_samples`` the result is averaged over that many noisy copies of the input (smooth integrated gradients).

    Args:
        n_steps: Points on each path.
        rule: ``gauss_legendre``, ``midpoint`` or ``trapezoid``.
        baselines: ``"zeros"``, ``"mean"`` (of the batch), ``"noise"`` (uniform within each sample's range), a number,
            a tensor ``[C, *spatial]`` or ``[N, C, *spatial]``, or a list of these. For text inputs also ``"pad_token"``
            and ``"mask_token"``: every token but the special ones is replaced by that.
        nt_samples: Noisy copies of the input; 0 for none.
        stdevs: Standard deviation of the noise, as a fraction of each sample's (max - min).
        reduction: How channels become one map, as of :class:`~saliency_callbacks.methods.Gradient`.
        name: Key of the result; by default ``integrated_gradients``, with noise ``smooth_integrated_gradients``.

    Raises:
        MethodError: If a hyperparameter is out of its range.

    Example:
        >>> from saliency_callbacks import explain
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2), torch.nn.Sigmoid())
        >>> method = IntegratedGradients(n_steps=20, baselines=["zeros", "mean"])
        >>> found = explain(model, torch.rand(5, 3, 2, 2), methods=method)["integrated_gradients"]
        >>> bool(found.extras["convergence_delta"].abs().max() < 1e-4)
        True

    Reference:
        Sundararajan et al. 2017, arXiv 1703.01365, eq. 1 and proposition 1 (completeness).
    """

    n_steps: int = 50
    rule: PathRule = "gauss_legendre"
    baselines: Any = "zeros"
    nt_samples: int = 0
    stdevs: float = 0.15
    reduction: Reduction = "sum"
    name: str = ""

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", ("smooth_" if self.nt_samples else "") + "integrated_gradients")
        checked_choice(f"{self.name}: rule", self.rule, get_args(PathRule), error=MethodError)
        checked_choice(f"{self.name}: reduction", self.reduction, get_args(Reduction), error=MethodError)
        least = 2 if self.rule == "trapezoid" else 1
        checked_integer(f"{self.name}: n_steps", self.n_steps, least, error=MethodError)
        checked_integer(f"{self.name}: nt_samples", self.nt_samples, 0, error=MethodError)
        checked_real(f"{self.name}: stdevs", self.stdevs, at_least=0, error=MethodError)
        object.__setattr__(self, "baselines", _baselines(self.name, self.baselines))

    @property
    def _pass(self) -> Pass:
        noise = Noise(self.nt_samples, self.stdevs) if self.nt_samples else None
        return Pass(path=Path(self.n_steps, self.rule, self.baselines), noise=noise)

    def requires(self) -> Mapping[Pass, Quantity]:
        """One path pass; the integral of the gradient along it."""
        return {self._pass: Quantity.PATH_INTEGRAL}

    def attribute(self, evidence: Mapping[Pass, Evidence]) -> RawMap:
        """Return the integral, and how far it is from completeness."""
        path = evidence[self._pass]
        values = needed(path.path_integral)
        delta = convergence_delta(values, needed(path.score_change))
        return RawMap(values, self.reduction, extras={"convergence_delta": delta})


def _baselines(method: str, given: Any) -> tuple[Baseline, ...]:
    several = given if isinstance(given, Sequence) and not isinstance(given, str) else [given]
    if not several:
        raise MethodError(
            f"{method}: baselines is empty; expected 'zeros', 'mean', 'noise', a tensor, or a list of these"
        )
    return tuple(_baseline(method, one) for one in several)


def _baseline(method: str, given: Any) -> Baseline:
    if isinstance(given, (int, float)) and not isinstance(given, bool):
        return TensorBaseline(torch.tensor(float(given)))
    if isinstance(given, Tensor):
        return TensorBaseline(given.detach())
    if isinstance(given, TensorBaseline) or (isinstance(given, str) and given in _NAMED_BASELINES):
        return given  # type: ignore[return-value]
    raise MethodError(
        f"{method}: baseline {given!r} is unknown; {nearest_names(str(given), _NAMED_BASELINES)} "
        "Expected 'zeros', 'mean', 'noise', a tensor, or a list of these; for text inputs also 'pad_token' and "
        "'mask_token'"
    )
