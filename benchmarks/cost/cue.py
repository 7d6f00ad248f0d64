"""One evaluation of a cue, against the passes in it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from torchvision.models import ResNet

from benchmarks.cost.measure import Row, cost, interleave
from benchmarks.cost.workload import MEAN, STD, Workload, floor, photographs, random_resnet18
from saliency_callbacks import Appearance
from saliency_callbacks.callbacks.cue.evaluation import CueFinding, evaluate_cue
from saliency_callbacks.callbacks.cue.image_probe import ImageCueProbe
from saliency_callbacks.callbacks.runtime.ranks import ALONE
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.errors import SaliencyWarning
from saliency_callbacks.methods import Gradient
from saliency_callbacks.probe import PatchCue
from saliency_callbacks.probe.batch import freeze

__all__ = ["measure_cue"]

_SUSPECT = 1
_SHOWN = 8
_EVALUATION = "cue evaluation: scores, bound and maps"
_DRAWN = "the same, and its panel drawn"
# What an evaluation asks of the training that it is a part of: one process, on the CPU.
_HOST: Any = SimpleNamespace(ranks=ALONE, to_device=lambda inputs: inputs)


def measure_cue(workload: Workload) -> list[Row]:
    """Scores, bootstrap and maps of the panel, against two forwards and one gradient by hand; and with the drawing."""
    model = random_resnet18()
    images, labels = photographs(workload.images, workload.size)
    probe = _prepared(images, labels)
    by_hand = f"2 forwards of {len(images)} + gradient of {2 * len(probe.shown)} by hand"
    sides: dict[str, Callable[[], Any]] = {
        _EVALUATION: partial(_evaluate, model, probe),
        _DRAWN: partial(_evaluate_and_draw, model, probe),
        by_hand: partial(_by_hand, model, images, probe.cued, probe.pairs()),
    }
    timings = interleave(sides, workload.rounds, workload.clock)
    return [
        cost("cue", timings, ours=_EVALUATION, other=by_hand, limit=1.2),
        # A thread of its own draws, while the training goes on.
        cost("cue", timings, ours=_DRAWN, other=by_hand, limit=None),
    ]


def _prepared(images: Tensor, labels: Tensor) -> ImageCueProbe:
    with warnings.catch_warnings():
        # A quick run has few images; the cost is what matters here.
        warnings.simplefilter("ignore", SaliencyWarning)
        return ImageCueProbe.prepare(
            freeze(images, labels),
            PatchCue((-16, -16, 16, 16)),
            _SUSPECT,
            attribute_to=None,
            normalization=(MEAN, STD),
            removal=None,
            n_shown=_SHOWN,
            seed=0,
        )


def _evaluate(model: ResNet, probe: ImageCueProbe) -> CueFinding:
    finding = evaluate_cue(model, probe, _SUSPECT, Settings(methods=(Gradient(),)), _HOST)
    finding.scores()
    finding.sample_scores()
    finding.effect.lower_bound("effect")
    return finding


def _evaluate_and_draw(model: ResNet, probe: ImageCueProbe) -> None:
    _evaluate(model, probe).picture("patch as evidence for class 1", str, Appearance())


def _by_hand(model: ResNet, images: Tensor, cued: Tensor, pairs: Tensor) -> None:
    with torch.no_grad():
        model(images)
        model(cued)
    floor(model, pairs, torch.full((len(pairs),), _SUSPECT))
