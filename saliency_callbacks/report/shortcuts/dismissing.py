"""Dismiss a suspicion of a run, or take that back."""

from __future__ import annotations

from os import PathLike

from saliency_callbacks.discovery.dismissals import FILE, Dismissal, dismiss, is_dismissed, load, restore
from saliency_callbacks.errors import ConfigurationError, nearest_names
from saliency_callbacks.report.runs import read_run
from saliency_callbacks.report.shortcuts.lists import ShortcutList, lists_in

__all__ = ["dismiss_suspicion", "restore_suspicion"]


def dismiss_suspicion(run: str | PathLike[str], key: str) -> str:
    """Leave a suspicion out from now on.

    Args:
        run: Directory of the run.
        key: Name of the suspicion, as in the list.

    Returns:
        What was done, in a sentence.

    Raises:
        ConfigurationError: If the run has no such suspicion, or what was dismissed in it cannot be read.
    """
    found, finding = _found(run, key)
    directory = found.archive.directory
    dismiss(directory, finding)
    return (
        f"dismissed {key} ({finding.what}), in {str(directory / FILE)!r}. Later evaluations leave it out, in this run "
        "and in neighboring runs on the same data"
    )


def restore_suspicion(run: str | PathLike[str], key: str) -> str:
    """Suspect again what was dismissed.

    Args:
        run: Directory of the run in which it was dismissed.
        key: Name of the suspicion, as in the list.

    Returns:
        What was done, in a sentence.

    Raises:
        ConfigurationError: If the run has no such suspicion, or it was not dismissed in it.
    """
    found, finding = _found(run, key)
    directory = found.archive.directory
    if not restore(directory, finding):
        beside = is_dismissed(finding, load(directory, finding.fingerprint))
        where = "it was dismissed in a neighboring run; give that run instead" if beside else "there is nothing to undo"
        raise ConfigurationError(f"key={key!r} was not dismissed in {str(directory)!r}: {where}")
    return f"the dismissal of {key} ({finding.what}) is undone; it will be listed again"


def _found(run: str | PathLike[str], key: str) -> tuple[ShortcutList, Dismissal]:
    """Return the newest list that has a suspicion, and what tells it from others."""
    # Later lists leave out what was dismissed.
    lists = [one for archive in read_run(run).archives for one in lists_in(archive)]
    for one in reversed(lists):
        finding = one.finding(key)
        if finding is not None:
            return one, finding
    known = list(dict.fromkeys(row["key"] for one in reversed(lists) for row in one.rows))
    no_list = "it has no list of suspicions; expected a run with a ShortcutDiscovery"
    hint = nearest_names(key, known) if known else no_list
    raise ConfigurationError(f"key={key!r} is not a suspicion of {str(run)!r}: {hint}")
