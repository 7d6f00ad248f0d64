"""Small runs whose maps are known, for a person to look at in a browser."""

from __future__ import annotations

import torch

from saliency_callbacks.sinks import DiskSink
from saliency_callbacks.types import Cell, ProbeView, Snapshot, Table
from tests.report.maps import attribution, hot_maps

EVIL = "<img src=x onerror='window.hacked=1'></script><script>window.hacked=1</script>"
SIDE = 16
PLACES = ((1, 1), (6, 6), (11, 11))


def write_image_run(directory, *, n_epochs=3, **facts):
    """Write epochs of two dark pictures: hot in the upper left at first, in the lower right at the end."""
    for epoch in range(n_epochs):
        write_epoch(directory, epoch, **facts)
    return directory


def write_epoch(directory, epoch, *, strength=1.0, fingerprint="ab" * 32, cue=True, other="other"):
    """Write one more epoch, as a training does."""
    view = ProbeView(
        fingerprint,
        (EVIL, "val/1"),
        images=torch.full((2, SIDE, SIDE, 3), 30, dtype=torch.uint8),
        labels=torch.tensor([0, 1]),
        class_names=(EVIL, "dog"),
    )
    maps = {
        "gradient": attribution("gradient", hot_maps(2, PLACES[epoch % 3], strength)),
        other: attribution(other, hot_maps(2, (11, 1), strength)),
    }
    facts = {"epoch": epoch, "step": 10 * epoch + 9, "stage": "fit", "ids": view.ids, "labels": view.labels}
    scores = {f"saliency/{method}/drift_previous": (epoch + 1) / 10 for method in maps}
    DiskSink(directory / "saliency").write(
        Snapshot(
            attributions=maps,
            predictions=torch.tensor([0, 0]),
            confidences=torch.tensor([0.9, 0.8]),
            scores={**scores, "saliency/probe_accuracy": 0.5, f"saliency/{EVIL}": epoch},
            metadata={"model": EVIL, "target": "label", "probe": fingerprint},
            texts={f"saliency/{EVIL}": f"| {EVIL} |\n|---|\n| {EVIL} |"},
            tables={f"saliency/table/{EVIL}": Table((EVIL,), ((Cell(EVIL, "name"),),), note=EVIL)},
            probe=view,
            **facts,
        ),
        {},
    )
    if not cue:
        return
    DiskSink(directory / "cue" / "patch").write(
        Snapshot(
            attributions={},
            scores={"cue/patch/effect": epoch, "cue/patch/lower_bound": epoch - 0.1, "cue/patch/alarm": epoch >= 2},
            metadata={"threshold": 0.25, "patience": 2},
            alerts={"cue/patch/alarm": "the model uses the cue"} if epoch == 2 else {},
            **facts,
        ),
        {},
    )
