"""What one evaluation of one run found, as a line of a table."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

__all__ = ["Record", "append", "read", "write_csv"]


@dataclass(frozen=True)
class Record:
    """One planted cue, or a data set without one, at one evaluation.

    Args:
        row: Line of the table.
        data: Data set.
        cue: What was planted; empty for a clean data set.
        q: Share of the class that bears it.
        r: Share of each other class.
        number: Which run of the row and data set.
        seed: Of the run.
        epoch: After which epoch the network was searched.
        n_images: Images that were searched.
        accuracy: Of the network on these.
        planted_class: Class that the cue gives away; -1 where none is.
        is_found: Whether a suspicion is about the cue.
        is_used: Whether that says that the network uses it.
        rank: Its place in the list, from 1; 0 where there is none.
        kind: Its kind.
        what: Its words.
        iou: Overlap of its region with the pixels of the cue in its first bearer; -1 without a region.
        share: Share of the class that it says bears it.
        effect: Its effect, or -99 without one; so are the next two.
        lower_bound: Lower bound of that.
        control: Effect of the strongest control.
        true_effect: Effect of the planted cue by its name, as an alarm measures it; -99 for a clean data set.
        true_bound: Lower bound of that.
        n_suspicions: Length of the list.
        n_used: How many of it the network uses.
        false_accusations: How many of these are of a class that no cue gives away.
        other_used: What these are, and others of the class that are not about the cue.
        seconds: Processor time of the search.
        pass_seconds: Processor time of one forward and one backward pass of the images.
    """

    row: str
    data: str
    cue: str
    q: float
    r: float
    number: int
    seed: int
    epoch: int
    n_images: int
    accuracy: float
    planted_class: int
    is_found: bool
    is_used: bool
    rank: int
    kind: str
    what: str
    iou: float
    share: float
    effect: float
    lower_bound: float
    control: float
    true_effect: float
    true_bound: float
    n_suspicions: int
    n_used: int
    false_accusations: int
    other_used: str
    seconds: float
    pass_seconds: float


def append(path: Path, records: Iterable[Record]) -> None:
    """Add records to a file of JSON lines, so that an interruption loses nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        for record in records:
            file.write(json.dumps(asdict(record)) + "\n")


def read(path: Path) -> list[Record]:
    """Return the records of such a file; of a run that was repeated, the last ones."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    last = {(one.row, one.data, one.cue, one.q, one.number, one.epoch): one for one in map(_record, lines)}
    return list(last.values())


def write_csv(path: Path, records: Sequence[Record]) -> None:
    """Write all records, one a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [one.name for one in fields(Record)], lineterminator="\n")
        writer.writeheader()
        for record in records:
            writer.writerow({name: _cell(value) for name, value in asdict(record).items()})


def _record(line: str) -> Record:
    return Record(**json.loads(line))


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return int(value)
    return f"{value:.4g}" if isinstance(value, float) else value
