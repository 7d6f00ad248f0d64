"""Runs below the log directories: which archives belong together, and when one of them last changed."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from saliency_callbacks.dashboard.logdirs import LogDirectory
from saliency_callbacks.discovery.dismissals import FILE as DISMISSALS_NAME
from saliency_callbacks.report.runs import archive_directories, readable
from saliency_callbacks.sinks.disk.archive import INDEX_NAME, OBSERVATIONS_NAME

__all__ = ["FoundRun", "any_run", "find_runs", "has_links"]

_DEEPEST = 10
_LINES = 20
_NUMBERED = re.compile(r"-\d+$")
# What other tools leave at the top of a run.
_OF_A_RUN = ("hparams.yaml", "metrics.csv", "events.out.tfevents.*")


@dataclass(frozen=True)
class FoundRun:
    """A run, before anything of it is read.

    Args:
        id: Names it, such as ``lightning_logs/version_0``.
        directory: Where it is.
        archives: The directories of its DiskSinks.
    """

    id: str
    directory: Path
    archives: tuple[Path, ...]

    def state(self) -> tuple[str, float]:
        """Return what changes when anything of the run does, and when it last did, in seconds since the epoch."""
        seen, newest = [], 0.0
        for archive in self.archives:
            for name in (INDEX_NAME, OBSERVATIONS_NAME, DISMISSALS_NAME):
                try:
                    status = (archive / name).stat()
                except OSError:
                    continue
                seen.append(f"{archive}/{name} {status.st_mtime_ns} {status.st_size} {status.st_ino}")
                newest = max(newest, status.st_mtime)
        # A path need not be UTF-8.
        return hashlib.sha256(os.fsencode("\n".join(seen))).hexdigest()[:16], newest


def any_run(directories: Sequence[LogDirectory]) -> bool:
    """Return whether there is a run; the search ends with the first."""
    return any(next(archive_directories(one.path, _DEEPEST), None) is not None for one in directories)


def find_runs(directories: Sequence[LogDirectory]) -> Iterator[FoundRun]:
    """Yield the runs below log directories, without reading them.

    What a link leads out of its log directory is left out.
    """
    taken: set[str] = set()
    for one in directories:
        for run, archives in _grouped(one.path).items():
            relative = run.relative_to(one.path).as_posix()
            name = readable(one.prefix + (run.name if relative == "." else relative))
            while name in taken:
                name += "'"
            taken.add(name)
            yield FoundRun(name, run, tuple(archives))


def has_links(directories: Sequence[LogDirectory]) -> bool:
    """Return whether there are links to directories, which the search for runs passes over."""
    return any(_has_links(one.path) for one in directories)


def _has_links(root: Path) -> bool:
    for parent, children, _ in os.walk(root):
        if any(Path(parent, child).is_symlink() for child in children):
            return True
        if len(Path(parent).relative_to(root).parts) >= _DEEPEST:
            children.clear()
    return False


def _grouped(root: Path) -> dict[Path, list[Path]]:
    real = root.resolve()
    archives = [archive for archive in archive_directories(root, _DEEPEST) if _is_within(archive, real)]
    named = {archive: _run_by_tags(archive, root) for archive in archives}
    known = {run for run in named.values() if run is not None}
    runs: dict[Path, list[Path]] = {}
    for archive, run in named.items():
        runs.setdefault(run or _run_around(archive, root, known), []).append(archive)
    return runs


def _is_within(archive: Path, real: Path) -> bool:
    try:
        return all((archive / name).resolve().is_relative_to(real) for name in (INDEX_NAME, OBSERVATIONS_NAME))
    except (OSError, RuntimeError):  # links in a circle
        return False


def _run_by_tags(archive: Path, root: Path) -> Path | None:
    """Return the directory of the run that an archive belongs to: the one in which its namespace is a path.

    The namespace is what its tags begin with.
    """
    tags, above = _first_tags(archive), _up_to(root, archive)
    for place, run in reversed(list(enumerate(above[1:], start=1))):
        namespace = [_NUMBERED.sub("", archive.name), *(part.name for part in above[1:place])]
        if any(tag.startswith("/".join(reversed(namespace)) + "/") for tag in tags):
            return run
    return None


def _run_around(archive: Path, root: Path, known: Collection[Path]) -> Path:
    """Return the run of an archive whose tags do not tell: of its neighbors, one that another tool marked, or its own.

    The tags of an archive that is only being begun, or is damaged, cannot be read.
    """
    around = (run for run in _up_to(root, archive) if run in known or any(any(run.glob(name)) for name in _OF_A_RUN))
    return next(around, archive)


def _up_to(root: Path, archive: Path) -> list[Path]:
    above = [archive, *archive.parents]
    return above[: above.index(root) + 1]


def _first_tags(archive: Path) -> list[str]:
    try:
        with (archive / OBSERVATIONS_NAME).open("rb") as opened:
            found = (_tags(line) for line in islice(opened, _LINES))
            return next(filter(None, found), [])
    except OSError:
        return []


def _tags(line: bytes) -> list[str]:
    try:
        entry = json.loads(line)
        return [str(tag) for key in ("scores", "texts", "tables", "pictures") for tag in entry.get(key, {})]
    except (ValueError, AttributeError, TypeError):
        return []
