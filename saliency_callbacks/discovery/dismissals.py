"""Suspicions that a person dismissed: a small file beside what a run wrote, honoured by later runs on the same data."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from typing_extensions import Self

from saliency_callbacks.errors import ConfigurationError, warn

__all__ = ["FILE", "Dismissal", "dismiss", "is_dismissed", "load", "restore"]

FILE = "dismissed.json"

_VERSION = 1
_SAME = 0.5


class _Finding(Protocol):
    @property
    def class_index(self) -> int: ...
    @property
    def kind(self) -> str: ...
    @property
    def bearers(self) -> Sequence[str]: ...
    @property
    def what(self) -> str: ...


@dataclass(frozen=True)
class Dismissal:
    """One suspicion that a person dismissed, by what tells it from others.

    Args:
        class_index: The class.
        kind: Which generator found it.
        bearers: Ids of the samples that bear it.
        what: The cue in plain words.
        fingerprint: Of the probe in which it was found: ids of samples mean nothing elsewhere.

    Example:
        >>> Dismissal(4, "copies", ("17", "23"), "the same 36 pixels", "5f3a").class_index
        4
    """

    class_index: int
    kind: str
    bearers: tuple[str, ...]
    what: str
    fingerprint: str

    @classmethod
    def of(cls, finding: _Finding, fingerprint: str) -> Self:
        """Return the dismissal of a suspicion, found in the probe with this fingerprint."""
        bearers = tuple(str(one) for one in finding.bearers)
        return cls(int(finding.class_index), str(finding.kind), bearers, str(finding.what), fingerprint)

    @classmethod
    def from_record(cls, record: Any) -> Self:
        """Return what a record of the file says.

        Raises:
            ConfigurationError: If it is none.
        """
        try:
            bearers = tuple(map(str, record["bearers"]))
            named = (str(record[name]) for name in ("what", "fingerprint"))
            return cls(int(record["class_index"]), str(record["kind"]), bearers, *named)
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigurationError(
                f"{record!r} is not a dismissal ({type(error).__name__}: {error}); expected class_index, kind, "
                "bearers, what and fingerprint"
            ) from error

    def covers(self, finding: _Finding) -> bool:
        """Tell whether a suspicion is of the dismissed cue: same class and kind, half of the fewer bearers shared."""
        if (self.class_index, self.kind) != (finding.class_index, finding.kind):
            return False
        fewer = min(len(self.bearers), len(finding.bearers))
        return fewer > 0 and len({*self.bearers} & {*map(str, finding.bearers)}) >= _SAME * fewer


def load(directory: str | Path, fingerprint: str | None = None) -> tuple[Dismissal, ...]:
    """Return what was dismissed in a run, and in its sibling runs (``version_0``, ``version_1``, …) by the same name.

    A file that cannot be read is said and left out.

    Args:
        directory: Where the callback wrote, such as ``lightning_logs/version_3/shortcuts``. It need not exist.
        fingerprint: Only what was dismissed in the probe with this fingerprint; everything by default.
    """
    own = Path(directory)
    # A run that shares its directory with others writes to ``shortcuts-1``, and so on.
    siblings = [*own.parent.glob(f"{own.name}*/{FILE}"), *own.parent.parent.glob(f"*/{own.name}*/{FILE}")]
    found = [one for path in dict.fromkeys([own / FILE, *sorted(siblings)]) for one in _read(path)]
    return tuple(dict.fromkeys(one for one in found if fingerprint in (None, one.fingerprint)))


def dismiss(directory: str | Path, dismissal: Dismissal) -> None:
    """Keep a dismissal, once.

    Args:
        directory: Where the callback wrote, such as ``lightning_logs/version_3/shortcuts``.
        dismissal: What is dismissed; of a suspicion ``Dismissal.of(suspicion, fingerprint)``.

    Raises:
        ConfigurationError: If there is a file that cannot be read, and so must not be overwritten.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as directory:
        ...     dismiss(directory, Dismissal(4, "copies", ("17", "23"), "the same 36 pixels", "5f3a"))
        ...     [one.what for one in load(directory, "5f3a")]
        ['the same 36 pixels']
    """
    path = Path(directory) / FILE
    known = _parsed(path) if path.exists() else ()
    _write(path, tuple(dict.fromkeys([*known, dismissal])))


def restore(directory: str | Path, finding: Dismissal) -> bool:
    """Take back what was dismissed; return whether it was.

    Args:
        directory: Where it was dismissed.
        finding: The suspicion, as it would be dismissed now.

    Raises:
        ConfigurationError: If there is a file that cannot be read.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> found = Dismissal(4, "copies", ("17", "23"), "the same 36 pixels", "5f3a")
        >>> with TemporaryDirectory() as directory:
        ...     dismiss(directory, found)
        ...     restore(directory, found), restore(directory, found), load(directory)
        (True, False, ())
    """
    path = Path(directory) / FILE
    known = _parsed(path) if path.exists() else ()
    kept = tuple(one for one in known if one.fingerprint != finding.fingerprint or not one.covers(finding))
    if len(kept) == len(known):
        return False
    _write(path, kept)
    return True


def _write(path: Path, dismissals: Sequence[Dismissal]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"version": _VERSION, "dismissed": [asdict(one) for one in dismissals]}
    # Whole or not at all: a run may be reading it.
    written = path.with_name(f".{FILE}.{os.getpid()}")
    written.write_text(json.dumps(content, indent=1), encoding="utf-8")
    written.replace(path)


def is_dismissed(finding: _Finding, dismissals: Sequence[Dismissal]) -> bool:
    """Tell whether a suspicion is of a cue that was dismissed; of dismissals in the same probe."""
    return any(one.covers(finding) for one in dismissals)


def _read(path: Path) -> tuple[Dismissal, ...]:
    if not path.is_file():
        return ()
    try:
        return _parsed(path)
    except ConfigurationError as error:
        warn(("dismissals", str(path)), f"{error}. Its dismissals are ignored")
        return ()


def _parsed(path: Path) -> tuple[Dismissal, ...]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        records = content["dismissed"]
        return tuple(map(Dismissal.from_record, records))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"{path} cannot be read ({type(error).__name__}: {error}); expected the list of dismissed suspicions that "
            "this package writes. Repair or remove it"
        ) from error
