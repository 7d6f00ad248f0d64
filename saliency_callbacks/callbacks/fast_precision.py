"""The choice of ``precision="fast"``: made once, by rank zero, told in one line, and kept with the state."""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter
from typing import Any, TypeVar

from torch import nn

from saliency_callbacks.callbacks.runtime import notices
from saliency_callbacks.callbacks.runtime.host import Host
from saliency_callbacks.callbacks.runtime.state import RunState
from saliency_callbacks.engine.fastest import Choice, Measured, fastest
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.targets.selectors import Target

__all__ = ["describe_choice", "with_arithmetic"]

_State = TypeVar("_State", bound=RunState)


def with_arithmetic(
    state: _State, model: nn.Module, inputs: Any, settings: Settings, target: Target, host: Host, *, name: str
) -> _State:
    """Return the state in which it is known how maps are computed; all ranks must call it.

    Nothing is measured where that is known already, or ``"fast"`` is not asked for. Where there is nothing to compare
    with yet, it stays open until the next observation.

    Args:
        state: The state before an observation.
        model: The explained module.
        inputs: What is explained, where the model is.
        settings: How.
        target: The explained score.
        host: The run.
        name: Of the callback, for the line that says what was chosen.
    """
    if not settings.is_fast:
        # A checkpoint of a run with it may hold a choice, which would be told of maps that are not computed like this.
        return replace(state, arithmetic=None)
    if state.arithmetic is not None:
        return state
    ranks = host.ranks
    if ranks.is_lockstep:
        notices.tell(
            f"{name}: precision='fast' explains in the Trainer's precision, because no single process can try out "
            "weights that are sharded over processes"
        )
        return replace(state, arithmetic=Choice().arithmetic.name)
    choice: Choice | None = None
    with ranks.together():
        if ranks.is_main:
            choice = fastest(model, inputs, settings, target, perf_counter)
    choice = ranks.from_zero(choice)
    if choice is None:
        return state
    notices.tell(f"{name}: {describe_choice(choice)}")
    return replace(state, arithmetic=choice.arithmetic.name)


def describe_choice(choice: Choice) -> str:
    """Return one line on what was chosen, how much faster it is, and how close its maps are.

    Example:
        >>> describe_choice(Choice())
        "precision='fast' explains in the Trainer's precision: there is no other to try"
    """
    if choice.taken is not None:
        taken = choice.taken
        return (
            f"precision='fast' explains in {taken.arithmetic.name}: {taken.speedup:.1f} times as fast as in the "
            f"Trainer's precision, with rank correlations of at least {taken.correlation:.4f}"
        )
    tried = "; ".join(map(_described, choice.trials))
    reason = f"no alternative is both faster and accurate enough ({tried})" if tried else "no alternative is available"
    return f"precision='fast' explains in the Trainer's precision: {reason}"


def _described(trial: Measured) -> str:
    found = f"{trial.arithmetic.name} {trial.speedup:.1f} times as fast"
    if trial.speedup == 0:
        return f"{trial.arithmetic.name} failed, or was too slow"
    if trial.is_too_rough:
        return f"{found}, rank correlation {trial.correlation:.4f}"
    return f"{found}, but slower overall" if trial.is_slower_in_all else found
