"""Where a run is kept on this machine's disk: beside what its logger keeps there, or by the logger's names for it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from saliency_callbacks.sinks.addresses import is_remote

__all__ = ["local_directory", "own_directory"]


def local_directory(loggers: Sequence[Any], root: str | PathLike[str]) -> Path:
    """Return a directory on this machine for a run, which is found again when the run goes on.

    It is that of the first logger that has one on this disk. Where none has, as with MLflow on a database or a server,
    it is ``root/<kind of logger>/<experiment>/<run>``, by the first logger's names; two runs that it gives the same
    names share it.

    Args:
        loggers: The run's loggers; ``root`` itself stands for none.
        root: The Trainer's ``default_root_dir``. Where that is remote, the working directory stands for it.

    Example:
        >>> from types import SimpleNamespace
        >>> logger = SimpleNamespace(save_dir=None, name="digits", version="3fa9")
        >>> local_directory([logger], "runs").as_posix()
        'runs/simplenamespace/digits/3fa9'
    """
    base = Path() if is_remote(root) else Path(root)
    own = next(filter(None, map(own_directory, loggers)), None)
    if own is not None or not loggers:
        return base if own is None else own
    kind = re.sub(r"_?logger$", "", type(loggers[0]).__name__.lower())
    return base.joinpath(kind, *_names(loggers[0]))


def own_directory(logger: Any) -> Path | None:
    """Return where a logger keeps a run on this machine's disk; ``None`` where it does not.

    Args:
        logger: One of a Trainer's loggers.

    Example:
        >>> from types import SimpleNamespace
        >>> own_directory(SimpleNamespace(log_dir="runs/version_3")).as_posix()
        'runs/version_3'
    """
    log_dir, save_dir = getattr(logger, "log_dir", None), getattr(logger, "save_dir", None)
    # Of some, as SwanLab's and LitLogger, it is the directory that their runs share.
    if isinstance(log_dir, str) and log_dir != save_dir:
        return None if is_remote(log_dir) else Path(log_dir)
    if not isinstance(save_dir, str | Path) or is_remote(save_dir):
        return None
    # Loggers without a directory of their own share `save_dir` between runs.
    return Path(save_dir, *_names(logger))


def _names(logger: Any) -> list[str]:
    known = [str(part) for part in (logger.name, logger.version) if part is not None]
    return [name for part in known if (name := re.sub(r"[^\w.-]+", "_", part).strip("."))]
