"""Records in a file that only grows: one line of JSON each; the last line may be torn."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["States", "append_line", "finite_json", "last_states"]


def finite_json(encoded: bytes) -> Any:
    """Return what JSON says whose numbers are finite, as all are that this package writes.

    Raises:
        ValueError: If it is no JSON, or one of its numbers is not finite: ``1e999`` is none either.

    Example:
        >>> finite_json(b'{"step": 1e3}')
        {'step': 1000.0}
    """
    return json.loads(encoded, parse_constant=_finite, parse_float=_finite)


def append_line(path: Path, record: Mapping[str, Any]) -> None:
    """Append one record, after removing a partial line that a killed process left.

    The time does not depend on the length of the file. After a failure the file is as it was.

    Raises:
        OSError: If it cannot be written.
    """
    line = json.dumps(record, allow_nan=False).encode() + b"\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+", buffering=0) as file:
        end = _end_of_whole_lines(file)
        file.truncate(end)
        try:
            # At once, where the file system can: a reader sees the whole line or none of it.
            if file.write(line) != len(line):
                raise OSError(28, "No space left on device", str(path))
        except BaseException:
            file.truncate(end)
            raise


def last_states(encoded: bytes, key: Sequence[str]) -> tuple[list[dict[str, Any]], int]:
    """Return the records, those of the same ``key`` merged in the order of writing, and how many lines are damaged."""
    *lines, rest = encoded.split(b"\n")
    states = States(key)
    states.add(lines)
    return states.records, states.damaged + bool(rest)


class States:
    """The records of lines that were read so far, those of the same key merged.

    Args:
        key: What tells records apart.
    """

    def __init__(self, key: Sequence[str]) -> None:
        self._key = key
        self._states: dict[tuple[Any, ...], dict[str, Any]] = {}
        self.damaged = 0

    @property
    def records(self) -> list[dict[str, Any]]:
        """The records, in the order of writing."""
        return list(self._states.values())

    def add(self, lines: Iterable[bytes]) -> None:
        """Take in further lines, without their newlines."""
        for line in lines:
            record = _record(line, self._key)
            if record is None:
                self.damaged += 1
            else:
                name = tuple(record[part] for part in self._key)
                self._states[name] = {**self._states.get(name, {}), **record}


def _record(line: bytes, key: Sequence[str]) -> dict[str, Any] | None:
    """Return what a line says; ``None`` where it is damaged."""
    try:
        record = finite_json(line)
    except ValueError:
        return None
    is_whole = isinstance(record, dict) and all(isinstance(record.get(part), int | str) for part in key)
    return record if is_whole else None


def _finite(written: str) -> float:
    number = float(written)
    if not math.isfinite(number):
        raise ValueError(f"{written} is no finite number")
    return number


def _end_of_whole_lines(file: Any, block: int = 4096) -> int:
    end = position = file.seek(0, 2)
    while position > 0:
        position = max(0, position - block)
        file.seek(position)
        newline = file.read(end - position).rfind(b"\n")
        if newline >= 0:
            return int(position + newline + 1)
    return 0
