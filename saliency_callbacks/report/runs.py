"""A run's directory → its intact entries, and notes on the rest."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from saliency_callbacks.config.secrets import without_secrets
from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.sinks.addresses import is_remote
from saliency_callbacks.sinks.disk.archive import INDEX_NAME, read_index, read_table
from saliency_callbacks.sinks.disk.entries import Index, MethodEntry, ObservationEntry, ProbeEntry

__all__ = [
    "CALLBACKS",
    "Archive",
    "RunDirectory",
    "archive_directories",
    "read_archives",
    "read_run",
    "readable",
    "short_names",
    "take_stock",
]

CALLBACKS = "SaliencyMonitor, TokenSaliencyMonitor, RandomizationTest, FaithfulnessTest, CueAlarm or ShortcutDiscovery"
"""Those that leave something to show."""

_DEEPEST = 4
_TYPES = {
    "epoch": int, "step": int, "stage": str, "file": str | None, "methods": dict, "scores": dict, "metadata": dict,
    "pictures": dict, "texts": dict, "alerts": dict, "ids": list,
}  # fmt: skip
_METHOD_KEYS = MethodEntry.__required_keys__


@dataclass(frozen=True)
class Archive:
    """One directory of a DiskSink.

    Args:
        name: Its path inside the run, such as ``cue/patch``; the directory's own name if it is the run.
        directory: Where it is.
        probe: What its index says about the probe.
        observations: Its intact entries, oldest first.
    """

    name: str
    directory: Path
    probe: ProbeEntry | None
    observations: tuple[ObservationEntry, ...]


@dataclass(frozen=True)
class RunDirectory:
    """What one run left.

    Args:
        directory: Where it is.
        name: A short title: the last parts of its path.
        archives: Its directories of raw maps and scores, those with a probe first.
        notes: Sentences on what was left out.
    """

    directory: Path
    name: str
    archives: tuple[Archive, ...]
    notes: tuple[str, ...] = ()


def read_run(directory: str | PathLike[str]) -> RunDirectory:
    """Collect what a Trainer's run, or a single DiskSink, left in ``directory``.

    Raises:
        ConfigurationError: If there is no such directory, or nothing in it can be read.
    """
    if is_remote(directory):
        raise ConfigurationError(
            f"{without_secrets(directory)!r} is an address; expected a directory on this machine. Name the run's own "
            "directory, where the same is kept, or copy the address to this machine"
        )
    path = Path(directory).expanduser().absolute()
    if not path.is_dir():
        raise ConfigurationError(
            f"{str(directory)!r} is not a directory; expected the directory of a run, such as "
            "lightning_logs/version_0, or of a DiskSink"
        )
    archives, notes = read_archives(path, list(archive_directories(path)))
    if not any(archive.observations for archive in archives):
        reason = f": {notes[0]}" if notes else f" (no {INDEX_NAME} with observations)"
        raise ConfigurationError(
            f"{str(directory)!r} contains nothing to report{reason}. Give the directory of a run with {CALLBACKS} "
            "that kept its maps (storage=Storage(save_maps=True))"
        )
    return RunDirectory(path, short_names([path])[0], archives, notes)


def read_archives(
    run: Path, directories: Sequence[Path], read: Callable[[Path], Index] = read_index
) -> tuple[tuple[Archive, ...], tuple[str, ...]]:
    """Return what can be read of the archives of a run, those with a probe first, and notes on the rest.

    Args:
        run: Directory of the run, by which archives are named.
        directories: Those of the archives.
        read: Reads the index of one.
    """
    archives, notes = [], []
    for found in directories:
        name = readable(run.name if found == run else found.relative_to(run).as_posix())
        try:
            index = read(found)
        except ConfigurationError as error:
            notes.append(f"{name} was left out: {str(error).rstrip('.')}.")
            continue
        whole, incomplete = take_stock(index["observations"])
        damaged = index["damaged"] + incomplete
        if damaged:
            notes.append(f"{name}: damaged index entries were left out ({damaged} of {len(whole) + damaged}).")
        archives.append(Archive(name, found, index["probe"], tuple(whole)))
    archives.sort(key=lambda archive: archive.probe is None)
    return tuple(archives), tuple(notes)


def short_names(directories: Sequence[Path]) -> list[str]:
    """Return the last parts of each path: two, or as many as distinguish them."""
    longest = max(len(path.parts) for path in directories)
    for count in range(2, longest + 1):
        names = [readable("/".join(path.parts[-count:]).lstrip("/")) for path in directories]
        if len(set(names)) == len(set(directories)):
            return names
    return [readable(str(path)) for path in directories]


def readable(path: str) -> str:
    r"""Return a path as text that can be sent; bytes that are not UTF-8, which a path may have, are written in hex.

    Example:
        >>> print(readable(os.fsdecode(b"r\xe9sum\xe9")))
        r\xe9sum\xe9
    """
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def take_stock(observations: Sequence[ObservationEntry]) -> tuple[list[ObservationEntry], int]:
    """Return the intact entries, and the number of the others."""
    whole = [entry for entry in observations if _is_whole(entry)]
    return whole, len(observations) - len(whole)


def _is_whole(entry: ObservationEntry) -> bool:
    if not all(isinstance(entry.get(key), kind) for key, kind in _TYPES.items()):
        return False
    words = [*entry["pictures"].values(), *entry["texts"].values(), *entry["alerts"].values()]
    return (
        _has_whole_tables(entry)
        and all(isinstance(word, str) for word in words)
        and all(score is None or isinstance(score, int | float) for score in entry["scores"].values())
        and all(isinstance(facts, dict) and facts.keys() >= _METHOD_KEYS for facts in entry["methods"].values())
    )


def _has_whole_tables(entry: ObservationEntry) -> bool:
    try:
        return all(read_table(table) for table in entry.get("tables", {}).values())
    except (AttributeError, ConfigurationError):
        return False


def archive_directories(root: Path, deepest: int = _DEEPEST) -> Iterator[Path]:
    """Yield the directories of DiskSinks at ``root`` or at most ``deepest`` levels below, in the order of their names.

    Links to other directories are not followed.
    """
    for parent, children, files in os.walk(root):
        depth = len(Path(parent).relative_to(root).parts)
        if INDEX_NAME in files and (depth == 0 or "maps" in children or _begins_like_ours(Path(parent, INDEX_NAME))):
            yield Path(parent)
        # A DiskSink's own directories hold thousands of files and no further index.
        children[:] = sorted(set(children) - {"maps", "pictures", "checkpoints"}) if depth < deepest else []


def _begins_like_ours(index: Path) -> bool:
    """Return whether a file begins as DiskSink's index does, even if the rest is damaged."""
    try:
        with index.open("rb") as opened:
            return b'"format"' in opened.read(32)
    except OSError:
        return False
