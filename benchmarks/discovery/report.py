"""The report of the discovery benchmark, in Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.cue_experiments.tables import table
from benchmarks.discovery.bounds import Bound, Case, bounds, cases
from benchmarks.discovery.experiments import in_order
from benchmarks.discovery.opening import OPENING
from benchmarks.discovery.records import Record

__all__ = ["report"]

_MET = {True: "yes", False: "**no**", None: "too few runs"}
_FEWEST = 3


def report(records: Sequence[Record], costs: Sequence[Mapping[str, Any]] = ()) -> str:
    """Return the page.

    Args:
        records: What every evaluation of every run found.
        costs: Rows of ``python -m benchmarks.run --only discovery``.
    """
    by_row = cases(records)
    sections = [
        OPENING,
        _progress(by_row),
        _bounds_section(bounds(by_row)),
        _rows_section(by_row),
        _accusations_section(by_row),
        _misses_section(by_row),
        _effects_section(records),
        _seconds_section(records, costs),
        _runs_section(by_row),
    ]
    return "\n".join(sections)


def _progress(by_row: Mapping[str, Sequence[Case]]) -> str:
    done = {(one.row, one.data, one.q, one.number) for some in by_row.values() for one in (case.first for case in some)}
    planned = len(in_order())
    if len(done) >= planned:
        return f"All {planned} runs are here.\n"
    return (
        f"**{len(done)} of {planned} planned runs are here**; lines with fewer runs than their bound asks for say so.\n"
    )


def _bounds_section(lines: Iterable[Bound]) -> str:
    known = list(lines)
    columns = {
        "": [line.what for line in known],
        "to reach": [line.bound for line in known],
        "reached": [line.reached for line in known],
        "met": [_MET[line.is_met] for line in known],
    }
    return f"## Bounds\n\n{table(columns)}\n"


def _rows_section(by_row: Mapping[str, Sequence[Case]]) -> str:
    known = {row: some for row, some in by_row.items() if some[0].first.planted_class >= 0}
    columns = {
        "planted": list(known),
        "runs": [f"{len(some)}" for some in known.values()],
        "found at epoch 1": [_count(case.first.is_found for case in some) for some in known.values()],
        "found by epoch 4": [_count(case.is_found for case in some) for some in known.values()],
        "used at epoch 1": [_count(case.first.is_used for case in some) for some in known.values()],
        "used by epoch 4": [_count(case.is_used for case in some) for some in known.values()],
        "first in the list, where found": [_first_in_list(some) for some in known.values()],
        "IoU, median": [_median_iou(some) for some in known.values()],
        "true effect at epoch 4, median": [
            f"{statistics.median(case.last.true_effect for case in some):.2f}" for some in known.values()
        ],
        "runs that accuse another class": [_count(case.accuses for case in some) for some in known.values()],
    }
    innocent = {row: some for row, some in by_row.items() if row not in known}
    clean = {
        "without a cue that gives a class away": list(innocent),
        "runs": [_by_data(some) for some in innocent.values()],
        "searches": [f"{sum(len(case.records) for case in some)}" for some in innocent.values()],
        "with an entry in the list": [
            _count(any(one.n_suspicions for one in case.records) for case in some) for some in innocent.values()
        ],
        "runs that accuse a class": [_count(case.accuses for case in some) for some in innocent.values()],
    }
    return f"""## Every kind of run

The true effect is that of the planted cue on 200 images of other classes, as `CueAlarm` measures it: the rise of the
margin, or for changes of the whole image the contrast between classes. What the network hardly uses cannot be called
used: the threshold is 0.25.

{table(columns)}

{table(clean)}
"""


def _accusations_section(by_row: Mapping[str, Sequence[Case]]) -> str:
    lines = [
        f"- {_place(case)}, epoch {one.epoch}: {one.other_used}"
        for some in by_row.values()
        for case in some
        for one in case.records
        if one.other_used
    ]
    said = "\n".join(lines) or "None."
    return f"""## Every accusation that is not about the cue

Class: kind, words, effect. Those of the class that the cue gives away are listed, too, but not counted as false: there
a second entry may be a by-product of the cue.

{said}
"""


def _misses_section(by_row: Mapping[str, Sequence[Case]]) -> str:
    lines = []
    for some in by_row.values():
        for case in some:
            if case.first.planted_class < 0:
                continue
            if not case.is_found:
                lines.append(f"- {_place(case)}: not found; true effect {_effects(case)}")
            elif not case.first.is_found:
                lines.append(f"- {_place(case)}: found at epoch 4 alone; true effect {_effects(case)}")
            elif not case.is_used:
                lines.append(f"- {_place(case)}: found, not called used; true effect {_effects(case)}")
    said = "\n".join(lines) or "None."
    return f"## Every miss\n\nTrue effects after epochs 1 and 4.\n\n{said}\n"


def _effects_section(records: Sequence[Record]) -> str:
    found = [one for one in records if one.is_found]
    groups = {
        "all that was found": found,
        **{kind: [one for one in found if one.kind == kind] for kind in ("copies", "places", "properties")},
        "called used": [one for one in found if one.is_used],
    }
    kept = {name: some for name, some in groups.items() if len(some) >= _FEWEST}
    columns = {
        "": list(kept),
        "searches": [f"{len(some)}" for some in kept.values()],
        "r": [_correlation(some) for some in kept.values()],
        "bias, mean": [f"{statistics.fmean(_differences(some)):+.2f}" for some in kept.values()],
        "bias, median": [f"{statistics.median(_differences(some)):+.2f}" for some in kept.values()],
    }
    return f"""## The effect against that of the true cue

