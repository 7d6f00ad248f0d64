"""``precision="fast"`` on the network of the adaptive methods: what is chosen there, and what it brings.

Where half precision is fast but its maps are not close enough, the choice is float32, which is no loss either.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from benchmarks.cost.adaptive import trained_resnet18
from benchmarks.cost.measure import Row, cost, gain, interleave
from benchmarks.cost.multi_pass import captum_integrated_gradients
from benchmarks.cost.workload import Workload
from saliency_callbacks.capture.isolation.arithmetic import UNCHANGED, Arithmetic
from saliency_callbacks.engine.fastest import Choice, fastest
from saliency_callbacks.engine.run import run_engine
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.methods import IntegratedGradients, SmoothGrad
from saliency_callbacks.types import Method

__all__ = ["measure_fast"]


def measure_fast(workload: Workload) -> list[Row]:
    """Two methods as they are chosen to be computed, against float32, one also against Captum; a chunk in bfloat16."""
    model, images = trained_resnet18()
    target = torch.arange(len(images))
    clock = time.perf_counter if workload.clock == "wall" else time.process_time

    def settings(method: Method, arithmetic: Arithmetic = UNCHANGED) -> Settings:
        return Settings((method,), internal_batch_size=workload.images, arithmetic=arithmetic)

    def run(method: Method, arithmetic: Arithmetic = UNCHANGED) -> Callable[[], Any]:
        return partial(run_engine, model, images, settings(method, arithmetic), [target])

    paths, copies = IntegratedGradients("auto"), SmoothGrad("auto")
    choices = {one: fastest(model, images, settings(one), target, clock) or Choice() for one in (paths, copies)}
    fast_paths, fast_copies = (f"{one.name} auto, fast: {_described(choices[one])}" for one in (paths, copies))
    exact_paths, exact_copies = (f"{one.name} auto, float32" for one in (paths, copies))
    library = f"Captum, {workload.path_steps} steps"
    # As many rows as are run at once.
    chunk = SmoothGrad(-(-workload.images // len(images)), name="chunk")
    half = Arithmetic("bfloat16", is_channels_last=True)
    sides: dict[str, Callable[[], Any]] = {
        fast_paths: run(paths, choices[paths].arithmetic),
        exact_paths: run(paths),
        library: partial(captum_integrated_gradients, model, images, target, workload),
        fast_copies: run(copies, choices[copies].arithmetic),
        exact_copies: run(copies),
        f"a chunk in {half.name}": run(chunk, half),
        "a chunk in float32": run(chunk),
    }
    timings = interleave(sides, workload.rounds, workload.clock)
    return [
        gain("integrated_gradients_fast/captum", timings, ours=fast_paths, other=library, limit=2.6),
        cost("integrated_gradients_fast/float32", timings, ours=fast_paths, other=exact_paths, limit=1.05),
        cost("smooth_grad_fast/float32", timings, ours=fast_copies, other=exact_copies, limit=1.05),
        cost("bfloat16/float32", timings, ours=f"a chunk in {half.name}", other="a chunk in float32", limit=None),
    ]


def _described(choice: Choice) -> str:
    if choice.taken is not None:
        return f"{choice.arithmetic.name}, ρ ≥ {choice.taken.correlation:.4f}"
    refused = [one for one in choice.trials if one.correlation is not None]
    return "; ".join(["float32", *(f"not {one.arithmetic.name}, ρ ≥ {one.correlation:.4f}" for one in refused)])
