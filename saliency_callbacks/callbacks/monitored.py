"""Scores as early stopping, checkpoints and schedulers see them: always a number, though some have none at times."""

from __future__ import annotations

import math
from collections.abc import Mapping

from saliency_callbacks.callbacks.runtime import notices
from saliency_callbacks.callbacks.runtime.host import Host
from saliency_callbacks.scores.drawn import Scalars, drawn
from saliency_callbacks.scores.undefined import when_undefined

__all__ = ["log_monitored"]

_SHOWN = 4


def log_monitored(
    host: Host, scores: Mapping[str, float], finite: Mapping[str, float], step: int, scalars: Scalars
) -> None:
    """Log scores so that they can be monitored, whether or not they are drawn. All ranks must call it, with the same.

    Early stopping ends a training at the first NaN. A score that has no value (of maps that are constant, or outputs
    that are not finite) leaves a gap in the dashboards; what monitors it goes on seeing its last value.

    Args:
        host: The run.
        scores: Tag → number, also NaN.
        finite: The last finite value of each, also of those that are not among ``scores`` this time.
        step: The step under which the run's own metrics of this moment are logged.
        scalars: Which of them loggers draw.
    """
    gaps = {tag: score for tag, score in scores.items() if not math.isfinite(score)}
    known = {tag: score for tag, score in scores.items() if tag not in gaps}
    shown = drawn(known, scalars)
    host.log(shown)
    host.log({tag: score for tag, score in known.items() if tag not in shown}, is_drawn=False)
    held = {tag: finite.get(tag, when_undefined(tag)) for tag in gaps}
    host.hold({tag: value for tag, value in finite.items() if tag not in scores} | held)
    if gaps:
        host.log_directly(drawn(gaps, scalars), step)
        notices.tell_once("scores without a value", _described(held))


def _described(held: Mapping[str, float]) -> str:
    shown = [f"{tag} ({value:g})" for tag, value in held.items()]
    more = ", …" if len(shown) > _SHOWN else ""
    return (
        "some scores are undefined now: maps are constant (a zero-initialized head), outputs are not finite, or there "
        "is too little to compare. Loggers receive NaN; EarlyStopping, ModelCheckpoint and schedulers see the last "
        f"value, or a placeholder if there is none yet: {', '.join(shown[:_SHOWN])}{more}"
    )
