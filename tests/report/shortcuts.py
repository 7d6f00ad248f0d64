"""What a ShortcutDiscovery leaves on disk, made up."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from saliency_callbacks.callbacks.discovery.pictures import draw_suspicion
from saliency_callbacks.callbacks.discovery.table import list_of_suspicions, records_of
from saliency_callbacks.sinks import DiskSink
from saliency_callbacks.types import Snapshot
from tests.callbacks.discovery.suspicions import suspicion

KEYS = ("copies-4-17", "copies-x-3")


def write_discovery(directory: Path, *, found: tuple[str, ...] = KEYS, epochs: int = 2, **changes) -> Path:
    """Write evaluations that find what ``found`` says, the first used, the second not."""
    sink = DiskSink(directory / "shortcuts", pictures=True)
    for epoch in range(epochs):
        both = dict(
            zip(KEYS, (suspicion(**changes), suspicion(class_name="x", is_used=False, effect=0.1)), strict=True)
        )
        listed = {key: one for key, one in both.items() if key in found}
        pictures = {f"shortcuts/{key}": draw_suspicion(one, str) for key, one in listed.items()}
        sink.write(
            Snapshot(
                epoch=epoch,
                step=10 * epoch + 9,
                stage="fit",
                attributions={},
                scores={"shortcuts/n_found": len(listed)},
                metadata={"threshold": 0.25, "probe": "ab" * 32, "suspicions": records_of(listed)},
                tables={"shortcuts/list": list_of_suspicions(listed)},
            ),
            {**pictures, "shortcuts/other": np.zeros((20, 30, 3), np.uint8)},
        )
    return directory
