"""What is written of an evaluation: scores, facts, and what the alarm says."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from saliency_callbacks.callbacks.discovery.evaluation import Evaluated
from saliency_callbacks.callbacks.discovery.state import DiscoveryState, Known
from saliency_callbacks.callbacks.discovery.words import describe_alarm
from saliency_callbacks.types.tables import as_cell

__all__ = ["alarms", "facts_of", "scores_of"]


def scores_of(state: DiscoveryState, evaluated: Evaluated) -> dict[str, float]:
    """Return the scores of an evaluation, by the last part of their tags.

    Args:
        state: The state after it.
        evaluated: What it found.
    """
    found = [one.suspicion for one in state.current]
    scores = {
        "n_found": float(len(found)),
        "n_used": float(sum(one.is_used for one in found)),
        "largest_effect": max((one.effect for one in found if math.isfinite(one.effect)), default=0.0),
    }
    for name, watched in evaluated.watched.items():
        scores[f"watched/{name}/effect"] = watched.effect
        scores[f"watched/{name}/lower_bound"] = watched.lower_bound
    return scores


def facts_of(state: DiscoveryState) -> dict[str, Any]:
    """Return what a record of the run tells of the list, beside the table: what a dismissal needs."""
    return {"n_dismissed": state.n_dismissed, "suspicions": [_fact(one) for one in state.current]}


def _fact(one: Known) -> dict[str, Any]:
    suspicion = one.suspicion
    return {
        "name": suspicion.name,
        "class_index": suspicion.class_index,
        "kind": suspicion.kind,
        "what": suspicion.what,
        "is_used": suspicion.is_used,
        "is_confirmed": one.is_confirmed,
        "bearers": list(suspicion.bearers),
    }


def alarms(state: DiscoveryState, threshold: float, epoch: int) -> tuple[str, str]:
    """Return what the alarms of an evaluation say, for a dashboard and for a message; nothing where none went on.

    Args:
        state: The state after it.
        threshold: What the lower bounds of the effects exceed.
        epoch: The epoch.
    """
    say = partial(describe_alarm, threshold=threshold, epoch=epoch)
    # Dashboards read texts as Markdown, which a name out of the data must not be taken for.
    texts = [say(one.suspicion, written=as_cell) for one in state.fired]
    return "\n\n".join(texts), "\n\n".join(say(one.suspicion) for one in state.fired)
