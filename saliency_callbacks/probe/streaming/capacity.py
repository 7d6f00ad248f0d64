"""Whether a probe fits: an estimate before anything is read, against what memory and disk have left."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from saliency_callbacks.config.fields import fields_of
from saliency_callbacks.errors import ProbeError
from saliency_callbacks.probe.reading import as_if_not_read
from saliency_callbacks.probe.selection import positions_of
from saliency_callbacks.probe.stream import is_map_style

__all__ = ["available_memory", "bytes_of", "check_fits", "check_items_fit", "free_disk", "in_words"]

_MANY = 1024
_CGROUP = Path("/sys/fs/cgroup")


def check_items_fit(dataset: Any, size: int, candidates: Sequence[int] | None = None) -> None:
    """Check that the items of a large probe fit into the memory, by the size of one.

    Nothing is checked of up to 1024 samples, and where the first item cannot be read.

    Args:
        dataset: The dataset.
        size: Number of samples.
        candidates: Positions that they are chosen from.

    Raises:
        ProbeError: If they do not fit.
    """
    if size <= _MANY or not is_map_style(dataset):
        return
    with as_if_not_read(dataset):
        positions = positions_of(dataset, candidates)
        try:
            of_one = bytes_of(dataset[positions[0]])
        except Exception:
            # To read the probe says what is wrong.
            return
    n_samples = min(size, len(positions))
    # The items, and the batch that is made of them.
    check_fits(
        2 * n_samples * of_one,
        available_memory(),
        f"{n_samples} samples of {in_words(of_one)}",
        "memory",
        "Choose a smaller Probe(size=…)",
    )


def check_fits(needed: int, available: int | None, what: str, where: str, fix: str) -> None:
    """Raise a ProbeError where more bytes are needed than there are; nothing where that is not known.

    Args:
        needed: How many bytes are needed.
        available: How many there are; ``None`` where nobody tells.
        what: What needs them.
        where: Of what.
        fix: What to do.
    """
    if available is not None and needed > available:
        raise ProbeError(
            f"the probe has {what}, which take about {in_words(needed)} of {where}; expected at most the "
            f"{in_words(available)} that are free. {fix}"
        )


def available_memory() -> int | None:
    """Return the bytes of memory that this process may still take; ``None`` where the system does not tell."""
    found = [_of_machine(), _of_group()]
    known = [number for number in found if number is not None]
    return min(known) if known else None


def free_disk(directory: Path) -> int | None:
    """Return the free bytes of the disk that a directory, which may not exist yet, is or will be on."""
    existing = next((path for path in (directory, *directory.absolute().parents) if path.exists()), None)
    try:
        return None if existing is None else shutil.disk_usage(existing).free
    except OSError:
        return None


def bytes_of(value: Any) -> int:
    """Return the bytes of the tensors and arrays in an item or a batch.

    Example:
        >>> bytes_of((np.zeros((3, 8, 8), dtype=np.float32), {"label": 1}))
        768
    """
    if isinstance(value, Tensor | np.ndarray):
        return value.nbytes
    fields = fields_of(value)
    if fields is not None:
        return sum(map(bytes_of, fields.values()))
    return sum(map(bytes_of, value)) if isinstance(value, list | tuple) else 0


def in_words(n_bytes: float) -> str:
    """Return a number of bytes for people.

    Example:
        >>> in_words(49_152), in_words(5 * 2**30)
        ('48 KiB', '5.0 GiB')
    """
    if n_bytes < 2**20:
        return f"{n_bytes / 2**10:.0f} KiB"
    return f"{n_bytes / 2**20:.0f} MiB" if n_bytes < 2**30 else f"{n_bytes / 2**30:.1f} GiB"


def _of_machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
        known = dict(line.split(":", 1) for line in lines)
        return 1024 * int(known["MemAvailable"].split()[0])
    except (OSError, KeyError, ValueError):
        return _physical()


def _physical() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def _of_group() -> int | None:
    """Return what a container may still take."""
    try:
        limit, current = ((_CGROUP / name).read_text("ascii") for name in ("memory.max", "memory.current"))
        return max(0, int(limit) - int(current))
    except (OSError, ValueError):
        return None
