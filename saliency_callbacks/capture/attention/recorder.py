"""Sees every attention that runs, whatever it is written with, and leaves its result as it is."""

from __future__ import annotations

import types
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.graph import Node
from torch.overrides import TorchFunctionMode
from typing_extensions import override

from saliency_callbacks.capture.attention.calls import AttentionCall, ExplicitCall, FusedArguments, FusedCall
from saliency_callbacks.capture.layers.dataflow import is_kind, node_of

__all__ = ["AttentionRecorder"]

_Function = Callable[..., Any]

_SOFTMAX: frozenset[_Function] = frozenset({F.softmax, torch.softmax, Tensor.softmax, torch.special.softmax})
# What hands attention weights on, at most in another type or shape.
_HANDING_ON: frozenset[_Function] = frozenset(
    {
        F.dropout,
        torch.dropout,
        Tensor.bfloat16,
        Tensor.clone,
        Tensor.contiguous,
        Tensor.float,
        Tensor.half,
        Tensor.reshape,
        Tensor.to,
        Tensor.type,
        Tensor.type_as,
        Tensor.view,
        torch.clone,
        torch.reshape,
    }
)
_PRODUCTS: frozenset[_Function] = frozenset({torch.matmul, torch.bmm, Tensor.matmul, Tensor.bmm, Tensor.__matmul__})
_ADDED_PRODUCTS: frozenset[_Function] = frozenset({torch.baddbmm, Tensor.baddbmm})
_PRODUCT_NODES = ("Bmm", "Baddbmm")
_N_STEPS_TO_PRODUCT = 24


class _Softmax(NamedTuple):
    weights: Tensor
    handed_on: Tensor


class _EnoughError(Exception):
    """As many attentions as were asked for have run."""


class AttentionRecorder(TorchFunctionMode):
    """Keep what every attention computes that runs inside the context.

    Of the fused ``scaled_dot_product_attention``, queries, keys, values and the output are kept; it is called as it is.
    Otherwise an attention is a softmax whose result is the first factor of a product. ``nn.MultiheadAttention`` is
    looked into.

    Args:
        at_most: How many attentions may run; behind the last one the forward is left, and so is the context. ``None``
            for any number.

    Attributes:
        calls: Attentions, in execution order.
        unused: Shapes of softmaxes over the last of four dimensions that no product followed on.
    """

    def __init__(self, at_most: int | None = None) -> None:
        super().__init__()
        self.at_most = at_most
        self.calls: list[AttentionCall] = []
        # By identity; the tensors are kept, so that no other one can have theirs.
        self._softmaxes: dict[int, _Softmax] = {}
        self._used: set[int] = set()

    @property
    def unused(self) -> list[list[int]]:
        """Shapes of what may be attention weights, but is not multiplied as it is."""
        found = {id(one.weights): one.weights for one in self._softmaxes.values()}
        return [list(weights.shape) for key, weights in found.items() if key not in self._used and weights.ndim == 4]

    @override
    def __torch_function__(
        self,
        func: _Function,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.multi_head_attention_forward:
            return self._look_into(*args, **kwargs)
        if self.at_most is not None and len(self.calls) >= self.at_most:
            raise _EnoughError
        result = func(*args, **kwargs)
        if func is F.scaled_dot_product_attention:
            self.calls.append(FusedCall.of(FusedArguments(*args, **kwargs), result))
        elif func in _SOFTMAX:
            self._note(result, args, kwargs)
        elif self._softmaxes:
            self._follow(func, (*args, *kwargs.values()), result)
        return result

    def _look_into(self, query: Tensor, *args: Any, **kwargs: Any) -> Any:
        n_known = len(self.calls)
        with self:
            result = _multi_head_attention(query, *args, **kwargs)
            # It is given [T, N, K], or [T, K] of one sample, and lays out [N · heads, T, S].
            n_samples = query.shape[1] if query.ndim == 3 else 1
            self.calls[n_known:] = [replace(call, n_samples=n_samples) for call in self.calls[n_known:]]
            return result
        # The context inside has been left, and the one around it is to be, too.
        raise _EnoughError

    @override
    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> bool:
        super().__exit__(kind, error, trace)  # type: ignore[no-untyped-call]
        return kind is _EnoughError

    def _note(self, weights: Tensor, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        dim = kwargs.get("dim", args[1] if len(args) > 1 else None)
        if weights.ndim >= 3 and dim in (-1, weights.ndim - 1):
            self._softmaxes[id(weights)] = _Softmax(weights, weights)

    def _follow(self, func: _Function, args: Sequence[Any], result: Any) -> None:
        if func in _HANDING_ON:
            known = self._softmaxes.get(id(args[0]))
            if known is not None and isinstance(result, Tensor) and result.shape[-1] == known.weights.shape[-1]:
                self._softmaxes[id(result)] = _Softmax(known.weights, result)
            return
        factor = _first_factor(func, args, self._softmaxes)
        known = None if factor is None else self._softmaxes.get(id(factor))
        if known is None:
            return
        self._used.add(id(known.weights))
        nodes = _factors(known.weights)
        if nodes is not None:
            self.calls.append(ExplicitCall.of(known.weights, nodes, result))


def _first_factor(func: _Function, args: Sequence[Any], known: dict[int, _Softmax]) -> Any:
    if func in _PRODUCTS:
        return args[0]
    if func in _ADDED_PRODUCTS:
        return args[1]
    if func is torch.einsum and isinstance(args[0], str):
        factors = args[1] if len(args) == 2 and isinstance(args[1], (list, tuple)) else args[1:]
        return _summed_over_tokens(args[0], factors, known)
    return None


def _summed_over_tokens(equation: str, factors: Sequence[Any], known: dict[int, _Softmax]) -> Any:
    """Return the attention weights of which an ``einsum`` sums the last dimension alone, if there are any."""
    given, _, result = equation.replace(" ", "").partition("->")
    for labels, factor in zip(given.split(","), factors, strict=False):
        if id(factor) in known and result and labels[-1] not in result and set(labels[:-1]) <= set(result):
            return factor
    return None


def _factors(weights: Tensor) -> tuple[Node | None, Node | None] | None:
    """Return where queries and keys come from, by the product below a softmax; ``None`` where there is none."""
    if not weights.requires_grad:
        # Where the model records no gradients; whoever asks for them will be told.
        return None, None
    waiting = deque([node_of(weights)])
    for _ in range(_N_STEPS_TO_PRODUCT):
        if not waiting:
            break
        node = waiting.popleft()
        following = [function for function, _ in node.next_functions]
        if is_kind(node, _PRODUCT_NODES):
            queries, keys = following[-2:]
            return queries, keys
        waiting.extend(function for function in following if function is not None)
    return None


# The same code, but what it calls is seen: a function that hands its call to a mode is run by the mode as a whole.
_multi_head_attention = types.FunctionType(
    F.multi_head_attention_forward.__code__,
    {**vars(F), "has_torch_function": lambda tensors: False},
    "multi_head_attention_forward",
    F.multi_head_attention_forward.__defaults__,
    F.multi_head_attention_forward.__closure__,
)
_multi_head_attention.__kwdefaults__ = F.multi_head_attention_forward.__kwdefaults__
