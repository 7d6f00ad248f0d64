"""The attentions that lead from the explained input to the score, one after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node

from saliency_callbacks.capture.attention.calls import AttentionCall, ExplicitCall
from saliency_callbacks.capture.attention.recorder import AttentionRecorder
from saliency_callbacks.capture.layers.dataflow import (
    BATCHED_PRODUCTS,
    Dataflow,
    is_kind,
    is_product_of_activations,
    node_of,
)
from saliency_callbacks.errors import GradientError, LayerError

__all__ = ["chained"]

_INSTEAD = "Use methods that need no attention, e.g. 'gradient' or 'grad_cam'"
_LOOKED_FOR = (
    "expected `scaled_dot_product_attention`, or a softmax over the tokens of a product of queries and keys that is "
    "multiplied with the values as it is"
)


def chained(recorder: AttentionRecorder, model: nn.Module, rows: Tensor, score: Tensor) -> list[AttentionCall]:
    """Return the attentions between the input and the score, in execution order.

    Each reads what the one before it put out. Those of another input alone (the other tower of a model of pictures and
    texts) are left out, as are those that the score does not depend on.

    Args:
        recorder: What ran.
        model: The model, for messages.
        rows: What was fed, in the graph.
        score: What is explained.

    Raises:
        LayerError: If there is none, or they do not follow on each other.
        GradientError: If the model records no gradients of them.
    """
    _check_seen(recorder, model)
    if not all(call.output.requires_grad for call in recorder.calls) or not score.requires_grad:
        raise GradientError(
            "an attention of the model runs without gradients: under `torch.no_grad()`, or behind a `detach()`. Let "
            "`forward` record gradients, or use class activation maps at layers above that part"
        )
    source, flow = node_of(rows), Dataflow(score)
    read = set(flow.nodes)
    chain: list[AttentionCall] = []
    for call in recorder.calls:
        if call.result not in read:
            continue
        before = chain[-1].result if chain else source
        if _reaches(call.keys, before):
            _check_queries(call, before)
            chain.append(call)
        elif _reaches(call.keys, source) or _reaches(call.queries, source):
            raise LayerError(
                f"attention {len(chain) + 1} of {type(model).__name__}, with weights {list(call.shape)}, does not "
                "attend to what the one before it put out: there are several streams of tokens (an encoder with a "
                f"decoder, branches side by side); expected one. {_INSTEAD}"
            )
    if not chain:
        raise LayerError(
            f"none of the {len(recorder.calls)} attentions of {type(model).__name__} lies between the explained input "
            f"and the score; expected at least one. {_INSTEAD}"
        )
    _check_all_seen(model, chain, flow, flow.reaching([source]) & read)
    _check_orders(chain, len(rows), score)
    return chain


def _check_orders(chain: Sequence[AttentionCall], n_rows: int, score: Tensor) -> None:
    """Refuse weights of which it is not known which are of which sample, where gradients do not prove it either."""
    unknown = [call for call in chain if call.has_unknown_order(n_rows)]
    for row in (0, n_rows - 1) if unknown else ():
        outputs = [call.output for call in unknown]
        found = torch.autograd.grad(score[row], outputs, retain_graph=True, allow_unused=True)
        for call, gradient in zip(unknown, found, strict=True):
            n_heads = call.shape[0] // n_rows
            own = slice(row * n_heads, (row + 1) * n_heads)
            reached = None if gradient is None else gradient.flatten(1).ne(0).any(dim=1)
            if reached is None or not bool(reached[own].any()) or reached.sum() > reached[own].sum():
                raise LayerError(
                    f"an attention has weights {list(call.shape)} for {n_rows} samples, and nothing proves which of "
                    "them are whose; expected [N, heads, T, S], or [N · heads, T, S] with all heads of a sample in a "
                    f"row. {_INSTEAD}"
                )


def _check_all_seen(model: nn.Module, chain: Sequence[AttentionCall], flow: Dataflow, dependent: set[Node]) -> None:
    """Refuse what multiplies activations and was not seen to be an attention: it may be one."""
    known = {product for call in chain for product in _products(call, dependent)}
    unknown = [node for node in flow.nodes if is_product_of_activations(node, dependent) and node not in known]
    if unknown:
        raise LayerError(
            f"{type(model).__name__} has {len(chain)} attentions that can be seen, and {len(unknown)} other products "
            f"of two activations ({unknown[0].name()}), which may be attention written in another way; {_LOOKED_FOR}. "
            f"{_INSTEAD}"
        )


def _products(call: AttentionCall, dependent: set[Node]) -> list[Node]:
    """Return the products of weights and values, and of queries and keys; a fused attention may be one step."""
    last = _first_product(call.result, dependent)
    if last is None or not is_kind(last, BATCHED_PRODUCTS):
        return [] if last is None else [last]
    weights = node_of(call.output) if isinstance(call, ExplicitCall) else last.next_functions[-2][0]
    first = _first_product(weights, dependent)
    return [last] if first is None else [last, first]


def _first_product(start: Node | None, dependent: set[Node]) -> Node | None:
    waiting = deque([start])
    seen: set[Node | None] = {start}
    while waiting:
        node = waiting.popleft()
        if node is None or is_product_of_activations(node, dependent):
            return node
        following = {function for function, _ in node.next_functions if function in dependent} - seen
        seen |= following
        waiting.extend(following)
    return None


def _check_queries(call: AttentionCall, before: Node | None) -> None:
    if call.shape[-1] == call.shape[-2] and not _reaches(call.queries, before):
        raise LayerError(
            f"an attention with weights {list(call.shape)} has queries that do not come from the tokens it attends to; "
            f"expected self-attention, or queries of another number than there are tokens. {_INSTEAD}"
        )


def _check_seen(recorder: AttentionRecorder, model: nn.Module) -> None:
    found = [f"softmaxes over {shape} that are not multiplied as they are" for shape in recorder.unused[:1]]
    if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        found.append("TorchScript, which cannot be looked into")
    if not recorder.calls:
        raise LayerError(
            f"{type(model).__name__} runs no attention that can be seen; {_LOOKED_FOR}. Found: "
            f"{' and '.join(found) or 'none of these'}. Kernels of flash_attn, xformers and flex_attention, and linear "
            f"attention, cannot be seen either. Choose the model's 'sdpa' or 'eager' attention. {_INSTEAD}"
        )
    if recorder.unused:
        raise LayerError(
            f"{type(model).__name__} has attention that can be seen and {found[0]} (mixed heads, for instance), so "
            f"that not all of it is known; {_LOOKED_FOR}. {_INSTEAD}"
        )


def _reaches(start: Node | None, goal: Node | None) -> bool:
    return start is not None and goal is not None and goal in _below(start, goal)


def _below(start: Node, goal: Node | None = None) -> set[Node | None]:
    """Return all nodes that ``start`` depends on, or enough of them to have found ``goal``."""
    waiting: deque[Node] = deque([start])
    seen: set[Node | None] = {start}
    while waiting and (goal is None or goal not in seen):
        for function, _ in waiting.popleft().next_functions:
            if function is not None and function not in seen:
                seen.add(function)
                waiting.append(function)
    return seen
