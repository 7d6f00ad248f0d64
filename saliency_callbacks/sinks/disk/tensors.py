"""Probe and maps, read back as tensors."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.sinks.addresses import fetched
from saliency_callbacks.sinks.disk.archive import inside
from saliency_callbacks.sinks.disk.entries import ObservationEntry, ProbeEntry
from saliency_callbacks.sinks.disk.outlines import EXPLAINED, PART, StoredOutlines, stored_outlines
from saliency_callbacks.sinks.disk.shown import magnitude_of
from saliency_callbacks.types import Outlines, ProbeView

__all__ = ["read_maps", "read_outlines", "read_probe"]


def read_probe(directory: str | PathLike[str], entry: ProbeEntry) -> ProbeView:
    """Read the probe that was explained.

    Args:
        directory: The sink's directory, or the address of a copy.
        entry: ``read_index(directory)["probe"]``.

    Raises:
        ConfigurationError: If the file is missing, damaged or outside the directory.
    """
    with fetched(directory, (entry["file"],)) as local:
        tensors = _load(inside(local, entry["file"]), "the probe")
    tokens, special, names, groups = entry["tokens"], entry["special"], entry["class_names"], entry["groups"]
    return ProbeView(
        fingerprint=entry["fingerprint"],
        ids=tuple(entry["ids"]),
        images=tensors.get("images"),
        volumes=tensors.get("volumes"),
        axis_names=tuple(entry["axis_names"]) if "axis_names" in entry else None,
        tokens=None if tokens is None else tuple(map(tuple, tokens)),
        special=None if special is None else tuple(map(tuple, special)),
        labels=tensors.get("labels"),
        class_names=None if names is None else tuple(names),
        masks=tensors.get("masks"),
        groups=None if groups is None else tuple(groups),
    )


def read_maps(directory: str | PathLike[str], entry: ObservationEntry) -> dict[str, Tensor]:
    """Read the tensors of one observation.

    Args:
        directory: The sink's directory, or the address of a copy.
        entry: One of ``read_index(directory)["observations"]``.

    Returns:
        Every stored tensor by its name, and ``{method}/magnitude`` of every method whether stored or not.

    Raises:
        ConfigurationError: If the maps were removed, or the file is missing, damaged or outside the directory.
    """
    if entry["file"] is None:
        raise ConfigurationError(
            f"the maps of step {entry['step']} were removed; expected an entry with a file. Look at entry['file'] "
            "first, and keep more with keep_maps='all'"
        )
    with fetched(directory, (entry["file"],)) as local:
        tensors = _load(inside(local, entry["file"]), f"the maps of step {entry['step']}")
    for method, facts in entry["methods"].items():
        if facts["reduction"] is not None:
            values = tensors[f"{method}/values"]
            tensors[f"{method}/magnitude"] = torch.from_numpy(magnitude_of(values.float().numpy(), facts))
    return tensors


def read_outlines(
    tensors: Mapping[str, Tensor], entry: ObservationEntry
) -> tuple[Outlines | None, dict[str, Outlines]]:
    """Return what is explained, and what was found in the maps of each method, as boxes and masks.

    Args:
        tensors: What :func:`read_maps` returned for the observation.
        entry: Its entry in the index.

    Returns:
        ``explained`` and ``localized`` as in :class:`~saliency_callbacks.types.Snapshot`.

    Raises:
        ConfigurationError: If masks are damaged.
    """
    arrays = {name: tensor.numpy() for name, tensor in tensors.items() if name.startswith(f"{PART}/")}
    found = {key: _outlines(one) for key, one in stored_outlines(arrays, entry).items()}
    explained = found.pop(EXPLAINED, None)
    return explained, {key.removeprefix("localized/"): one for key, one in found.items()}


def _outlines(stored: StoredOutlines) -> Outlines:
    boxes, masks = (None if one is None else torch.from_numpy(one) for one in (stored.boxes, stored.masks))
    return Outlines(boxes, masks, stored.names)


def _load(path: Path, expected: str) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load(path.read_bytes())
    except (OSError, SafetensorError) as error:
        raise ConfigurationError(
            f"{str(path)!r} cannot be read ({error}); expected {expected}. Copy the whole directory, index and maps "
            "together"
        ) from error
