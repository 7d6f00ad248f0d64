"""Checkpoints on disk, in the order of the training."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import torch

from saliency_callbacks.errors import ConfigurationError

__all__ = ["Checkpoint", "find_checkpoints"]

_PATTERN = "*.ckpt"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint and the moment of its weights.

    Args:
        path: The file.
        epoch: Epoch that the weights belong to, counted from 0.
        step: Step under which the Trainer's loggers had the metrics of that moment.
        global_step: Optimizer steps so far.
        is_trusted: Whether the file may run code when it is read.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as directory:
        ...     torch.save({"state_dict": {}, "epoch": 2, "global_step": 30}, Path(directory, "last.ckpt"))
        ...     checkpoints, left_out = find_checkpoints([directory])
        >>> checkpoints[0].path.name, checkpoints[0].epoch, checkpoints[0].step
        ('last.ckpt', 2, 29)
    """

    path: Path
    epoch: int
    step: int
    global_step: int
    is_trusted: bool = False

    @classmethod
    def of(cls, path: Path, *, is_trusted: bool = False) -> Checkpoint:
        """Read when the weights in a file were saved.

        Raises:
            ConfigurationError: If the file cannot be read, or is no checkpoint of a Trainer.
        """
        content = _read(path, is_trusted=is_trusted, mmap=True)
        missing = [key for key in ("state_dict", "epoch", "global_step") if key not in content]
        if missing:
            raise ConfigurationError(
                f"checkpoint {str(path)!r} has no {' and no '.join(map(repr, missing))}; expected a file saved by a "
                "Lightning Trainer or ModelCheckpoint"
            )
        epoch, step = _moment(content)
        return cls(path, epoch, step, int(content["global_step"]), is_trusted)

    def read(self) -> dict[str, Any]:
        """Return the content, on the CPU."""
        return _read(self.path, is_trusted=self.is_trusted)


def find_checkpoints(
    paths: Sequence[str | PathLike[str]], *, is_trusted: bool = False
) -> tuple[list[Checkpoint], list[str]]:
    """Return the checkpoints in directories and files, one for each step, in the order of the training.

    Args:
        paths: Files, and directories of which all ``*.ckpt`` are taken.
        is_trusted: Whether the files may run code when they are read.

    Returns:
        The checkpoints, and for each that was left out why.

    Raises:
        ConfigurationError: If there are none, or one cannot be read.
    """
    files = list(dict.fromkeys(file.absolute() for path in paths for file in _files(Path(path).expanduser())))
    found = sorted(
        (Checkpoint.of(file, is_trusted=is_trusted) for file in files),
        key=lambda one: (one.global_step, one.epoch, one.path.name == "last.ckpt", one.path.name),
    )
    kept: dict[int, Checkpoint] = {}
    left_out = []
    for one in found:
        first = kept.setdefault(one.global_step, one)
        if first is not one:
            left_out.append(
                f"{one.path.name} is left out, because it is of step {one.global_step}, like {first.path.name}"
            )
    return list(kept.values()), left_out


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise ConfigurationError(
            f"checkpoints={str(path)!r} does not exist; expected checkpoint files, or a directory with {_PATTERN} files"
        )
    files = sorted(file for file in path.glob(_PATTERN) if file.is_file())
    if not files:
        below = sorted({str(file.parent) for file in path.rglob(_PATTERN) if file.is_file()})
        hint = f"there are some in {below[0]!r}" if below else "Give the directory that ModelCheckpoint wrote to"
        raise ConfigurationError(f"checkpoints={str(path)!r} has no {_PATTERN} file; {hint}")
    return files


def _read(path: Path, *, is_trusted: bool, mmap: bool = False) -> dict[str, Any]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=not is_trusted, mmap=mmap)
    except pickle.UnpicklingError as error:
        if is_trusted:
            raise _unreadable(path, error) from error
        raise ConfigurationError(
            f"checkpoint {str(path)!r} contains more than tensors and plain values, and reading it could run hidden "
            "code. Use --trust-checkpoints (trust_checkpoints=True) if you trust its source"
        ) from error
    except Exception as error:
        raise _unreadable(path, error) from error
    if not isinstance(content, dict):
        raise ConfigurationError(
            f"checkpoint {str(path)!r} contains a {type(content).__name__}; expected a file saved by a Lightning "
            "Trainer"
        )
    return content


def _unreadable(path: Path, error: Exception) -> ConfigurationError:
    reason = str(error).strip().splitlines() or [""]
    return ConfigurationError(
        f"checkpoint {str(path)!r} cannot be read ({type(error).__name__}: {reason[0]}); expected a file saved by a "
        "Lightning Trainer. Leave it out, or copy it again"
    )


def _moment(content: Mapping[str, Any]) -> tuple[int, int]:
    """Return epoch and logging step of the weights.

    A Trainer counts an epoch and its batches at different places of its loop, and a checkpoint may be saved at any of
    them: in the validation, after the epoch, after the training.
    """
    try:
        loop = content["loops"]["fit_loop"]
        epochs = loop["epoch_progress"]["current"]
        stepped = int(loop["epoch_loop.state_dict"]["_batches_that_stepped"])
        is_in_epoch = epochs["started"] > epochs["processed"]
        epoch = int(epochs["ready"]) - 1
    except (KeyError, TypeError):
        # Saved by somebody else than the Trainer.
        return int(content["epoch"]), max(0, int(content["global_step"]) - 1)
    return max(0, epoch), max(0, stepped if is_in_epoch else stepped - 1)
