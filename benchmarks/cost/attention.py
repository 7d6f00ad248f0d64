"""Methods of attention, on a vision transformer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import timm
import torch
from torch import Tensor, nn

from benchmarks.cost.measure import Row, cost, interleave
from benchmarks.cost.workload import Workload, photographs, score
from saliency_callbacks import explain
from saliency_callbacks.methods import LeGrad

__all__ = ["measure_attention"]


def measure_attention(workload: Workload) -> list[Row]:
    """All methods of attention with the gradient, against one gradient by hand; LeGrad with each of its two scores."""
    model = _random_transformer(workload.size)
    images, target = photographs(workload.images, workload.size)
    by_hand = "ViT-tiny, forward + gradient by hand"
    shared, own = "gradient and 3 methods of attention", "the same, LeGrad of each layer's own score"
    methods = ["gradient", "gradient_x_attention", "attention_rollout"]
    sides: dict[str, Callable[[], Any]] = {
        shared: partial(explain, model, images, methods=[*methods, LeGrad(score="output")], target=target),
        by_hand: partial(_floor, model, images, target),
        own: partial(explain, model, images, methods=[*methods, LeGrad()], target=target),
    }
    timings = interleave(sides, workload.rounds, workload.clock)
    return [
        cost("attention/shared_pass", timings, ours=shared, other=by_hand, limit=1.2),
        cost("attention/own_scores", timings, ours=own, other=by_hand, limit=1.2),
    ]


def _random_transformer(size: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model: nn.Module = timm.create_model("vit_tiny_patch16_224", img_size=size)
    return model.eval()


def _floor(model: nn.Module, images: Tensor, target: Tensor) -> Tensor:
    inputs = images.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(score(model(inputs), target), inputs)
    return gradient
