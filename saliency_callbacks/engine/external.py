"""Methods that run the model themselves, after the passes that the others share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from saliency_callbacks.capture.passes.run import Clean
from saliency_callbacks.engine.explanation import Explanation
from saliency_callbacks.engine.isolated_run import IsolatedRun, Outcome
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.engine.wants import Want, is_same_method, run_by_themselves
from saliency_callbacks.errors import ExternalMethodError, warn
from saliency_callbacks.methods.external.method import TARGET_LAYERS
from saliency_callbacks.targets.selectors import Target
from saliency_callbacks.types import ModelMethod

__all__ = ["ExternalRuns"]

_COSTLY = 100


@dataclass(frozen=True, eq=False)
class _Run:
    """What came of one method for one target.

    Args:
        method: The method.
        target: Position of the target.
        outcome: What came of it.
    """

    method: ModelMethod
    target: int
    outcome: Outcome

    def is_for(self, want: Want) -> bool:
        """Return whether a want asks for it."""
        return self.target in want.targets and any(is_same_method(self.method, one) for one in want.methods)


@dataclass(frozen=True, eq=False)
class ExternalRuns:
    """Runs those methods that run the model themselves.

    Args:
        model: As of :func:`~saliency_callbacks.engine.run.run_engine`.
        inputs: As of :func:`~saliency_callbacks.engine.run.run_engine`.
        settings: How the batch is explained.
        targets: All explained scores.
        wants: What is wanted of them.
    """

    model: nn.Module
    inputs: Any
    settings: Settings
    targets: Sequence[Target]
    wants: Sequence[Want]

    def added_to(self, found: Sequence[Explanation], seconds: float) -> list[Explanation]:
        """Return what the passes told for each want, with the maps of these methods.

        Args:
            found: What the passes told.
            seconds: What they took.

        Raises:
            ExternalMethodError: If a method fails and is not to be left out, or nothing else was found.
        """
        if not run_by_themselves(self.settings.methods):
            return list(found)
        runs = self._runs(found)
        failed = [run.outcome.error for run in runs if run.outcome.error is not None]
        if failed and not self.settings.leaves_out_failing:
            raise failed[0]
        joined = [_joined(want, one, runs) for want, one in zip(self.wants, found, strict=True)]
        if self.settings.leaves_out_failing:
            for run in runs:
                _tell(run)
        return self._shared(joined, runs, seconds)

    def _runs(self, found: Sequence[Explanation]) -> list[_Run]:
        """Run each method once for each target that it is wanted for."""
        asked = [
            (method, number, clean, one)
            for want, one in zip(self.wants, found, strict=True)
            for method in run_by_themselves(want.methods)
            for number, clean in zip(want.targets, one.clean, strict=True)
        ]
        runs: list[_Run] = []
        for method, number, clean, one in asked:
            if not any(run.target == number and is_same_method(run.method, method) for run in runs):
                runs.append(_Run(method, number, self._outcome(method, number, clean, one)))
        return runs

    def _outcome(self, method: ModelMethod, number: int, clean: Clean, found: Explanation) -> Outcome:
        # In full precision, as many libraries go through NumPy, which has no bfloat16.
        settings = replace(self.settings, full_precision=True, through_no_grad=found.through_no_grad)
        layers = list(found.target_layers) if method.layer == TARGET_LAYERS else method.layer
        target = self.targets[number]
        return IsolatedRun(method, self.model, self.inputs, settings, target, clean=clean, layers=layers).outcome()

    def _shared(self, found: list[Explanation], runs: Sequence[_Run], seconds: float) -> list[Explanation]:
        """Return explanations with the part of the time that each has to account for."""
        spent = [one.share * seconds for one in found]
        for run in runs:
            asking = [number for number, want in enumerate(self.wants) if run.is_for(want)]
            for number in asking:
                spent[number] += run.outcome.cost.seconds / len(asking)
        return [replace(one, share=own / sum(spent)) for one, own in zip(found, spent, strict=True)]


def _tell(run: _Run) -> None:
    """Say what is left out, and what takes long."""
    name, error, forwards = run.method.name, run.outcome.error, run.outcome.cost.forwards
    if error is not None:
        warn(
            ("external method", name, type(error.__cause__ or error).__name__),
            f"{error}. While this is so, observations have no map of it; the other methods go on",
        )
    elif forwards > _COSTLY:
        warn(
            ("costly external method", name),
            f"method {name!r} runs the model {forwards:.0f} times for each sample, where a gradient needs 1. If that "
            "takes too long, use a smaller probe, or observe less often, every_n_epochs=",
        )


def _joined(want: Want, found: Explanation, runs: Sequence[_Run]) -> Explanation:
    """Return an explanation with the maps that a want asks for, in the order of its methods."""
    own = [run for run in runs if run.is_for(want)]
    failed: dict[str, ExternalMethodError] = {
        run.method.name: run.outcome.error for run in own if run.outcome.error is not None
    }
    maps = []
    for number, of_passes in zip(want.targets, found.maps, strict=True):
        made = {run.method.name: run.outcome.map for run in own if run.target == number}
        known = {**of_passes, **{name: one for name, one in made.items() if one is not None and name not in failed}}
        maps.append({method.name: known[method.name] for method in want.methods if method.name in known})
    if failed and not maps[0]:
        raise next(iter(failed.values()))
    costs = {run.method.name: run.outcome.cost for run in own if run.method.name not in failed}
    return replace(found, maps=tuple(maps), costs=costs)
