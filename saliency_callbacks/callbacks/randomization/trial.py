"""One test of a model on all processes of its training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from saliency_callbacks.callbacks.randomization.pace import Pace
from saliency_callbacks.callbacks.randomization.settings import Cascade
from saliency_callbacks.callbacks.runtime.host import Host
from saliency_callbacks.callbacks.runtime.ranks import Ranks
from saliency_callbacks.callbacks.shared_pass.wish import Wish
from saliency_callbacks.capture.weights.randomizer import Redraw
from saliency_callbacks.engine.explanation import Explanation
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.randomization.result import RandomizationResult
from saliency_callbacks.randomization.run import run_test
from saliency_callbacks.randomization.states import reference_targets
from saliency_callbacks.randomization.steps import Order
from saliency_callbacks.scores.similarities import Similarity
from saliency_callbacks.targets.selectors import Target
from saliency_callbacks.targets.similarity import SimilarityTarget

__all__ = ["Trial", "run_anew", "run_layerwise", "wish_for"]


@dataclass(frozen=True, eq=False)
class Trial:
    """What is tested now.

    Args:
        model: The model with its trained weights.
        inputs: What is explained, on the model's device.
        inputs_name: What these inputs are called and no others.
        n_samples: How many samples they have.
        settings: How they are explained by this process.
        target: What is explained.
        similarities: How maps are compared.
        redraw: How weights are drawn.
        ranks: All processes of the training.
        progress: Called with the number of states that are done and the total number.
        explanation: Of the trained model, where somebody has it already.
    """

    model: nn.Module
    inputs: Any
    inputs_name: Any
    n_samples: int
    settings: Settings
    target: Target
    similarities: tuple[Similarity, ...]
    redraw: Redraw
    ranks: Ranks
    progress: Callable[[int, int], Any]
    explanation: Explanation | None = None

    def whole(self, result: RandomizationResult) -> RandomizationResult:
        """Return what all processes have found; a collective where each has samples of its own."""
        everywhere = self.ranks.methods_everywhere(result.methods)
        kept = result if set(everywhere) == set(result.methods) else result.of_methods(everywhere)
        return kept.mapped(self.ranks.all_samples(self.settings, self.n_samples))


def wish_for(
    model: nn.Module, probe: ProbeBatch, settings: Settings, target: Target | None, host: Host, *, random_logit: bool
) -> Wish | None:
    """Return what a test explains of the trained model; ``None`` where its classes are not known before that.

    Args:
        model: The model.
        probe: The samples.
        settings: How they are explained.
        target: What is explained; ``None`` where that is not known before, either.
        host: What runs the training.
        random_logit: Whether another class is, too.
    """
    if target is None or isinstance(target, str) or (isinstance(target, SimilarityTarget) and target.is_open):
        return None
    targets = reference_targets(target, probe.inputs, settings, random_logit=random_logit)
    return Wish.of_probe(model, probe, settings, targets, host)


def run_anew(
    trial: Trial,
    *,
    order: Order,
    n_draws: int,
    random_logit: bool,
    is_over: Callable[[int], bool] | None = None,
) -> RandomizationResult:
    """Test a model against copies that are explained now, as ``run_test`` does."""
    with trial.ranks.together():
        result = run_test(
            trial.model,
            trial.inputs,
            trial.settings,
            trial.target,
            order=order,
            n_draws=n_draws,
            redraw=trial.redraw,
            similarities=trial.similarities,
            random_logit=random_logit,
            progress=trial.progress,
            is_over=is_over,
            explanation=trial.explanation,
        )
    return trial.whole(result)


def run_layerwise(trial: Trial, settings: Cascade, pace: Pace) -> RandomizationResult:
    """Randomize a model layer by layer, for as long as there is time."""
    return run_anew(
        trial,
        order=settings.order,
        n_draws=settings.n_draws,
        random_logit=False,
        is_over=lambda n_states: pace.max_seconds is not None and trial.ranks.from_zero(pace.is_over(n_states)),
    )
