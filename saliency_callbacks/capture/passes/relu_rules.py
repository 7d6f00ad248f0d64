"""Backward rules of the ReLU for guided backpropagation and the deconvnet.

The rules act on the *function*, through a ``TorchFunctionMode``: module, functional, in-place and re-used
ReLUs are all covered, and the model is never edited.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

__all__ = ["ReluRuleMode"]


class _Call(NamedTuple):
    """A ReLU call: its input, the upper end of its linear range, and whether it overwrites its input."""

    value: Tensor
    ceiling: float
    inplace: bool


# Readers of a call; each has the signature of the functions it reads.
def _relu(input: Tensor, inplace: bool = False) -> _Call:  # noqa: A002
    return _Call(input, math.inf, inplace)


def _relu_in_place(input: Tensor) -> _Call:  # noqa: A002
    return _Call(input, math.inf, True)


def _relu6(input: Tensor, inplace: bool = False) -> _Call:  # noqa: A002
    return _Call(input, 6.0, inplace)


def _hardtanh(
    input: Tensor,  # noqa: A002
    min_val: float = -1.0,
    max_val: float = 1.0,
    inplace: bool = False,
) -> _Call | None:
    return _Call(input, max_val, inplace) if min_val == 0 else None


_READERS: Mapping[Callable[..., Any], Callable[..., _Call | None]] = {
    torch.relu: _relu,
    torch.relu_: _relu_in_place,
    Tensor.relu: _relu,
    Tensor.relu_: _relu_in_place,
    F.relu: _relu,
    F.relu6: _relu6,
    F.hardtanh: _hardtanh,  # what `nn.ReLU6` calls
}
_OTHER_ACTIVATIONS: frozenset[Callable[..., Any]] = frozenset(
    {F.gelu, F.silu, F.mish, F.elu, F.selu, F.celu, F.leaky_relu, F.rrelu, F.softplus, F.hardswish, F.hardtanh, F.prelu}
)


class _RuledRelu(torch.autograd.Function):
    """ReLU (clipped at ``ceiling``) whose backward lets only positive gradients pass.

    ``guided`` also asks for a positive forward input below the ceiling, ``deconvnet`` does not.
    """

    @staticmethod
    def forward(ctx: Any, value: Tensor, rule: str, ceiling: float) -> Tensor:
        ctx.rule = rule
        # Activation checkpointing runs the forward again, without the rule, and finds other tensors to keep. A boolean
        # fits none of them, so that it fails instead of going on with wrong ones; `deconvnet` keeps one for that alone.
        linear = (value > 0) & (value < ceiling) if rule == "guided" else torch.empty(0, dtype=torch.bool)
        ctx.save_for_backward(linear)
        return value.clamp(min=0.0, max=ceiling)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (linear,) = ctx.saved_tensors
        passed = gradients[0].clamp(min=0)
        return (passed * linear if ctx.rule == "guided" else passed), None, None


class ReluRuleMode(TorchFunctionMode):
    r"""Give every ReLU that runs inside the context another backward.

    With :math:`y = \mathrm{ReLU}(x)` and incoming gradient :math:`g`:

    - ``deconvnet``: :math:`\mathrm{ReLU}(g)`
    - ``guided``: :math:`\mathbb{1}[x > 0] \, \mathrm{ReLU}(g)`

    ReLU6 and ``Hardtanh(0, …)`` are treated alike, with their own linear range. The forward values are unchanged.

    Attributes:
        n_relus: ReLU calls that followed the rule.
        other_activations: Names of the activations that ran and that the rule does not cover.

    Reference:
        Zeiler & Fergus 2013, arXiv 1311.2901, §2.1; Springenberg et al. 2014, arXiv 1412.6806, §3.4.
    """

    def __init__(self, rule: Literal["guided", "deconvnet"]) -> None:
        super().__init__()
        self.rule = rule
        self.n_relus = 0
        self.other_activations: set[str] = set()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Intercept the ReLU family; everything else runs as it is."""
        kwargs = kwargs or {}
        call = _READERS[func](*args, **kwargs) if func in _READERS else None
        if call is None:
            if func in _OTHER_ACTIVATIONS:
                self.other_activations.add(func.__name__)
            return func(*args, **kwargs)
        self.n_relus += 1
        result: Tensor = _RuledRelu.apply(call.value, self.rule, call.ceiling)
        # In place, the caller may go on with the input itself and drop the returned value.
        return call.value.copy_(result) if call.inplace else result
