"""Gradients that reach a batch norm in an order of memory that it misreads."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor
from torch.autograd.graph import Node

from saliency_callbacks.capture.layers.dataflow import is_kind, node_of

__all__ = ["order_gradients"]

_NORMS = ("BatchNorm", "CudnnBatchNorm", "NativeBatchNorm", "NativeBatchNormLegit")


def order_gradients(output: Tensor) -> None:
    """Let gradients of ``output`` arrive contiguous at every batch norm that it was computed with.

    The gradient of a single sample that was flattened to tokens and transposed looks channels-last and contiguous both
    ways, as its first stride means nothing. On a CPU, torch (2.14) then reads it in the wrong order: the gradient below
    a convolution, a batch norm and tokens is wrong by more than its size. With two samples it is right.

    Args:
        output: In the graph; it may be of any number of samples.
    """
    for node in _below(node_of(output)):
        if is_kind(node, _NORMS):
            node.register_prehook(_contiguous)


def _contiguous(gradients: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    # An output that nothing depends on has none.
    return tuple(gradient if gradient is None else gradient.contiguous() for gradient in gradients)


def _below(start: Node) -> Iterator[Node]:
    waiting, seen = [start], {start}
    while waiting:
        node = waiting.pop()
        yield node
        following = {function for function, _ in node.next_functions if function is not None} - seen
        seen |= following
        waiting += following
