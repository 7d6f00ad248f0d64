"""Runs below the log directories: which archives belong together, and when one of them last changed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from saliency_callbacks.dashboard.logdirs import LogDirectory
from saliency_callbacks.discovery.dismissals import FILE as DISMISSALS_NAME
from saliency_callbacks.report.runs import archive_directories
from saliency_callbacks.sinks.disk.archive import INDEX_NAME, OBSERVATIONS_NAME

__all__ = ["FoundRun", "any_run", "find_runs"]

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
        return hashlib.sha256("\n".join(seen).encode()).hexdigest()[:16], newest


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
            name = one.prefix + (run.name if relative == "." else relative)
            while name in taken:
                name += "'"
            taken.add(name)
            yield FoundRun(name, run, tuple(archives))


def _grouped(root: Path) -> dict[Path, list[Path]]:
    runs: dict[Path, list[Path]] = {}
    real = root.resolve()
    for archive in archive_directories(root, _DEEPEST):
        files = (archive / INDEX_NAME, archive / OBSERVATIONS_NAME)
        if all(file.resolve().is_relative_to(real) for file in files):
            runs.setdefault(_run_of(archive, root), []).append(archive)
    return runs


def _run_of(archive: Path, root: Path) -> Path:
    """Return the directory of the run that an archive belongs to: the one in which its namespace is a path.

    The namespace is what its tags begin with. An archive of other tags is part of the run that another tool marked, or
    a run of its own.
    """
    tags = _first_tags(archive)
    above = [archive, *archive.parents]
    above = above[: above.index(root) + 1]
    for place, run in reversed(list(enumerate(above[1:], start=1))):
        namespace = [_NUMBERED.sub("", archive.name), *(part.name for part in above[1:place])]
        if any(tag.startswith("/".join(reversed(namespace)) + "/") for tag in tags):
            return run
    marked = (run for run in above if any(any(run.glob(name)) for name in _OF_A_RUN))
    return next(marked, archive)


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
