"""The runs below the log directories, and how each is listed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from threading import Lock
from typing import Any

from saliency_callbacks.dashboard.answers import RequestError
from saliency_callbacks.dashboard.found_runs import FoundRun, find_runs
from saliency_callbacks.dashboard.logdirs import LogDirectory
from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.sinks.disk.archive import INDEX_NAME, OBSERVATIONS_NAME, parse_index

__all__ = ["Library"]

_SECONDS_KEPT = 1.0
_TIMES_KEPT = 10
_MOST_GONE = 20


@dataclass(frozen=True)
class _Listing:
    until: float
    runs: dict[str, FoundRun]
    gone: tuple[FoundRun, ...]


class Library:
    """The runs below some directories; looked for again when some time has passed.

    Args:
        directories: Where runs are looked for.
        clock: Returns seconds.
    """

    def __init__(self, directories: Sequence[LogDirectory], clock: Callable[[], float] = time.monotonic) -> None:
        self.directories = tuple(directories)
        self._clock = clock
        self._lock = Lock()
        self._listing: _Listing | None = None

    def runs(self) -> dict[str, FoundRun]:
        """Return the runs by their ids."""
        return self._current().runs

    def _current(self) -> _Listing:
        with self._lock:
            if self._listing is None or self._clock() >= self._listing.until:
                self._listing = self._list()
            return self._listing

    def _list(self) -> _Listing:
        before, start = self._listing, self._clock()
        runs = {run.id: run for run in find_runs(self.directories)}
        known = [*before.runs.values(), *before.gone] if before is not None else []
        end = self._clock()
        # What takes long is not done all the time.
        until = end + max(_SECONDS_KEPT, _TIMES_KEPT * (end - start))
        return _Listing(until, runs, tuple(run for run in known if run.id not in runs)[:_MOST_GONE])

    def run(self, name: str) -> FoundRun:
        """Return the run with an id.

        Raises:
            RequestError: If there is none.
        """
        found = self.runs().get(name)
        if found is None:
            raise RequestError(HTTPStatus.NOT_FOUND, f"there is no run {name!r} any more; go back to the list of runs")
        return found

    def overview(self) -> dict[str, Any]:
        """Return what is known of all runs, without reading them; the newest first."""
        rows: list[dict[str, Any]] = []
        listing = self._current()
        for run in (*listing.runs.values(), *listing.gone):
            version, updated = run.state()
            named = {"id": run.id, "name": run.id, "version": version}
            problem = _problem(run) if run.id in listing.runs else f"{str(run.directory)!r} is gone"
            rows.append({**named, "problem": problem, "updated": updated})
        rows.sort(key=lambda row: -row["updated"])
        return {"title": self._title(), "notes": self._notes(), "runs": rows}

    def _title(self) -> str:
        return ", ".join(directory.prefix.rstrip("/") or directory.path.name for directory in self.directories)

    def _notes(self) -> list[str]:
        if not self.directories:
            return ["No local directory was given to look for runs in; name one with --logdir."]
        gone = [str(one.path) for one in self.directories if not one.path.is_dir()]
        notes = [f"{path} is not a directory that can be read." for path in gone]
        if not self.runs() and not gone:
            notes.append(
                "No run with maps was found below "
                + " or ".join(str(one.path) for one in self.directories)
                + ". Train with SaliencyMonitor, RandomizationTest, CueAlarm or ShortcutDiscovery."
            )
        return notes


def _problem(run: FoundRun) -> str | None:
    """Return why nothing of a run can be shown; ``None`` where something can."""
    reasons = []
    for archive in run.archives:
        index, observations = archive / INDEX_NAME, archive / OBSERVATIONS_NAME
        try:
            parse_index(index.read_bytes(), index)
            if observations.stat().st_size > 0:
                return None
            reasons.append("nothing was observed yet")
        except FileNotFoundError as error:
            reasons.append("nothing was observed yet" if index.exists() else f"{error.filename} is gone")
        except OSError as error:
            reasons.append(f"{str(index)!r} cannot be read ({error.strerror})")
        except ConfigurationError as error:
            reasons.append(str(error))
    return "; ".join(dict.fromkeys(reasons))
