"""What the demo found, as lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from saliency_callbacks.callbacks.cue.alarm import CueAlarm
from saliency_callbacks.callbacks.discovery.callback import ShortcutDiscovery
from saliency_callbacks.demo.digits import METHODS, N_EACH, STICKER_CLASS
from saliency_callbacks.demo.sticker import STICKER
from saliency_callbacks.randomization import RandomizationResult
from saliency_callbacks.scores.faithfulness import FaithfulnessResult
from saliency_callbacks.sinks import MemorySink
from saliency_callbacks.types import Snapshot

__all__ = ["alarm_lines", "epoch_lines", "score_lines", "shortcut_lines", "verdict_lines"]

_BY_EPOCH = {
    "randomization": ("randomization/gradient/similarity", "randomization/guided_backprop/similarity"),
    "alarm": (f"cue/{STICKER.name}/effect", f"cue/{STICKER.name}/lower_bound", f"cue/{STICKER.name}/alarm"),
}


def score_lines(snapshots: Sequence[Snapshot], accuracy: float) -> Iterator[str]:
    """Say how the maps moved, and what the network makes of the sticker."""
    first, last = snapshots[0], snapshots[-1]
    yield f"{'method':<22}{'share of the map on the sticker':>33}{'times chance':>14}{'drift since start':>19}"
    for method in METHODS:
        before, after = (_mean_of_marked(snapshot, f"saliency/{method}/region_mass") for snapshot in (first, last))
        lift = _mean_of_marked(last, f"saliency/{method}/region_lift")
        drift = last.scores.get(f"saliency/{method}/drift_initial", 0.0)
        yield f"{method:<22}{before:>22.0%} → {after:>4.0%}    {lift:>14.1f}{drift:>19.2f}"
    assert last.predictions is not None, "the network classifies"
    wrong = int((last.predictions[N_EACH : 2 * N_EACH] == STICKER_CLASS).sum())
    right = int((last.predictions[2 * N_EACH :] == STICKER_CLASS).sum())
    yield ""
    yield f"validation accuracy {accuracy:.0%}; the sticker turns {wrong} of {N_EACH} other digits into a 0,"
    yield f"and {right} of {N_EACH} zeros are still recognized without it (shares above: zeros with the sticker)"


def epoch_lines(sinks: Mapping[str, MemorySink]) -> Iterator[str]:
    """Give a few of the scores that were logged at every epoch."""
    columns = [(sink, tag) for name, sink in sinks.items() for tag in _BY_EPOCH[name]]
    yield "epoch  " + "  ".join(tag for _, tag in columns)
    for index, snapshot in enumerate(sinks["alarm"].snapshots):
        if snapshot.stage != "final":
            values = [f"{sink.snapshots[index].scores[tag]:>{len(tag)}.2f}" for sink, tag in columns]
            yield f"{snapshot.moment.removeprefix('epoch '):<7}" + "  ".join(values)


def verdict_lines(result: RandomizationResult, faithful: FaithfulnessResult) -> Iterator[str]:
    """Say of each method whether its maps depend on the weights, and how much of the score they account for."""
    yield f"{'method':<22}{'vs. random copies':>20}{'floor':>8}{'deletion':>11}{'insertion':>11}    verdict"
    scores = faithful.scores("faithfulness")
    for method, verdict in result.verdicts.items():
        similarity, floor = result.similarity(method), result.floor(method)
        gains = "".join(_gain(scores.get(f"faithfulness/{method}/{name}_gain")) for name in ("deletion", "insertion"))
        yield f"{method:<22}{similarity.mean:>20.2f}{floor.mean:>8.2f}{gains}    {verdict}"
    yield "(deletion, insertion: gain over the same map elsewhere; high gains do not show that a map is right)"


def alarm_lines(alarm: CueAlarm) -> Iterator[str]:
    """Say whether the alarm went on, and what the sticker does to each class."""
    fired = [evaluation.epoch for evaluation in alarm.history if evaluation.fired]
    last = alarm.history[-1]
    yield (
        f"the alarm {f'fired in epoch {fired[0]}' if fired else 'stayed silent'}; effect of the sticker on class "
        f"{STICKER_CLASS}: {last.mean:.2f}, lower bound {last.lower_bound:.2f}"
    )
    if alarm.groups is not None:
        yield (
            f"accuracy on the validation set without and with the sticker: worst group {alarm.groups.worst:.0%}, "
            f"average {alarm.groups.average:.0%}"
        )


def shortcut_lines(discovery: ShortcutDiscovery) -> Iterator[str]:
    """Say which shortcuts were found that nobody had named."""
    n_used = sum(one.is_used for one in discovery.suspicions)
    yield f"shortcuts found without a hint: {len(discovery.suspicions)}, of which the network uses {n_used}"
    for one in discovery.suspicions:
        yield f"  {one.sentence}, first seen in epoch {one.first_seen}"


def _gain(value: float | None) -> str:
    return f"{'–' if value is None else f'{value:.2f}':>11}"


def _mean_of_marked(snapshot: Snapshot, tag: str) -> float:
    return float(snapshot.sample_scores[tag][:N_EACH].nanmean())
