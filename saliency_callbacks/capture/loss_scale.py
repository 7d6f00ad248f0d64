"""Gradients through float16, which has no numbers below 6·10⁻⁸: taken of a multiple of the score, and divided again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from saliency_callbacks.errors import warn

__all__ = ["LossScale"]

_LARGEST = 2.0**16
# The largest power of two that a float16 score can be multiplied by.
_LARGEST_OF_HALF = 2.0**15


class LossScale:
    """Take gradients, scaled by a power of two where float16 is between the score and what it is differentiated by.

    The scale begins at 2¹⁶ (2¹⁵ for scores in float16), is halved while a gradient is not finite, and stays what it is
    for the rest of a run. Dividing by it in float32 is exact. In other precisions, bfloat16 among them, nothing is
    scaled.
    """

    def __init__(self) -> None:
        self.is_used = False
        self.scale = _LARGEST
        self._has_warned = False

    def gradients(self, score: Tensor, wrt: Sequence[Tensor], *, keep_graph: bool) -> list[Tensor | None]:
        """Return the gradients of the summed score, as ``torch.autograd.grad``; float16 ones in float32.

        Args:
            score: Explained scores ``[M]``.
            wrt: What is differentiated by.
            keep_graph: Whether another backward follows. With float16 the graph is always kept until the score is
                forgotten, as the backward may have to be repeated.
        """
        if not _goes_through_half(score, wrt):
            return list(torch.autograd.grad(score.sum(), wrt, retain_graph=keep_graph, allow_unused=True))
        self.is_used = True
        if score.dtype == torch.float16:
            self.scale = min(self.scale, _LARGEST_OF_HALF)
        while True:
            seed = torch.full_like(score, self.scale)
            found = torch.autograd.grad(score, wrt, seed, retain_graph=True, allow_unused=True)
            if self.scale == 1 or not bool(score.isfinite().all()) or _are_finite(found):
                return [None if gradient is None else _unscaled(gradient, self.scale) for gradient in found]
            self.scale /= 2

    def warn_of_lost(self, gradients: Sequence[Tensor]) -> None:
        """Warn, once, where float16 has left nothing of a sample's gradient, or it is not finite even unscaled.

        Args:
            gradients: What was found by each input or layer, ``[N, …]``; nothing is lost where they were not scaled.
        """
        if not self.is_used or self._has_warned:
            return
        if not all(bool(gradient.isfinite().all()) for gradient in gradients):
            what = "are not finite: the forward or backward pass overflows at any loss scale"
        elif not all(bool(gradient.flatten(1).any(dim=1).all()) for gradient in gradients):
            what = (
                f"of a sample are all zero despite a loss scale of {self.scale:g}: they underflow in float16, or are "
                "zero in any precision"
            )
        else:
            return
        self._has_warned = True
        warn(
            ("gradients through float16", what[:3]),
            f"gradients through float16 {what}. Maps based on them are lost. Use precision='32' (or a float32 model) "
            "to compute them in float32",
        )


def _are_finite(gradients: Sequence[Tensor | None]) -> bool:
    return all(bool(gradient.isfinite().all()) for gradient in gradients if gradient is not None)


def _unscaled(gradient: Tensor, scale: float) -> Tensor:
    # Not in float16, where dividing would underflow what scaling has saved.
    return gradient.to(torch.promote_types(gradient.dtype, torch.float32)) / scale


def _goes_through_half(score: Tensor, wrt: Sequence[Tensor]) -> bool:
    """Return whether a gradient on its way back from ``score`` is in float16 anywhere."""
    if torch.float16 in (score.dtype, *(tensor.dtype for tensor in wrt)):
        return True
    # Autocast leaves no other trace where inputs and scores are in float32.
    seen = {score.grad_fn}
    waiting = [score.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None:
            continue
        if _is_in_half(node):
            return True
        following = {function for function, _ in node.next_functions} - seen
        seen |= following
        waiting.extend(following)
    return False


def _is_in_half(node: Any) -> bool:
    if not hasattr(node, "_input_metadata"):
        # Older releases of torch do not tell; to scale where it is not needed does no harm.
        return bool(node.name() == "ToCopyBackward0")
    return any(getattr(given, "dtype", None) == torch.float16 for given in node._input_metadata)  # noqa: SLF001
