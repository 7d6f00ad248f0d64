"""The choice of ``precision="fast"``: made once, by rank zero, told in one line, and kept with the state.

Callbacks that ask for the same (probe, target, layers, reading, seed, chunks) choose together: whoever comes first
measures the methods of all, so that no order of the list changes the choice, and the others take it. So they can be
explained together. Whoever has chosen already, as in a checkpoint, keeps that; where those that have do not agree, who
has not chosen yet measures anew.
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any, TypeVar

from torch import nn

from saliency_callbacks.callbacks.runtime import notices
from saliency_callbacks.callbacks.runtime.host import Host
from saliency_callbacks.callbacks.runtime.state import RunState
from saliency_callbacks.capture.isolation.arithmetic import UNCHANGED
from saliency_callbacks.engine.fastest import Choice, Measured, fastest
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.engine.wants import distinct
from saliency_callbacks.probe.probe import Probe
from saliency_callbacks.targets.selectors import Target
from saliency_callbacks.types import AnyMethod

__all__ = ["Asked", "Peers", "describe_choice", "peers_of", "with_arithmetic"]

_State = TypeVar("_State", bound=RunState)


@dataclass(frozen=True, eq=False)
class Asked:
    """What a callback explains, as its arguments tell before anything is read.

    Args:
        name: Of the callback.
        probe: Which samples.
        target: Which score.
        settings: How, with the methods.
        reading: What else tells how the model is read.
        shards_probe: Whether each process explains a part of the samples.
        chosen: Name of the arithmetic that it computes maps in; ``None`` where it has not chosen yet.
    """

    name: str
    probe: Probe
    target: Any
    settings: Settings
    reading: tuple[Any, ...] = ()
    shards_probe: bool = False
    chosen: str | None = None

    def agrees_with(self, other: Asked) -> bool:
        """Return whether another asks for the same maps but for the methods; what cannot be compared is another."""
        has_maps = self.settings.methods and other.settings.methods
        try:
            return bool(has_maps and self._compared == other._compared)
        except Exception:
            return False

    @property
    def _compared(self) -> tuple[Any, ...]:
        settings = replace(self.settings, methods=())
        return self.probe, self.target, settings, self.reading, self.shards_probe


@dataclass(frozen=True, eq=False)
class Peers:
    """The callbacks that choose together.

    Args:
        name: Who asks.
        names: All of them, as a line names them.
        methods: The methods of all.
        known: Name of the arithmetic that those that have chosen agree on; ``None`` where there is no such.
        made: Callback → what it has chosen in this run, also by an observation of which nothing else remains.
    """

    name: str
    names: tuple[str, ...] = ()
    methods: tuple[AnyMethod, ...] = ()
    known: str | None = None
    made: MutableMapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """What a line about the choice begins with."""
        return ", ".join(self.names or (self.name,))


def peers_of(own: Asked, everyone: Sequence[Asked], made: MutableMapping[str, str]) -> Peers:
    """Return who chooses together with a callback.

    Args:
        own: What it explains.
        everyone: What the callbacks of the run explain, in the order of the list.
        made: Callback → what was chosen in this run.
    """
    together = [one for one in everyone if one.name == own.name or one.agrees_with(own)]
    found = {one.name: made.get(one.name, one.chosen) for one in together}
    known = {found[own.name]} if found.get(own.name) is not None else {*found.values()} - {None}
    return Peers(
        name=own.name,
        names=tuple(found),
        methods=distinct(method for one in together for method in one.settings.methods),
        known=known.pop() if len(known) == 1 else None,
        made=made,
    )


def with_arithmetic(
    state: _State, model: nn.Module, inputs: Any, settings: Settings, target: Target, host: Host, *, peers: Peers
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
        peers: Who chooses together.
    """
    if not settings.is_fast:
        # A checkpoint of a run with it may hold a choice, which would be told of maps that are not computed like this.
        return replace(state, arithmetic=None)
    if state.arithmetic is not None:
        return state
    ranks = host.ranks
    arithmetic = peers.known
    if ranks.is_lockstep:
        arithmetic = arithmetic or _unchanged(peers)
    else:
        with ranks.together():
            if ranks.is_main and arithmetic is None:
                arithmetic = _measured(model, inputs, settings, target, peers)
        arithmetic = ranks.from_zero(arithmetic)
    if arithmetic is None:
        return state
    peers.made[peers.name] = arithmetic
    return replace(state, arithmetic=arithmetic)


def _unchanged(peers: Peers) -> str:
    notices.tell(
        f"{peers.title}: precision='fast' explains in the Trainer's precision, because no single process can try out "
        "weights that are sharded over processes"
    )
    return UNCHANGED.name


def _measured(model: nn.Module, inputs: Any, settings: Settings, target: Target, peers: Peers) -> str | None:
    """Measure, and say what is chosen."""
    of_all = replace(settings, methods=peers.methods or settings.methods)
    choice = fastest(model, inputs, of_all, target, perf_counter)
    if choice is None and len(peers.names) > 1:
        # What another asks for may not fit the model.
        choice = fastest(model, inputs, settings, target, perf_counter)
    if choice is None:
        return None
    notices.tell(f"{peers.title}: {describe_choice(choice)}")
    return choice.arithmetic.name


def describe_choice(choice: Choice) -> str:
    """Return one line on what was chosen, how much faster it is, and how close its maps are.

    Example:
        >>> describe_choice(Choice())
        "precision='fast' explains in the Trainer's precision: no alternative is available"
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
