"""Whether what a run has left on the disk is whole: every file is read by a library that did not write it."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from PIL import Image
from safetensors import safe_open

from saliency_callbacks.sinks import read_index

__all__ = ["check_files"]


def check_files(root: Path) -> dict[str, int]:
    """Read every file below ``root``; return how many there are of each kind.

    Raises:
        AssertionError: If one is a part, a leftover, or missing where an index lists it.
    """
    counts: dict[str, int] = {}
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        kind = path.suffix.removeprefix(".") or path.name
        counts[kind] = counts.get(kind, 0) + 1
        _READERS[kind](path)
    return counts


def _read_tensors(path: Path) -> None:
    with safe_open(path, framework="numpy") as tensors:
        for name in tensors.keys():  # noqa: SIM118 (no mapping)
            tensors.get_tensor(name)


def _read_picture(path: Path) -> None:
    with Image.open(path) as picture:
        picture.load()


def _read_index(path: Path) -> None:
    index = read_index(path.parent)
    assert index["damaged"] == 0
    for entry in index["observations"]:
        for listed in filter(None, [entry["file"], *entry["pictures"].values()]):
            assert (path.parent / listed).is_file(), f"{listed} is listed and absent"
    assert index["probe"] is None or (path.parent / index["probe"]["file"]).is_file()


def _read_lines(path: Path) -> None:
    for line in path.read_text().splitlines():
        json.loads(line)


def _read_checkpoint(path: Path) -> None:
    torch.load(path, weights_only=True)


# A kind that is not here (a temporary file, say) is a leftover.
_READERS = {
    "safetensors": _read_tensors,
    "png": _read_picture,
    "gif": _read_picture,
    "json": _read_index,
    "jsonl": _read_lines,
    "ckpt": _read_checkpoint,
}
