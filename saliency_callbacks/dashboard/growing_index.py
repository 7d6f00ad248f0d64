"""The index of an archive that a training still appends to: each line of it is read once."""

from __future__ import annotations

from pathlib import Path

from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.sinks.disk.archive import (
    FORMAT,
    INDEX_NAME,
    KEY,
    OBSERVATIONS_NAME,
    parse_index,
    sorted_observations,
)
from saliency_callbacks.sinks.disk.entries import Index
from saliency_callbacks.sinks.disk.journal import States

__all__ = ["GrowingIndex"]

_REMEMBERED = 200


class GrowingIndex:
    """Reads what :func:`~saliency_callbacks.sinks.read_index` reads, and the next time only what was added.

    Args:
        directory: That of the archive.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._states = States(KEY)
        self._position, self._last = 0, b""

    def read(self) -> Index:
        """Return the index as it is now.

        Raises:
            ConfigurationError: If there is none, or it is damaged or of another format.
        """
        index = self._directory / INDEX_NAME
        try:
            probe = parse_index(index.read_bytes(), index)
            rest = self._read_on(self._directory / OBSERVATIONS_NAME)
        except OSError as error:
            raise ConfigurationError(
                f"{error.filename} cannot be read ({error.strerror}); expected the index that DiskSink writes"
            ) from error
        # A last line without its newline is being written, or was when the process died.
        entries, damaged = sorted_observations(self._states.records, self._states.damaged + bool(rest))
        return Index(format=FORMAT, probe=probe, observations=entries, damaged=damaged)

    def _read_on(self, path: Path) -> bytes:
        """Take in the lines that were added; return what comes after the last newline."""
        if not path.exists():
            self._forget()
            return b""
        with path.open("rb") as file:
            file.seek(self._position - len(self._last))
            if file.read(len(self._last)) != self._last:  # another file took its place
                self._forget()
                file.seek(0)
            added, newline, rest = file.read().rpartition(b"\n")
        whole = added + newline
        self._states.add(added.split(b"\n") if newline else [])
        self._position += len(whole)
        self._last = (self._last + whole)[-_REMEMBERED:]
        return rest

    def _forget(self) -> None:
        self._states = States(KEY)
        self._position, self._last = 0, b""
