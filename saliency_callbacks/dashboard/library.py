"""The runs below the log directories, and how each is listed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from saliency_callbacks.dashboard.answers import RequestError
from saliency_callbacks.dashboard.found_runs import FoundRun, find_runs, has_links
from saliency_callbacks.dashboard.logdirs import LogDirectory
from saliency_callbacks.dashboard.renewed import Renewed
from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.report.runs import CALLBACKS, readable
from saliency_callbacks.sinks.disk.archive import INDEX_NAME, OBSERVATIONS_NAME, parse_index

__all__ = ["Library"]

_log = logging.getLogger(__name__)
_SECONDS_KEPT = 1.0
_TIMES_KEPT = 10
_LONGEST_WAIT = 0.5
_MOST_GONE = 20


@dataclass(frozen=True)
class _Listing:
    runs: dict[str, FoundRun]
    gone: tuple[FoundRun, ...] = ()
    has_links: bool = False


class Library:
    """The runs below some directories; looked for again when some time has passed, beside those who ask.

    Args:
        directories: Where runs are looked for.
        clock: Returns seconds.
    """

    def __init__(self, directories: Sequence[LogDirectory], clock: Callable[[], float] = time.monotonic) -> None:
        self.directories = tuple(directories)
        # What takes long is not done all the time.
        self._listing = Renewed(
            self._list,
            pause=lambda took: max(_SECONDS_KEPT, _TIMES_KEPT * took),
            later_wait=_LONGEST_WAIT,
            clock=clock,
        )
        self._last_seen: dict[str, float] = {}

    def runs(self) -> dict[str, FoundRun]:
        """Return the runs by their ids."""
        return self._current().runs

    def _current(self) -> _Listing:
        found = self._listing.latest()
        if found is None:
            failure = self._listing.failure
            raise RequestError(HTTPStatus.SERVICE_UNAVAILABLE, f"the directories cannot be searched: {failure}")
        return found

    def _list(self) -> _Listing:
        before = self._listing.found
        runs = {run.id: run for run in find_runs(self.directories)}
        known = [*before.runs.values(), *before.gone] if before is not None else []
        # A run that goes by another name now, as its first lines can be read, is not gone.
        gone = [run for run in known if run.id not in runs and not run.directory.exists()]
        return _Listing(runs, tuple(gone[:_MOST_GONE]), not runs and has_links(self.directories))

    def run(self, name: str) -> FoundRun:
        """Return the run with an id.

        Raises:
            RequestError: If there is none.
        """
        found = self.runs().get(name)
        if found is None:
            raise RequestError(HTTPStatus.NOT_FOUND, f"the run {name!r} no longer exists. Go back to the list of runs")
        return found

    def overview(self) -> dict[str, Any]:
        """Return what is known of all runs, without reading them; the newest first."""
        rows: list[dict[str, Any]] = []
        listing = self._current()
        for run in (*listing.runs.values(), *listing.gone):
            try:
                problem = _problem(run) if run.id in listing.runs else f"{str(run.directory)!r} no longer exists"
                version, updated = run.state()
            except Exception as error:  # the others are listed all the same
                _log.debug("%s could not be looked at", run.id, exc_info=True)
                problem, version, updated = f"{type(error).__name__}: {error}", "", 0.0
            updated = updated or self._last_seen.get(run.id, 0.0)
            rows.append({"id": run.id, "name": run.id, "version": version, "problem": problem, "updated": updated})
        self._last_seen = {row["id"]: row["updated"] for row in rows}
        rows.sort(key=lambda row: -row["updated"])
        return {"title": self._title(), "notes": self._notes(listing), "runs": rows}

    def _title(self) -> str:
        return readable(", ".join(one.prefix.rstrip("/") or one.path.name for one in self.directories))

    def _notes(self, listing: _Listing) -> list[str]:
        if not self.directories:
            return ["No local directory was given to search for runs. Give one with --logdir."]
        gone = [str(one.path) for one in self.directories if not one.path.is_dir()]
        notes = [f"{path} is not a readable directory." for path in gone]
        if self._listing.failure is not None:
            notes.append(
                f"The directories cannot be searched at the moment ({self._listing.failure}); the list may be outdated."
            )
        if not listing.runs and not gone:
            places = " or ".join(str(one.path) for one in self.directories)
            notes.append(f"No run with maps was found below {places}. Train with {CALLBACKS}.")
        if listing.has_links:
            notes.append("Symbolic links to directories are not followed. Give the directory that the link points to.")
        return notes


def _problem(run: FoundRun) -> str | None:
    """Return why nothing of a run can be shown; ``None`` where something can."""
    reasons = []
    for archive in run.archives:
        index, observations = archive / INDEX_NAME, archive / OBSERVATIONS_NAME
        try:
            parse_index(index.read_bytes(), index)
            with observations.open("rb") as opened:
                if opened.read(1):
                    return None
            reasons.append("no observations yet")
        except FileNotFoundError as error:
            reasons.append("no observations yet" if index.exists() else f"{error.filename} no longer exists")
        except OSError as error:
            reasons.append(f"{error.filename} cannot be read ({error.strerror})")
        except ConfigurationError as error:
            reasons.append(str(error))
    return "; ".join(dict.fromkeys(reasons))
