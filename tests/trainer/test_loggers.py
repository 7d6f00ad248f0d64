"""Pictures and scores reach whatever loggers the Trainer has."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from saliency_callbacks import SaliencyMonitor
from saliency_callbacks.errors import SaliencyWarning
from saliency_callbacks.sinks import MemorySink, read_index, read_maps
from tests.trainer.runs import Classifier, RecordingLogger, train_loader, trainer, val_loader


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
        rows = [row for row in csv.DictReader(file) if row["saliency/gradient/gini"]]
    assert [int(row["step"]) for row in rows] == [snapshot.step for snapshot in sink.snapshots]
    for row, snapshot in zip(rows, sink.snapshots, strict=True):
        gini = snapshot.scores["saliency/gradient/gini"]
        assert math.isclose(float(row["saliency/gradient/gini"]), gini, rel_tol=1e-5)
    assert rows[0]["saliency/gradient/drift_initial"] == ""


def test_two_loggers(tmp_path: Path) -> None:
    tensorboard, recording = TensorBoardLogger(tmp_path), RecordingLogger(tmp_path)
    run = trainer(tmp_path, SaliencyMonitor("gradient", probe=4), logger=[tensorboard, recording])
    run.fit(Classifier(), train_loader(), val_loader())
    tensorboard.experiment.flush()
    events = EventAccumulator(tensorboard.log_dir)
    events.Reload()
    assert len(events.Images("saliency/gradient")) == 3
    assert len(recording.of("saliency/gradient/gini")) == 3
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
    trainer(tmp_path, SaliencyMonitor("gradient", probe=4, save_maps=False)).fit(
        Classifier(), train_loader(), val_loader()
    )
    assert list(tmp_path.rglob("*")) == []


def test_a_remote_directory_is_reported_once(tmp_path: Path) -> None:
    class Remote(RecordingLogger):
        @property
        def save_dir(self) -> str:
            return "s3://bucket/runs"

    sink = MemorySink()
    run = trainer(tmp_path, SaliencyMonitor("gradient", probe=4, sinks=[sink]), logger=Remote(tmp_path))
    with pytest.warns(SaliencyWarning, match=r"raw maps are not kept.*remote.*save_maps=False") as seen:
        run.fit(Classifier(), train_loader(), val_loader())
    assert len([one for one in seen if "not kept" in str(one.message)]) == 1
    assert len(sink.snapshots) == 3
    assert not list(tmp_path.rglob("*.safetensors"))
