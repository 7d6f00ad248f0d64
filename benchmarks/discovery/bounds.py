"""Lines of the table: what was to be reached, and what was."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from benchmarks.discovery.experiments import PROPERTIES, SPOILED
from benchmarks.discovery.records import Record

__all__ = ["Bound", "Case", "bounds", "cases"]

_SAME = {"letters": 0.95, "scenes": 0.95, "digits": 0.45}
"""The least overlap of the region with a patch."""
_FEWEST_EFFECTS = 10


@dataclass(frozen=True)
class Case:
    """One cue in one run, at all its evaluations; or one clean run.

    Args:
        records: One for each evaluation, in order.
    """

    records: Sequence[Record]

    @property
    def first(self) -> Record:
        """The first evaluation."""
        return self.records[0]

    @property
    def last(self) -> Record:
        """The last evaluation."""
        return self.records[-1]

    @property
    def is_found(self) -> bool:
        """Whether the cue was found at any evaluation."""
        return any(one.is_found for one in self.records)

    @property
    def is_used(self) -> bool:
        """Whether the network was said to use it at any evaluation."""
        return any(one.is_used for one in self.records)

    @property
    def iou(self) -> float | None:
        """Overlap of the region with the cue, at the last evaluation that found it."""
        known = [one.iou for one in self.records if one.is_found and one.iou >= 0]
        return known[-1] if known else None

    @property
    def accuses(self) -> bool:
        """Whether a class that no cue gives away was accused at any evaluation."""
        return any(one.false_accusations for one in self.records)


@dataclass(frozen=True)
class Bound:
    """One line of the table of bounds.

    Args:
        what: What was measured.
        bound: What was to be reached.
        reached: What was reached.
        is_met: Whether that is enough; ``None`` while there are too few runs.
    """

    what: str
    bound: str
    reached: str
    is_met: bool | None


def cases(records: Iterable[Record]) -> dict[str, list[Case]]:
    """Return row → its cases, in order."""
    ordered = sorted(records, key=lambda one: (*_key(one), one.epoch))
    found: dict[str, list[Case]] = {}
    for _, group in groupby(ordered, _key):
        case = Case(list(group))
        found.setdefault(case.first.row, []).append(case)
    return found


def bounds(by_row: Mapping[str, Sequence[Case]]) -> Iterator[Bound]:
    """Yield the lines of the table of bounds.

    Args:
        by_row: Row → its cases.
    """
    for row in ("patch", "sticker"):
        known = by_row.get(row, ())
        found = sum(case.first.is_found for case in known)
        yield Bound(
            f"{row}, found at the first evaluation", "every run", f"{found} of {len(known)}", _all(found, known, 10)
        )
    patched = by_row.get("patch", ())
    used = sum(case.is_used for case in patched)
    yield Bound(
        "patch, used and of the right class by epoch 4",
        "every run",
        f"{used} of {len(patched)}",
        _all(used, patched, 10),
    )
    for data, least in _SAME.items():
        overlaps = [case.iou or 0.0 for case in patched if case.first.data == data]
        enough = sum(iou >= least for iou in overlaps)
        yield Bound(
            f"patch on {data}, overlap (IoU) of the region",
            f"≥ {least:g}",
            f"{enough} of {len(overlaps)}{_range(overlaps)}",
            _all(enough, overlaps, 3),
        )
    innocent = [*by_row.get("clean", ()), *by_row.get("planted evenly", ())]
    accused = sum(case.accuses for case in innocent)
    yield Bound(
        "clean and evenly planted, runs that accuse a class",
        "0 of at least 100",
        f"{accused} of {len(innocent)}",
        False if accused else True if len(innocent) >= 100 else None,
    )
    for row in ("translucent text", "border", "timestamp"):
        yield _share(f"{row}, found with the right class", by_row.get(row, ()), 8, 10)
    for row in PROPERTIES:
        yield _share(f"{row} by class, found and named", by_row.get(row, ()), 8, 10)
    for row in SPOILED[:3]:
        yield _share(f"sticker, {row}, found", by_row.get(f"sticker, {row}", ()), 4, 5)
    for row in (f"sticker, {SPOILED[3]}", "rescaled sticker", "rotated sticker"):
        yield _share(f"{row}, found (an aim)", by_row.get(row, ()), 3, 5)
    yield from _effects(by_row)


def _effects(by_row: Mapping[str, Sequence[Case]]) -> Iterator[Bound]:
    found = [one for known in by_row.values() for case in known for one in case.records if one.is_found]
    for what, some in (
        ("effect in the list against that of the true cue, all kinds", found),
        ("the same, copies alone", [one for one in found if one.kind == "copies"]),
    ):
        if len(some) < _FEWEST_EFFECTS or len({one.effect for one in some}) < 2:
            yield Bound(what, "r ≥ .95", f"{len(some)} searches", None)
            continue
        r = statistics.correlation([one.effect for one in some], [one.true_effect for one in some])
        bias = statistics.median(one.effect - one.true_effect for one in some)
        yield Bound(what, "r ≥ .95", f"r = {r:.3f}, median bias {bias:+.2f}, {len(some)} searches", r >= 0.95)


def _share(what: str, known: Sequence[Case], least: int, of: int) -> Bound:
    found = sum(case.is_found for case in known)
    met = found * of >= least * len(known) if len(known) >= of else None
    return Bound(what, f"≥ {least} of {of}", f"{found} of {len(known)}", met)


def _all(count: int, known: Sequence[object], least: int) -> bool | None:
    if count < len(known):
        return False
    return True if len(known) >= least else None


def _range(values: Sequence[float]) -> str:
    if not values:
        return ""
    return f"; {min(values):.2f} to {max(values):.2f}, median {statistics.median(values):.2f}"


def _key(one: Record) -> tuple[str, str, float, int, str]:
    return one.row, one.data, one.q, one.number, one.cue
