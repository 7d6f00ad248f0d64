"""What is written of an evaluation: scores, the list, and what the alarm says."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial

from saliency_callbacks.callbacks.discovery.alarm import describe_alarm
from saliency_callbacks.callbacks.discovery.evaluation import Evaluated
from saliency_callbacks.callbacks.discovery.state import DiscoveryState
from saliency_callbacks.callbacks.discovery.table import list_of_suspicions
from saliency_callbacks.config.wording import counted
from saliency_callbacks.discovery.suspicion import Suspicion
from saliency_callbacks.types import Table
from saliency_callbacks.types.tables import as_cell

__all__ = ["alarms", "by_name", "scores_of", "tabulated"]


def by_name(state: DiscoveryState) -> Mapping[str, Suspicion]:
    """Return what the last evaluation found and nobody has dismissed, by name, the most credible first."""
    return {one.suspicion.name: one.suspicion for one in state.current}


def scores_of(state: DiscoveryState, evaluated: Evaluated) -> dict[str, float]:
    """Return the scores of an evaluation, by the last part of their tags.

    Args:
        state: The state after it.
        evaluated: What it found.
    """
    found = by_name(state).values()
    finite = [one.effect for one in found if math.isfinite(one.effect)]
    scores = {
        "n_found": float(len(found)),
        "n_used": float(sum(one.is_used for one in found)),
        # Where something is found, but the network tells nothing, it is not known.
        "largest_effect": max(finite, default=math.nan if found else 0.0),
    }
    for name, watched in evaluated.watched.items():
        scores[f"watched/{name}/effect"] = watched.effect
        scores[f"watched/{name}/lower_bound"] = watched.lower_bound
    return scores


def tabulated(state: DiscoveryState, evaluated: Evaluated) -> Table:
    """Return the list as a table, with what is said of the search.

    Args:
        state: The state after the evaluation.
        evaluated: What it found.
    """
    said = [f"{counted(state.n_dismissed, 'suspicion')} dismissed."] if state.n_dismissed else []
    said += [] if evaluated.is_complete else ["The search reached max_seconds, so the list may be incomplete."]
    return list_of_suspicions(by_name(state), said)


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
