"""Runs as a DiskSink leaves them, small and with maps whose hot place is known."""

from __future__ import annotations

import pytest
import torch

from saliency_callbacks.sinks import DiskSink
from saliency_callbacks.types import Cell, ProbeView, Snapshot, Table
from tests.report.maps import SIDE, attribution, hot_maps


@pytest.fixture
def view():
    return ProbeView(
        fingerprint="ab" * 32,
        ids=("val/0", "val/1", "val/2"),
        images=torch.full((3, SIDE, SIDE, 3), 40, dtype=torch.uint8),
        labels=torch.tensor([0, 1, 1]),
        class_names=("cat", "dog"),
    )


@pytest.fixture
def write_run(view):
    """Write a run of ``epochs`` observations whose hot place moves from the upper left to the lower right."""

    def write(directory, *, epochs=4, view=view, predictions=None, namespace="saliency", strength=1.0, **changes):
        sink = DiskSink(directory / namespace)
        count = len(view.ids)
        for epoch in range(epochs):
            place = (1, 1) if epoch < epochs // 2 else (11, 11)
            cam = torch.zeros(count, 1, 4, 4)
            cam[:, :, place[0] // 4, place[1] // 4] = 2.0
            maps = {
                "gradient": attribution("gradient", hot_maps(count, place, strength * (1 + epoch))),
                "grad_cam": attribution("grad_cam", cam, layer="layer4", reduction="sum", size=(SIDE, SIDE)),
            }
            facts = {
                "predictions": torch.tensor([0, 1, 1]) if predictions is None else torch.tensor(predictions[epoch]),
                "confidences": torch.full((count,), 0.5 + epoch / 10),
                "scores": {
                    "saliency/gradient/drift_previous": epoch / 10,
                    "saliency/grad_cam/drift_previous": epoch / 20,
                    "saliency/probe_accuracy": epoch / epochs,
                },
                "metadata": {"model": "Net", "target": "label", "probe": view.fingerprint},
            }
            sink.write(
                Snapshot(
                    epoch=epoch,
                    step=10 * epoch + 9,
                    stage="fit",
                    attributions=maps,
                    labels=view.labels,
                    ids=view.ids,
                    probe=view,
                    **{**facts, **changes},
                ),
                {},
            )
        return directory

    return write


@pytest.fixture
def write_alarm():
    """Write what a CueAlarm leaves that goes on at epoch ``since``, or never."""

    def write(directory, *, epochs=4, since=2):
        sink = DiskSink(directory / "cue" / "patch")
        for epoch in range(epochs):
            is_on = since is not None and epoch >= since
            text = {"cue/patch/alarm": "the model uses the cue 'patch'"} if epoch == since else {}
            sink.write(
                Snapshot(
                    epoch=epoch,
                    step=10 * epoch + 9,
                    stage="fit",
                    attributions={},
                    scores={"cue/patch/effect": 1.0 * epoch, "cue/patch/lower_bound": 0.1, "cue/patch/alarm": is_on},
                    metadata={"threshold": 0.25, "patience": 2, "suspect_class": 0, "statistic": "effect"},
                    texts=text,
                    alerts=text,
                ),
                {},
            )
        return directory

    return write


@pytest.fixture
def write_randomization():
    """Write the last observation of a RandomizationTest."""

    def write(directory, verdicts):
        rows = tuple(tuple(map(Cell, item)) for item in verdicts.items())
        DiskSink(directory / "randomization").write(
            Snapshot(
                epoch=3,
                step=40,
                stage="final",
                attributions={},
                scores={f"randomization/{method}/similarity": 0.1 for method in verdicts},
                metadata={"methods": dict.fromkeys(verdicts, "x"), "verdicts": dict(verdicts)},
                tables={"randomization/verdicts": Table(("method", "verdict"), rows)},
            ),
            {},
        )
        return directory

    return write
