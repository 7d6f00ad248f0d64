"""SmoothGrad and its squared and variance forms, all from one pass over noisy inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from saliency_callbacks.config.checks import checked_choice, checked_integer, checked_real
from saliency_callbacks.errors import MethodError
from saliency_callbacks.functional.gradients import variance
from saliency_callbacks.methods.gradients import needed
from saliency_callbacks.types import Evidence, Noise, Pass, Quantity, RawMap, Reduction

__all__ = ["SmoothGrad"]

NoiseTunnel = Literal["smoothgrad", "smoothgrad_sq", "vargrad"]
_NAMES = {"smoothgrad": "smooth_grad", "smoothgrad_sq": "smooth_grad_squared", "vargrad": "var_grad"}
_QUANTITIES = {
    "smoothgrad": Quantity.GRADIENT,
    "smoothgrad_sq": Quantity.GRADIENT_SQUARE,
    "vargrad": Quantity.GRADIENT | Quantity.GRADIENT_SQUARE,
}


@dataclass(frozen=True)
class SmoothGrad:
    r"""Mean, mean square or variance of the gradient around the input.

    .. math:: R = \mathrm{E}_{\epsilon \sim N(0, \sigma^2)}\left[ g(x + \epsilon) \right]
        \quad\text{or}\quad \mathrm{E}[g^2] \quad\text{or}\quad \mathrm{E}[g^2] - \mathrm{E}[g]^2

    with :math:`g = \partial f_c / \partial x` and :math:`\sigma` = ``stdevs`` · (max - min of the sample). Values are
    ``[N, C, *spatial]``, signed for ``smoothgrad``, non-negative otherwise. The noise is the same for every sample,
    batch and epoch. The three forms with equal ``nt_samples`` and ``stdevs`` share one pass.

    Args:
        nt_samples: Number of noisy copies.
        stdevs: Standard deviation of the noise, as a fraction of each sample's (max - min).
        nt_type: ``smoothgrad``, ``smoothgrad_sq`` or ``vargrad`` (population variance).
        reduction: How channels become one map, as of :class:`~saliency_callbacks.methods.Gradient`.
        name: Key of the result; by default ``smooth_grad``, ``smooth_grad_squared`` or ``var_grad``.

    Raises:
        MethodError: If a hyperparameter is out of its range.

    Example:
        >>> from saliency_callbacks import SaliencyMonitor
        >>> monitor = SaliencyMonitor([SmoothGrad(nt_samples=20), SmoothGrad(nt_samples=20, nt_type="vargrad")])
        >>> [method.name for method in monitor.settings.methods]
        ['smooth_grad', 'var_grad']

    Reference:
        Smilkov et al. 2017, arXiv 1706.03825, eq. 1; VarGrad: Adebayo et al. 2018, arXiv 1810.03292, appendix.
    """

    nt_samples: int = 50
    stdevs: float = 0.15
    nt_type: NoiseTunnel = "smoothgrad"
    reduction: Reduction = "abs_max"
    name: str = ""

    def __post_init__(self) -> None:
        checked_choice("smooth_grad: nt_type", self.nt_type, get_args(NoiseTunnel), error=MethodError)
        if not self.name:
            object.__setattr__(self, "name", _NAMES[self.nt_type])
        checked_choice(f"{self.name}: reduction", self.reduction, get_args(Reduction), error=MethodError)
        checked_integer(f"{self.name}: nt_samples", self.nt_samples, 1, error=MethodError)
        checked_real(f"{self.name}: stdevs", self.stdevs, at_least=0, error=MethodError)

    @property
    def _pass(self) -> Pass:
        return Pass(noise=Noise(self.nt_samples, self.stdevs))

    def requires(self) -> Mapping[Pass, Quantity]:
        """One noise pass; the running moments of its gradients."""
        return {self._pass: _QUANTITIES[self.nt_type]}

    def attribute(self, evidence: Mapping[Pass, Evidence]) -> RawMap:
        """Return the moment that ``nt_type`` names."""
        noisy = evidence[self._pass]
        if self.nt_type == "smoothgrad":
            values = needed(noisy.gradient)
        elif self.nt_type == "smoothgrad_sq":
            values = needed(noisy.gradient_square)
        else:
            values = variance(needed(noisy.gradient), needed(noisy.gradient_square))
        return RawMap(values, self.reduction)
