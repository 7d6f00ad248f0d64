"""What a run found, in headlines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from saliency_callbacks.config.wording import capitalized, counted, joined
from saliency_callbacks.report.monitors import Monitor, moment_of
from saliency_callbacks.report.runs import Archive
from saliency_callbacks.report.shortcuts import shortcut_headlines

__all__ = ["headlines_of"]

Headline = dict[str, Any]
"""``level`` (``alarm``, ``caution``, ``good`` or ``plain``), ``title``, ``text``, the ``step`` it speaks of, and where
there is one the ``section`` of the page that tells more."""

_DEPENDS = "depends on the weights"
_DEPENDS_NOT = "does not depend on the weights"


def headlines_of(archives: Sequence[Archive], monitors: Sequence[Monitor]) -> list[Headline]:
    """Return what to read first: alarms, shortcuts, verdicts, wrong predictions and maps that show nothing."""
    found = [headline for archive in archives for headline in (*_alarms(archive), *_verdicts(archive))]
    of_shortcuts = [_headline(*said) for archive in archives for said in shortcut_headlines(archive)]
    found += [{**headline, "section": "shortcuts"} for headline in of_shortcuts]
    for monitor in monitors:
        whose = f" ({monitor.archive.name})" if len(monitors) > 1 else ""
        of_monitor = (*_accuracy(monitor), *_degenerate(monitor))
        found += [{**headline, "title": headline["title"] + whose} for headline in of_monitor]
    order = ("alarm", "caution", "plain", "good")
    return sorted(found, key=lambda headline: order.index(headline["level"]))


def _alarms(archive: Archive) -> list[Headline]:
    judged = [(entry, _score(entry["scores"], "alarm")) for entry in archive.observations]
    judged = [(entry, state) for entry, state in judged if state is not None]
    if not judged:
        return []
    tag = next(tag for tag in judged[0][0]["scores"] if tag.endswith("/alarm"))
    cue = tag.removesuffix("/alarm").rpartition("/")[2]
    on = [entry for entry, state in judged if state]
    threshold = judged[-1][0]["metadata"].get("threshold")
    if not on:
        bounds = [bound for entry, _ in judged if (bound := _score(entry["scores"], "lower_bound")) is not None]
        most = f"; the lower bound peaked at {max(bounds):.2f}" if bounds else ""
        patience = judged[-1][0]["metadata"].get("patience")
        text = (
            f"It did not fire in {counted(len(judged), 'evaluation')}{most}. Firing takes {patience} in a row above "
            f"{threshold}. A silent alarm does not rule out a shortcut."
        )
        return [_headline("good", f"The alarm for cue {cue} stayed silent", text, judged[-1][0]["step"])]
    first = on[0]
    text = next(iter([*first["alerts"].values(), *(t for g, t in first["texts"].items() if g == tag)]), "")
    text = capitalized(text).rstrip(".") + "." if text else ""
    ending = "still on at the end" if judged[-1][1] else "off again at the end"
    text += f" It was on in {len(on)} of {counted(len(judged), 'evaluation')}, {ending}." + _groups(archive)
    return [_headline("alarm", f"The alarm for cue {cue} fired at epoch {first['epoch']}", text.strip(), first["step"])]


def _groups(archive: Archive) -> str:
    for entry in reversed(archive.observations):
        worst, average = _score(entry["scores"], "worst_group_accuracy"), _score(entry["scores"], "average_accuracy")
        if worst is not None and average is not None:
            return (
                f" On the validation set, taken once without and once with the cue, accuracy is {worst:.0%} in the "
                f"worst group and {average:.0%} on average."
            )
    return ""


def _verdicts(archive: Archive) -> list[Headline]:
    told = [entry for entry in archive.observations if isinstance(entry["metadata"].get("verdicts"), dict)]
    if not told:
        return []
    by_words: dict[str, list[str]] = {}
    for method, words in told[-1]["metadata"]["verdicts"].items():
        by_words.setdefault(str(words), []).append(str(method))
    found = []
    for words, methods in by_words.items():
        names = joined(methods)
        if words == _DEPENDS:
            title = f"{counted(len(methods), 'method depends', 'methods depend')} on what the model learned"
            text = f"The maps of {names} change when the weights are randomized, as they should."
            found.append(_headline("good", title, text, told[-1]["step"]))
        elif words == _DEPENDS_NOT:
            whose = "Its" if len(methods) == 1 else "Their"
            text = (
                f"{whose} maps are similar even between two random copies of the model: they show the input, not "
                "what the model learned."
            )
            title = f"Do not judge the model by {names}"
            found.append(_headline("caution", title, f"{text} Verdict: {words}.", told[-1]["step"]))
        else:
            found.append(
                _headline(
                    "caution",
                    f"Randomization test of {names}",
                    capitalized(words) if words.endswith("?") else f"{capitalized(words)}.",
                    told[-1]["step"],
                )
            )
    return found


def _accuracy(monitor: Monitor) -> list[Headline]:
    labels = monitor.probe.labels
    known = [(one.entry, one.predictions) for one in monitor.observations if one.predictions is not None]
    if labels is None or not known:
        return []
    count, rights = len(labels), [int((predictions == labels).sum()) for _, predictions in known]
    wrong = count - rights[-1]
    best = max(range(len(rights)), key=rights.__getitem__)
    start, top, end = (moment_of(known[position][0]) for position in (0, best, -1))
    text = f"{rights[-1]} of {count} predictions are correct at {end}, compared with {rights[0]} at {start}"
    text += f"; the best result was {rights[best]}, at {top}." if rights[best] > rights[-1] else "."
    samples = counted(count, "probe sample")
    title = f"{wrong} of {samples} misclassified" if wrong else f"{count} of {samples} classified correctly"
    return [_headline("plain" if wrong else "good", title, text, known[-1][0]["step"])]


def _degenerate(monitor: Monitor) -> list[Headline]:
    found = []
    for method in monitor.methods:
        shown = [(one.entry, one.scales[method]) for one in monitor.observations if method in one.scales]
        counts = [(entry, int(scales.degenerate.sum())) for entry, scales in shown]
        bad = [(entry, count) for entry, count in counts if count]
        if bad:
            entry, count = max(bad, key=lambda item: item[1])
            text = (
                f"They are zero, constant or not finite in {len(bad)} of {counted(len(counts), 'observation')}, the "
                f"most at {moment_of(entry)} ({count} of {counted(len(monitor.probe.ids), 'sample')}). The page marks "
                "such maps as empty."
            )
            found.append(_headline("caution", f"Some {method} maps are empty", text, entry["step"]))
    return found


def _score(scores: Mapping[str, float | None], name: str) -> float | None:
    return next((value for tag, value in scores.items() if tag.endswith(f"/{name}")), None)


def _headline(level: str, title: str, text: str, step: int) -> Headline:
    return {"level": level, "title": title, "text": text, "step": step}
