"""A run that goes on from a checkpoint goes on with its observations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from saliency_callbacks import Probe, SaliencyMonitor
from saliency_callbacks.errors import SaliencyWarning
from saliency_callbacks.sinks import MemorySink, read_index
from tests.grouping import grouped
from tests.trainer.runs import Classifier, Stream, digits, stages, train_loader, trainer, val_loader

_METHODS = ["gradient", "grad_cam"]


def _monitor(sink: MemorySink, **changes: Any) -> SaliencyMonitor:
    return SaliencyMonitor(**grouped(SaliencyMonitor, **{"methods": _METHODS, "probe": 6, "sinks": [sink], **changes}))


def _fit(
    root: Path, monitor: SaliencyMonitor, epochs: int, ckpt_path: Path | None = None, **changes: Any
) -> tuple[Path, Any]:
    run = trainer(root, monitor, max_epochs=epochs, **changes)
    run.fit(Classifier(), train_loader(), val_loader(), ckpt_path=ckpt_path)
    path = root / f"{epochs}.ckpt"
    run.save_checkpoint(path)
    return path, run


def test_two_and_two_epochs_are_four(tmp_path: Path) -> None:
    whole, first, second = MemorySink(), MemorySink(), MemorySink()
    _fit(tmp_path / "whole", _monitor(whole), 4)
    before = _monitor(first)
    path, _ = _fit(tmp_path / "parts", before, 2)
    after = _monitor(second)
    _fit(tmp_path / "parts", after, 4, path)

    assert stages(whole) == [("initial", 0), *(("fit", epoch) for epoch in range(4))]
    assert stages(second) == [("fit", 2), ("fit", 3)], "the initial observation is not repeated"
    parts = [*first.snapshots, *second.snapshots]
    for one, other in zip(whole.snapshots, parts, strict=True):
        assert (one.ids, one.step, one.metadata) == (other.ids, other.step, other.metadata)
        np.testing.assert_equal(dict(one.scores), dict(other.scores))
        for method in _METHODS:
            assert torch.equal(one.attributions[method].values, other.attributions[method].values)
    for one, other in zip(whole.pictures[-2:], second.pictures, strict=True):
        for tag, picture in one.items():
            assert np.array_equal(picture, other[tag]), f"{tag}: columns and color scale go on"
    assert before.state.indices == after.state.indices
    assert before.state.fingerprint == after.state.fingerprint


@pytest.mark.parametrize(
    "target", ["initial_prediction", "label", 3, "predicted"], ids=["pinned", "label", "class", "predicted"]
)
def test_the_target_goes_on(tmp_path: Path, target: Any) -> None:
    first, second = MemorySink(), MemorySink()
    path, _ = _fit(tmp_path, _monitor(first, target=target), 2)
    _fit(tmp_path, _monitor(second, target=target), 3, path)
    targets = [snapshot.attributions["gradient"].target for snapshot in [*first.snapshots, *second.snapshots]]
    predictions = [snapshot.predictions for snapshot in [*first.snapshots, *second.snapshots]]
    assert not torch.equal(predictions[0], predictions[-1]), "the model has moved"
    expected = {
        "initial_prediction": [predictions[0]] * 4,
        "label": [first.latest.labels] * 4,
        3: [torch.full((6,), 3)] * 4,
        "predicted": predictions,
    }[target]
    assert [one.tolist() for one in targets] == [one.tolist() for one in expected]


def test_the_checkpoint_loads_with_weights_only(tmp_path: Path) -> None:
    monitor = _monitor(MemorySink())
    path, _ = _fit(tmp_path, monitor, 2)
    checkpoint = torch.load(path, weights_only=True)
    state = checkpoint["callbacks"][monitor.state_key]
    assert state["indices"] == list(monitor.state.indices)
    assert state["fingerprint"] == monitor.state.fingerprint
    assert state["n_observations"] == 3
    # Ranks are whole and half numbers.
    assert torch.equal(state["histories"]["gradient"]["previous"] / 2, monitor.state.histories["gradient"].previous)


def test_changed_data_warns_and_the_run_goes_on(tmp_path: Path) -> None:
    path, _ = _fit(tmp_path, _monitor(MemorySink()), 1)
    sink = MemorySink()
    run = trainer(tmp_path, _monitor(sink), max_epochs=2)
    with pytest.warns(SaliencyWarning, match="the probe differs from that of the checkpoint"):
        run.fit(Classifier(), train_loader(), DataLoader(digits(500, 540), 20), ckpt_path=path)
    assert stages(sink) == [("fit", 1)]


@pytest.mark.parametrize("target", ["label", "initial_prediction"])
def test_another_probe_size_starts_the_drift_anew(tmp_path: Path, target: str) -> None:
    path, _ = _fit(tmp_path, _monitor(MemorySink(), target=target), 1)
    sink = MemorySink()
    run = trainer(tmp_path, _monitor(sink, probe=9, target=target), max_epochs=3)
    with pytest.warns(SaliencyWarning, match="the probe differs from that of the checkpoint"):
        run.fit(Classifier(), train_loader(), val_loader(), ckpt_path=path)
    assert stages(sink) == [("fit", 1), ("fit", 2)]
    assert "saliency/gradient/drift_initial" not in sink.snapshots[0].scores
    assert sink.latest.scores["saliency/gradient/drift_initial"] > 0


def test_another_target_layer_starts_its_drift_anew(tmp_path: Path) -> None:
    path, _ = _fit(tmp_path, _monitor(MemorySink(), target_layers="net.2"), 1)
    sink = MemorySink()
    run = trainer(tmp_path, _monitor(sink, target_layers="net.4"), max_epochs=3)
    with pytest.warns(SaliencyWarning, match=r"\['grad_cam'\] differ in number or size"):
        run.fit(Classifier(), train_loader(), val_loader(), ckpt_path=path)
    assert sink.latest.attributions["grad_cam"].layer == "net.4"
    assert "saliency/grad_cam/drift_initial" not in sink.snapshots[0].scores
    assert "saliency/gradient/drift_initial" in sink.snapshots[0].scores
    assert "saliency/grad_cam/drift_initial" in sink.latest.scores


def test_the_layer_that_was_found_stays(tmp_path: Path) -> None:
    monitor = _monitor(MemorySink())
    path, _ = _fit(tmp_path, monitor, 1)
    state = torch.load(path, weights_only=True)
    state["callbacks"][monitor.state_key]["target_layers"] = ["net.1"]
    torch.save(state, path)
    sink = MemorySink()
    _fit(tmp_path, _monitor(sink), 2, path)
    assert sink.latest.attributions["grad_cam"].layer == "net.1"


def test_a_monitor_that_joins_later_does_not_call_the_model_untrained(tmp_path: Path) -> None:
    run = trainer(tmp_path, max_epochs=1)
    run.fit(Classifier(), train_loader(), val_loader())
    run.save_checkpoint(tmp_path / "plain.ckpt")
    sink = MemorySink()
    _fit(tmp_path, _monitor(sink), 2, tmp_path / "plain.ckpt")
    assert stages(sink) == [("fit", 1), ("fit", 1)]
    assert sink.latest.scores["saliency/gradient/drift_initial"] > 0


def test_an_iterable_dataset_gives_the_same_probe_again(tmp_path: Path) -> None:
    found = []
    path = None
    for epochs in (1, 2):
        monitor = _monitor(MemorySink(), probe=Probe(6, stratify=False))
        run = trainer(tmp_path, monitor, max_epochs=epochs)
        run.fit(Classifier(), train_loader(), DataLoader(Stream(digits(100, 140)), 10), ckpt_path=path)
        path = tmp_path / "stream.ckpt"
        run.save_checkpoint(path)
        found.append((monitor.state.indices, monitor.state.fingerprint))
    assert found[0] == found[1]


def test_raw_maps_go_on_in_the_same_directory(tmp_path: Path) -> None:
    path, _ = _fit(tmp_path, _monitor(MemorySink()), 1)
    _fit(tmp_path, _monitor(MemorySink()), 2, path)
    observations = read_index(tmp_path / "saliency")["observations"]
    assert [(entry["stage"], entry["epoch"]) for entry in observations] == [("initial", 0), ("fit", 0), ("fit", 1)]
    assert not (tmp_path / "saliency-1").exists()


def test_raw_maps_of_a_new_run_get_a_new_directory(tmp_path: Path) -> None:
    for _ in range(2):
        _fit(tmp_path, _monitor(MemorySink()), 1)
    for name in ("saliency", "saliency-1"):
        observations = read_index(tmp_path / name)["observations"]
        assert [(entry["stage"], entry["epoch"]) for entry in observations] == [("initial", 0), ("fit", 0)]
