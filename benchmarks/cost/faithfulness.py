"""Deletion, insertion and stability of three methods, against one forward and gradient by hand."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn

from benchmarks.cost.measure import Row, cost, interleave
from benchmarks.cost.workload import Workload, floor, photographs, random_resnet18
from saliency_callbacks import Compute, ModelReading, Perturbation
from saliency_callbacks.callbacks.faithfulness.trial import Trial
from saliency_callbacks.callbacks.runtime.ranks import ALONE
from saliency_callbacks.callbacks.runtime.settings import engine_settings
from saliency_callbacks.engine.run import run_engine

__all__ = ["measure_faithfulness"]

_THREE = ("gradient", "grad_cam", "layer_cam")
_MOST = 6.0
"""Of each method, in forwards with a gradient."""


def measure_faithfulness(workload: Workload) -> list[Row]:
    """A whole test of three methods, with their explanation, against as many times what a method may take."""
    model = random_resnet18()
    images, target = photographs(workload.images, workload.size)
    whole, forwards = f"{len(_THREE)} methods, with stability", f"{len(_THREE)} methods, without stability"
    by_hand = f"{len(_THREE)} × forward + gradient by hand"
    sides: dict[str, Callable[[], Any]] = {
        whole: partial(_test, model, images, target, Perturbation()),
        forwards: partial(_test, model, images, target, Perturbation(n_noisy=0)),
        by_hand: lambda: [floor(model, images, target) for _ in _THREE],
    }
    timings = interleave(sides, workload.path_rounds, workload.clock)
    return [
        cost("faithfulness/whole", timings, ours=whole, other=by_hand, limit=_MOST),
        cost("faithfulness/without_stability", timings, ours=forwards, other=by_hand, limit=_MOST),
    ]


def _test(model: nn.Module, images: Tensor, target: Tensor, perturbation: Perturbation) -> None:
    settings = engine_settings(_THREE, ModelReading(), Compute(), target_layers="layer4")
    explanation = run_engine(model, images, settings, [target])
    result = Trial(model, images, len(images), settings, target, perturbation, ALONE, explanation).run()
    result.scores("faithfulness")
    result.sample_scores("faithfulness")
