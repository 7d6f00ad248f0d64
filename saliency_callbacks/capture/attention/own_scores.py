"""The score of each layer: what the model's head gives the mean of its tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from saliency_callbacks.capture.attention.blocks import BlockRecorder, ModuleCall, block_tokens, unknown_blocks
from saliency_callbacks.capture.attention.calls import AttentionCall
from saliency_callbacks.capture.loss_scale import LossScale

__all__ = ["own_gradients"]

Scores = Callable[[], list[Tensor]]
"""Runs the model as it is now → one score ``[M]`` for each target."""


def own_gradients(
    recorder: BlockRecorder,
    chain: Sequence[AttentionCall],
    scores: Sequence[Tensor],
    run: Scores,
    *,
    counted: Tensor | None,
    loss_scale: LossScale,
) -> list[list[Tensor]]:
    """Return the gradient of each layer's own score with respect to what its attention puts out, for each target.

    The score of layer l is that of the mean over its tokens, which takes the place of every token: whether the head
    reads a class token or the mean over the patches, it reads that.

    Args:
        recorder: Recorded the forward.
        chain: The attentions.
        scores: What the model itself gave, for each target.
        run: Runs the model.
        counted: Which tokens are part of their sample ``[M, T]``; ``None`` for all.
        loss_scale: Takes the gradients.

    Raises:
        LayerError: If the layers have no score of their own.
    """
    numbers = [recorder.attention.calls.index(call) for call in chain]
    blocks = recorder.blocks(numbers)
    _check(recorder, blocks, chain, scores, run)
    found: list[list[Tensor]] = [[] for _ in scores]
    for call, block in zip(chain, blocks, strict=True):
        tokens = block_tokens(block)
        assert tokens is not None, "a block has tokens"
        with recorder.behind(blocks, _averaged(tokens, call.shape[-2], counted)):
            own = run()
        for of_target, score in zip(found, own, strict=True):
            gradient = loss_scale.gradients(score, [call.output], keep_graph=True)[0]
            of_target.append(torch.zeros_like(call.output) if gradient is None else gradient)
    return found


def _check(
    recorder: BlockRecorder,
    blocks: Sequence[ModuleCall],
    chain: Sequence[AttentionCall],
    scores: Sequence[Tensor],
    run: Scores,
) -> None:
    if len({call.shape[-1] for call in chain}) > 1 or any(call.shape[-1] != call.shape[-2] for call in chain):
        raise unknown_blocks(recorder.model, "its layers have different tokens")
    last = block_tokens(blocks[-1])
    shapes = {None if tokens is None else tokens.shape for tokens in map(block_tokens, blocks)}
    if last is None or len(shapes) > 1 or chain[0].shape[-1] not in last.shape[:2]:
        raise unknown_blocks(recorder.model, "its blocks put out different tokens")
    with torch.no_grad(), recorder.behind(blocks, last.detach().clone()):
        again = run()
    for score, other in zip(scores, again, strict=True):
        size = score.detach().abs().max()
        if not torch.allclose(score.detach(), other, rtol=1e-2, atol=float(1e-2 * size)):
            raise unknown_blocks(recorder.model, "the score depends on more than what the last block puts out")


def _averaged(tokens: Tensor, n_tokens: int, counted: Tensor | None) -> Tensor:
    """Return tokens that are all the mean of a sample's, like ``tokens``: ``[N, T, K]``, or ``[T, N, K]``."""
    dim = 1 if tokens.shape[1] == n_tokens else 0
    if counted is None:
        return tokens.mean(dim=dim, keepdim=True).expand_as(tokens).clone()
    share = (counted / counted.sum(dim=1, keepdim=True).clamp_min(1)).to(tokens.dtype)
    share = share.unsqueeze(2) if dim == 1 else share.T.unsqueeze(2)
    return (tokens * share).sum(dim=dim, keepdim=True).expand_as(tokens).clone()
