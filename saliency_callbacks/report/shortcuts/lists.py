"""The ranked lists of suspicions that a run left on disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from saliency_callbacks.discovery.dismissals import Dismissal, is_dismissed, load
from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.report.runs import Archive
from saliency_callbacks.sinks.disk.archive import read_table
from saliency_callbacks.sinks.disk.entries import ObservationEntry
from saliency_callbacks.types.tables import Table

__all__ = ["ShortcutList", "lists_in", "lists_of"]

_NAME = "list"
_NEEDED = {
    "key", "class", "kind", "what", "share", "counts", "share_elsewhere", "elsewhere", "p_value", "effect",
    "lower_bound", "control", "used", "first_seen",
}  # fmt: skip


@dataclass(frozen=True)
class ShortcutList:
    """A list of suspicions, of one observation.

    Args:
        archive: Where it was kept.
        entry: The observation.
        tag: Its tag, such as ``shortcuts/list``.
        table: The list, the most credible suspicion first.
    """

    archive: Archive
    entry: ObservationEntry
    tag: str
    table: Table

    @property
    def rows(self) -> list[dict[str, str]]:
        """Column → text, for each suspicion."""
        named = ((cell.text for cell in row) for row in self.table.rows)
        return [dict(zip(self.table.columns, texts, strict=True)) for texts in named]

    @property
    def picture_tags(self) -> dict[str, str]:
        """Key of a suspicion → tag of its picture."""
        namespace = self.tag.rpartition("/")[0]
        return {row["key"]: f"{namespace}/{row['key']}" for row in self.rows}

    def finding(self, key: str) -> Dismissal | None:
        """Return what tells a suspicion from others; ``None`` where the observation does not say it."""
        metadata = self.entry["metadata"]
        try:
            return Dismissal.from_record({**metadata["suspicions"][key], "fingerprint": metadata["probe"]})
        except (ConfigurationError, KeyError, TypeError):
            return None

    def dismissed(self) -> set[str]:
        """Return the keys of what a person has dismissed since, in this run or in one beside it on the same data."""
        known = load(self.archive.directory, str(self.entry["metadata"].get("probe")))
        named = ((row["key"], self.finding(row["key"])) for row in self.rows)
        return {key for key, finding in named if finding is not None and is_dismissed(finding, known)}


def lists_of(archives: Sequence[Archive]) -> list[ShortcutList]:
    """Return the newest list of each callback that looked for shortcuts."""
    newest: dict[tuple[Path, str], ShortcutList] = {}
    for archive in archives:
        newest |= {(archive.directory, one.tag): one for one in lists_in(archive)}
    return list(newest.values())


def lists_in(archive: Archive) -> Iterator[ShortcutList]:
    """Yield every list of an archive, the oldest first."""
    for entry in archive.observations:
        for tag, stored in entry.get("tables", {}).items():
            table = read_table(stored)
            if tag.rpartition("/")[2] == _NAME and {*table.columns} >= _NEEDED:
                yield ShortcutList(archive, entry, tag, table)
