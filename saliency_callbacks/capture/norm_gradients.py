"""Gradients that reach a batch norm in an order of memory that it misreads."""

from __future__ import annotations

from torch import Tensor

from saliency_callbacks.capture.layers.dataflow import Dataflow, is_kind

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
    for node in Dataflow(output).nodes:
        if is_kind(node, _NORMS):
            node.register_prehook(_contiguous)


def _contiguous(gradients: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
    # An output that nothing depends on has none.
    return tuple(None if gradient is None else gradient.contiguous() for gradient in gradients)