Pearson's r between the effect in the list, of the pixels, mark or property that was found, and that of the planted cue
by its name; to reach: ≥ .95. The bias is the first minus the second, in standard deviations of the logits. For stickers
that were spoiled, the true effect is that of the sticker before.

{table(columns) if kept else "Too few runs."}
"""


def _seconds_section(records: Sequence[Record], costs: Sequence[Mapping[str, Any]]) -> str:
    searches = list({(one.row, one.data, one.q, one.number, one.epoch): one for one in records}.values())
    seconds = sorted(one.seconds for one in searches)
    passes = statistics.median(one.pass_seconds for one in searches)
    images = sorted(one.n_images for one in searches)
    return f"""## Cost

In these {len(seconds)} searches of {images[0]} to {images[-1]} images, a search took {statistics.median(seconds):.1f} s
of processor time (median; {seconds[0]:.1f} to {seconds[-1]:.1f} s), and one forward and one backward pass of the same
images {passes:.1f} s, on a core that other processes used as well, which makes both slower.
{_costs(costs)}"""


def _costs(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return ""
    columns = {
        "measured": [row["ours"] for row in rows],
        "against": [row["other"] for row in rows],
        "": [f"{row['ours_value']:.1f} {row['unit']} / {row['other_value']:.1f} {row['unit']}" for row in rows],
        "ratio": [f"{row['ratio']:.2f}" for row in rows],
        "to reach": ["" if row["limit"] is None else f"≤ {row['limit']:g}" for row in rows],
        "met": ["" if row["is_met"] is None else _MET[row["is_met"]] for row in rows],
    }
    return f"""
On their own, `python -m benchmarks.run --only discovery --threads 1 --clock cpu`: medians of 3. An orange patch is in
every other image of one class, so that there is something to try. The two passes are one forward and one backward pass
of every image.

{table(columns)}
"""


def _runs_section(by_row: Mapping[str, Sequence[Case]]) -> str:
    shown = [case for some in by_row.values() for case in some]
    columns = {
        "row": [case.first.row for case in shown],
        "data": [case.first.data for case in shown],
        "cue": [case.first.cue or "none" for case in shown],
        "q, r": [f"{case.first.q:g}, {case.first.r:g}" if case.first.cue else "" for case in shown],
        "run": [f"{case.first.number}" for case in shown],
        "class": [f"{case.first.planted_class}" if case.first.planted_class >= 0 else "" for case in shown],
        "found": [_epochs(case, "is_found") for case in shown],
        "used": [_epochs(case, "is_used") for case in shown],
        "rank": [", ".join(f"{one.rank or '–'}" for one in case.records) for case in shown],
        "as": [next((one.kind for one in reversed(case.records) if one.kind), "") for case in shown],
        "IoU": ["" if case.iou is None else f"{case.iou:.2f}" for case in shown],
        "effect": [", ".join(_number(one.effect) for one in case.records) for case in shown],
        "true effect": [", ".join(_number(one.true_effect) for one in case.records) for case in shown],
        "accused": [f"{sum(one.false_accusations for one in case.records)}" for case in shown],
        "accuracy": [f"{case.last.accuracy:.2f}" for case in shown],
    }
    return f"""## Every run

Found and used: after which epochs. Rank, effect and true effect: after each epoch at which it was searched.

{table(columns)}
"""


def _place(case: Case) -> str:
    one = case.first
    planted = f", q = {one.q:g}, {one.cue} in class {one.planted_class}" if one.planted_class >= 0 else ""
    return f"{one.row}, {one.data}, run {one.number}{planted}"


def _count(values: Iterable[bool]) -> str:
    known = list(values)
    return f"{sum(known)} of {len(known)}"


def _by_data(some: Sequence[Case]) -> str:
    names = sorted({case.first.data for case in some})
    counts = ", ".join(f"{name} {sum(case.first.data == name for case in some)}" for name in names)
    return f"{len(some)} ({counts})"


def _first_in_list(some: Sequence[Case]) -> str:
    last = [case.last for case in some if case.last.is_found]
    return f"{sum(one.rank == 1 for one in last)} of {len(last)}"


def _median_iou(some: Sequence[Case]) -> str:
    known = [case.iou for case in some if case.iou is not None]
    return f"{statistics.median(known):.2f}" if known else ""


def _effects(case: Case) -> str:
    return " and ".join(_number(one.true_effect) for one in case.records)


def _epochs(case: Case, name: str) -> str:
    return ", ".join(f"{one.epoch}" for one in case.records if getattr(one, name)) or "–"


def _number(value: float) -> str:
    return f"{value:.2f}" if value > -90 else "–"


def _differences(some: Sequence[Record]) -> list[float]:
    return [one.effect - one.true_effect for one in some]


def _correlation(some: Sequence[Record]) -> str:
    ours, true = [one.effect for one in some], [one.true_effect for one in some]
    return f"{statistics.correlation(ours, true):.3f}" if len({*ours}) > 1 and len({*true}) > 1 else "–"
