"""Memory and time of an explanation, beside the forward and backward that it cannot do without; printed, not judged."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from statistics import median
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

from saliency_callbacks.engine.run import run_engine
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.methods.resolution import resolve_methods

_REPEATS = 10


def _floor(model: nn.Module, images: Tensor, context: Callable[[], Any]) -> None:
    inputs = images.clone().requires_grad_()
    with context():
        score = model(inputs)[:, 0].sum()
    torch.autograd.grad(score, inputs)


def _observation(model: nn.Module, images: Tensor, settings: Settings) -> None:
    run_engine(model, images, settings, [0])


def _peak(work: Callable[[], None]) -> float:
    """Return the largest memory, in MiB, beyond what was in use before."""
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    work()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def _milliseconds(work: Callable[[], None]) -> float:
    times = []
    for _ in range(_REPEATS):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        work()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end))
    return median(times)


@pytest.mark.parametrize("methods", [("gradient",), ("gradient", "grad_cam"), ("gradient", "grad_cam", "layer_cam")])
@pytest.mark.parametrize("precision", ["float32", "bfloat16 autocast", "float16 autocast", "bfloat16 weights"])
@pytest.mark.parametrize("full", [False, True], ids=["as it is", "in float32"])
def test_cost_of_an_observation(methods: tuple[str, ...], precision: str, full: bool) -> None:
    dtype = getattr(torch, precision.split(maxsplit=1)[0])
    is_autocast = precision.endswith("autocast")
    context = partial(torch.autocast, "cuda", dtype) if is_autocast else nullcontext
    weights = torch.float32 if is_autocast else dtype
    model = torchvision.models.resnet18(weights=None).cuda().eval().to(weights)
    images = torch.rand(16, 3, 224, 224, device="cuda", dtype=weights)
    settings = Settings(resolve_methods(methods), target_layers="layer4", forward_context=context, full_precision=full)
    works = {
        "floor": partial(_floor, model, images, context),
        "observation": partial(_observation, model, images, settings),
    }
    found = {}
    for name, work in works.items():
        work()  # so that cuDNN and the allocator have settled
        found[name] = (_peak(work), _milliseconds(work))
    (memory, time), (floor_memory, floor_time) = found["observation"], found["floor"]
    print(  # noqa: T201 (what this file is for)
        f"\n{precision}{', explained in float32' if full else ''}, {'+'.join(methods)}: "
        f"{memory:.0f} MiB ({memory / floor_memory:.2f} × floor), {time:.1f} ms ({time / floor_time:.2f} × floor)"
    )
    assert memory > 0
