"""Pictures and scores reach whatever loggers the Trainer has."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning import Trainer
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from saliency_callbacks import SaliencyMonitor, Storage
from saliency_callbacks.errors import SaliencyWarning
from saliency_callbacks.sinks import MemorySink, read_index, read_maps
from saliency_callbacks.sinks.disk import sink as disk_sink
from saliency_callbacks.types import Snapshot
from tests.trainer.runs import WEIGHTS_ONLY, Classifier, RecordingLogger, train_loader, trainer, val_loader


def _pictures_on_disk(directory: Path, sink: MemorySink) -> None:
    observations = read_index(directory)["observations"]
    assert len(observations) == len(sink.snapshots)
    for entry, pictures in zip(observations, sink.pictures, strict=True):
        assert entry["pictures"].keys() == pictures.keys()
        for tag, file in entry["pictures"].items():
            np.testing.assert_array_equal(np.asarray(Image.open(directory / file)), pictures[tag])


def test_without_a_logger_pictures_are_files_beside_the_maps(tmp_path: Path) -> None:
    sink = MemorySink()
    run = trainer(tmp_path, SaliencyMonitor(probe=4, sinks=[sink]), logger=False)
    run.fit(Classifier(), train_loader(), val_loader())
    _pictures_on_disk(tmp_path / "saliency", sink)
    assert "saliency/gradient/drift_initial" in run.callback_metrics


def test_a_csv_logger_gets_the_scores_and_its_directory_the_pictures(tmp_path: Path) -> None:
    logger, sink = CSVLogger(tmp_path), MemorySink()
    trainer(tmp_path, SaliencyMonitor("gradient", probe=4, sinks=[sink]), logger=logger).fit(
        Classifier(), train_loader(), val_loader()
    )
    _pictures_on_disk(Path(logger.log_dir, "saliency"), sink)
    with Path(logger.log_dir, "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["saliency/probe_accuracy"]]
    assert [int(row["step"]) for row in rows] == [snapshot.step for snapshot in sink.snapshots]
    for row, snapshot in zip(rows, sink.snapshots, strict=True):
        gini = snapshot.scores["saliency/probe_accuracy"]
        assert math.isclose(float(row["saliency/probe_accuracy"]), gini, rel_tol=1e-5)
    assert rows[0]["saliency/gradient/drift_initial"] == ""


def test_a_logger_of_ones_own_gets_the_scores_and_its_directory_the_pictures(tmp_path: Path) -> None:
    logger, sink = RecordingLogger(tmp_path), MemorySink()
    trainer(tmp_path, SaliencyMonitor("gradient", probe=4, sinks=[sink]), logger=logger).fit(
        Classifier(), train_loader(), val_loader()
    )
    _pictures_on_disk(tmp_path / "recording" / "0" / "saliency", sink)
    assert len(logger.of("saliency/probe_accuracy")) == 3


@pytest.mark.parametrize("logger", [True, False])
def test_a_dry_run_leaves_no_file(tmp_path: Path, logger: bool) -> None:
    sink = MemorySink()
    monitor = SaliencyMonitor("gradient", probe=4, sinks=[sink])
    trainer(tmp_path, monitor, logger=logger, fast_dev_run=True).fit(Classifier(), train_loader(), val_loader())
    assert sink.snapshots
    assert list(tmp_path.rglob("*")) == []


def test_a_sink_that_fails_is_left_out_and_the_training_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(*_: object) -> None:
        raise OSError(28, "No space left on device")

    class Unreachable:
        calls = 0

        def write(self, snapshot: Snapshot, pictures: object) -> None:
            self.calls += 1
            raise ConnectionError("no route to host")

    plain = Classifier()
    trainer(tmp_path, max_epochs=4).fit(plain, train_loader(), val_loader())
    monkeypatch.setattr(disk_sink, "replace_file", fill)
    watched, unreachable, memory = Classifier(), Unreachable(), MemorySink()
    monitor = SaliencyMonitor("gradient", probe=4, sinks=[unreachable, memory])
    with pytest.warns(SaliencyWarning) as seen:
        trainer(tmp_path, monitor, max_epochs=4).fit(watched, train_loader(), val_loader())
    messages = [str(warning.message) for warning in seen if issubclass(warning.category, SaliencyWarning)]
    for sink, reason in [
        ("Unreachable", "ConnectionError: no route to host"),
        ("DiskSink", "OSError: [Errno 28] No space left on device"),
    ]:
        about = [message for message in messages if message.startswith(sink)]
        assert about[0] == f"{sink} failed: {reason}; training continues"
        assert about[-1] == f"{sink} failed 3 times in a row and is not used for the rest of the run"
    assert unreachable.calls == 3
    assert len(memory.snapshots) == 5
    for name, weights in plain.state_dict().items():
        assert torch.equal(weights, watched.state_dict()[name])


def test_two_loggers(tmp_path: Path) -> None:
    tensorboard, recording = TensorBoardLogger(tmp_path), RecordingLogger(tmp_path)
    run = trainer(tmp_path, SaliencyMonitor("gradient", probe=4), logger=[tensorboard, recording])
    run.fit(Classifier(), train_loader(), val_loader())
    tensorboard.experiment.flush()
    events = EventAccumulator(tensorboard.log_dir)
    events.Reload()
    assert len(events.Images("saliency/gradient")) == 3
    assert len(recording.of("saliency/probe_accuracy")) == 3
    directory = Path(tensorboard.log_dir, "saliency")
    entries = read_index(directory)["observations"]
    assert [entry["pictures"] for entry in entries] == [{}, {}, {}], "TensorBoard has them"


def test_raw_maps_are_read_back(tmp_path: Path) -> None:
    sink = MemorySink()
    trainer(tmp_path, SaliencyMonitor(probe=4, sinks=[sink])).fit(Classifier(), train_loader(), val_loader())
    observations = read_index(tmp_path / "saliency")["observations"]
    for entry, snapshot in zip(observations, sink.snapshots, strict=True):
        maps = read_maps(tmp_path / "saliency", entry)
        for name, attribution in snapshot.attributions.items():
            np.testing.assert_array_equal(maps[f"{name}/values"], attribution.values)
            np.testing.assert_allclose(maps[f"{name}/magnitude"], attribution.magnitude, rtol=1e-5)
        finite = {tag: score for tag, score in snapshot.scores.items() if math.isfinite(score)}
        assert {tag: score for tag, score in entry["scores"].items() if score is not None} == finite


def test_maps_are_not_kept_where_that_is_asked_for(tmp_path: Path) -> None:
    trainer(tmp_path, SaliencyMonitor("gradient", probe=4, storage=Storage(save_maps=False))).fit(
        Classifier(), train_loader(), val_loader()
    )
    assert list(tmp_path.rglob("*")) == []


def test_maps_of_a_remote_logger_are_below_the_root(tmp_path: Path) -> None:
    class Remote(RecordingLogger):
        @property
        def save_dir(self) -> str:
            return "s3://bucket/runs"

    sink = MemorySink()
    run = trainer(tmp_path, SaliencyMonitor("gradient", probe=4, sinks=[sink]), logger=Remote(tmp_path))
    run.fit(Classifier(), train_loader(), val_loader())
    assert len(sink.snapshots) == 3
    (index,) = tmp_path.rglob("index.json")
    assert index.relative_to(tmp_path).parts[0] == "remote"
    assert len(list(index.parent.glob("maps/*.safetensors"))) == 3


def test_runs_of_a_logger_that_gives_them_one_name_go_on_where_they_were(tmp_path: Path) -> None:
    def fit(**changes: Any) -> Trainer:
        run = trainer(tmp_path, SaliencyMonitor("gradient", probe=4), logger=RecordingLogger(tmp_path), **changes)
        ckpt_path = tmp_path / "second.ckpt" if changes else None
        run.fit(Classifier(), train_loader(), val_loader(), ckpt_path=ckpt_path, **(WEIGHTS_ONLY if changes else {}))
        return run

    fit()
    (first,) = {index.parent for index in tmp_path.rglob("index.json")}
    former = read_index(first)
    fit().save_checkpoint(tmp_path / "second.ckpt")
    fit(max_epochs=3)
    (second,) = {index.parent for index in tmp_path.rglob("index.json")} - {first}
    assert read_index(first) == former
    assert [one["epoch"] for one in read_index(second)["observations"] if one["stage"] == "fit"] == [0, 1, 2]
