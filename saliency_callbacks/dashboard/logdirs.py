"""Which directories runs are looked for in."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["LogDirectory", "parse_logdir", "parse_logdir_spec"]

_ADDRESS = re.compile(r"[a-zA-Z][0-9a-zA-Z.]*://")


@dataclass(frozen=True)
class LogDirectory:
    """A directory below which runs are found.

    Args:
        path: Where it is.
        prefix: What the names of its runs begin with, such as ``baseline/``; empty where it is the only directory.
    """

    path: Path
    prefix: str = ""


def parse_logdir(given: str) -> tuple[LogDirectory, ...]:
    """Return the directories of TensorBoard's ``--logdir``, which may be several, separated by commas.

    Example:
        >>> [directory.prefix for directory in parse_logdir("/logs/a,/logs/b")]
        ['a/', 'b/']
    """
    # A comma may be part of a name.
    parts = [given] if os.path.isdir(given) else given.split(",")  # noqa: PTH112 - an address is no path
    return _unique([(None, part) for part in parts])


def parse_logdir_spec(given: str) -> tuple[LogDirectory, ...]:
    """Return the directories of TensorBoard's ``--logdir_spec``: ``name:path`` or ``path``, separated by commas.

    Example:
        >>> [(found.prefix, str(found.path)) for found in parse_logdir_spec("new:/logs/a,old:/logs/b")]
        [('new/', '/logs/a'), ('old/', '/logs/b')]
    """
    named: list[tuple[str | None, str]] = []
    for part in given.split(","):
        # As TensorBoard reads it: an address and an absolute path have no name in front.
        name, colon, path = part.partition(":")
        is_named = colon and not _ADDRESS.match(part) and not part.startswith("/")
        named.append((name, path) if is_named else (None, part))
    return _unique(named)


def _unique(named: list[tuple[str | None, str]]) -> tuple[LogDirectory, ...]:
    local = [(name, Path(path).expanduser().absolute()) for name, path in named if path and not _ADDRESS.match(path)]
    if len(local) == 1 and local[0][0] is None:
        return (LogDirectory(local[0][1]),)
    prefixes = _numbered(name or path.name or "root" for name, path in local)
    return tuple(LogDirectory(path, f"{prefix}/") for (_, path), prefix in zip(local, prefixes, strict=True))


def _numbered(names: Iterator[str]) -> Iterator[str]:
    """Yield names of which no two are the same."""
    seen: dict[str, int] = {}
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        yield name if seen[name] == 1 else f"{name} ({seen[name]})"
