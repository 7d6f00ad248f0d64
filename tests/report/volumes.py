"""A run of volumes whose maps are known."""

from __future__ import annotations

import torch

from saliency_callbacks.sinks import DiskSink
from saliency_callbacks.types import ProbeView, Snapshot
from tests.report.maps import attribution

DEPTH, SIDE = 5, 16


def write_volumes(directory, *, n_epochs=2, axis_names=("depth", "height", "width"), is_old=False, depth=DEPTH):
    """Write dark volumes whose slice k is hot in the upper left for k < 2, in the middle for 2, else lower right.

    An old version kept the pictures of the middle slice alone.
    """
    volumes = torch.zeros(2, depth, SIDE, SIDE, 1, dtype=torch.uint8)
    values = torch.full((2, 1, depth, SIDE, SIDE), 0.02)
    masks = torch.zeros(2, depth, SIDE, SIDE, dtype=torch.bool)
    for index in range(depth):
        place = (1, 6, 11)[(index >= 2) + (index > 2)]
        values[:, :, index, place : place + 4, place : place + 4] = 1
        volumes[:, index] = min(20 * index, 255)
    masks[:, 4, 2:8, 2:8] = True
    masks[:, depth // 2, 6:10, 6:10] = is_old
    view = ProbeView(
        "ab" * 32,
        ("val/0", "val/1"),
        images=volumes[:, depth // 2].expand(-1, -1, -1, 3),
        masks=masks,
        volumes=None if is_old else volumes,
        axis_names=None if is_old else axis_names,
    )
    for epoch in range(n_epochs):
        maps = {name: attribution(name, values) for name in ("gradient", "other")}
        scores = {"saliency/probe_accuracy": 0.5}
        snapshot = Snapshot(epoch, epoch, "fit", maps, ids=view.ids, probe=view, scores=scores)
        DiskSink(directory / "saliency").write(snapshot, {})
    return directory
