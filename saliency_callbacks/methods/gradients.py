"""Methods that need one plain gradient: the vanilla gradient, and input × gradient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, get_args

from torch import Tensor
from typing_extensions import override

from saliency_callbacks.config.checks import checked_choice
from saliency_callbacks.errors import MethodError
from saliency_callbacks.types import Evidence, Pass, Quantity, RawMap, Reduction

__all__ = ["Gradient", "InputXGradient", "OnePassGradient", "needed"]


@dataclass(frozen=True)
class OnePassGradient:
    """The gradient of one pass, reduced in any way; base of the methods that differ in that pass alone."""

    gradient_of: ClassVar[Pass]
    reduction: Reduction = "abs_max"
    name: str = ""

    def __post_init__(self) -> None:
        checked_choice(f"{self.name}: reduction", self.reduction, get_args(Reduction), error=MethodError)

    def requires(self) -> Mapping[Pass, Quantity]:
        """One pass; its gradient."""
        return {self.gradient_of: Quantity.GRADIENT}

    def attribute(self, evidence: Mapping[Pass, Evidence]) -> RawMap:
        """Return the gradient as it is."""
        return RawMap(needed(evidence[self.gradient_of].gradient), self.reduction)


@dataclass(frozen=True)
class Gradient(OnePassGradient):
    r"""Vanilla gradient of the explained score with respect to the input.

    .. math:: R = \frac{\partial f_c}{\partial x}

    Values are signed, ``[N, C, *spatial]``, in score units per input unit.

    Args:
        reduction: How channels become one map: ``abs_max`` (the paper's), ``positive_max`` (ReLU, then max), ``l2``,
            ``abs_sum`` or ``sum`` (absolute value of the sum).
        name: Key of the result and ``{method}`` in the logged tags.

    Raises:
        MethodError: If the reduction is unknown.

    Example:
        >>> import torch
        >>> from saliency_callbacks import explain
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2))
        >>> found = explain(model, torch.rand(5, 3, 2, 2), methods=[Gradient(), Gradient("l2", name="gradient_l2")])
        >>> found["gradient_l2"].values.shape, found["gradient_l2"].magnitude.shape
        (torch.Size([5, 3, 2, 2]), torch.Size([5, 2, 2]))

    Reference:
        Simonyan et al. 2013, arXiv 1312.6034, §3.
    """

    gradient_of: ClassVar[Pass] = Pass()
    name: str = "gradient"


@dataclass(frozen=True)
class InputXGradient(OnePassGradient):
    r"""Input times gradient.

    .. math:: R = x \odot \frac{\partial f_c}{\partial x}

    Values are signed, ``[N, C, *spatial]``, in score units. On a bias-free ReLU network they sum to the score.

    Args:
        reduction: How channels become one map, as of :class:`Gradient`. The default is the absolute value of the sum:
            the attribution of a pixel is the sum over its channels.
        name: Key of the result and ``{method}`` in the logged tags.

    Raises:
        MethodError: If the reduction is unknown.

    Example:
        >>> import torch
        >>> from saliency_callbacks import explain
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2, bias=False))
        >>> found = explain(model, torch.rand(5, 3, 2, 2), methods=InputXGradient())["input_x_gradient"]
        >>> torch.allclose(found.values.sum(dim=(1, 2, 3)), found.score, atol=1e-5)
        True

    Reference:
        Shrikumar et al. 2016, arXiv 1605.01713.
    """

    gradient_of: ClassVar[Pass] = Pass()
    reduction: Reduction = "sum"
    name: str = "input_x_gradient"

    @override
    def attribute(self, evidence: Mapping[Pass, Evidence]) -> RawMap:
        """Multiply the gradient by the input."""
        point = evidence[Pass()]
        values = point.inputs * needed(point.gradient)
        return RawMap(values, self.reduction)


def needed(quantity: Tensor | None) -> Tensor:
    """Return a quantity that the method itself declared; its absence is a defect of the engine."""
    assert quantity is not None, "the engine did not keep a quantity that the method requires"
    return quantity
