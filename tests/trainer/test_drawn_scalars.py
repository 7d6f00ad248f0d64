"""Loggers draw few scores; all of them are on disk, and can be monitored."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.custom_scalar.metadata import CONFIG_SUMMARY_TAG

from saliency_callbacks import CueAlarm, Draws, RandomizationTest, SaliencyMonitor, Storage
from saliency_callbacks.probe import PatchCue
from saliency_callbacks.sinks import read_index
from tests.trainer.runs import Classifier, train_loader, trainer, val_loader

_METHODS = ("gradient", "grad_cam")
_CUE = PatchCue(box=(0, 0, 2, 2), value=1.0)
_FEW = {
    "saliency/probe_accuracy",
    *(f"saliency/{method}/{score}" for method in _METHODS for score in ("drift_previous", "drift_initial")),
    *(f"randomization/{method}/{score}" for method in _METHODS for score in ("similarity", "floor")),
    *(f"cue/{_CUE.name}/{score}" for score in ("effect", "contrast", "lower_bound", "threshold", "alarm")),
}


def _fit(directory: Path, storage: Storage, *further: Any) -> tuple[TensorBoardLogger, Any]:
    logger = TensorBoardLogger(directory)
    callbacks = [
        SaliencyMonitor(_METHODS, probe=8, storage=storage),
        RandomizationTest(_METHODS, probe=8, draws=Draws(n_draws=2), storage=storage),
        CueAlarm(_CUE, 3, probe=16, on_alarm="log", storage=storage),
    ]
    run = trainer(directory, *callbacks, *further, logger=logger)
    run.fit(Classifier(), train_loader(), val_loader())
    logger.experiment.flush()
    return logger, run


def _read(logger: TensorBoardLogger) -> tuple[EventAccumulator, set[str]]:
    events = EventAccumulator(logger.log_dir, size_guidance={"scalars": 0}).Reload()
    return events, {tag for tag in events.Tags()["scalars"] if "/" in tag}


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> tuple[TensorBoardLogger, Any]:
    hidden = EarlyStopping("saliency/grad_cam/entropy", patience=1, min_delta=5)
    return _fit(tmp_path_factory.mktemp("few"), Storage(), hidden)


def test_loggers_draw_what_a_person_acts_on(few: tuple[TensorBoardLogger, Any]) -> None:
    logger, run = few
    assert _read(logger)[1] == _FEW
    assert {tag for tag in run.logged_metrics if "/" in tag} <= _FEW


def test_everything_is_monitored_and_on_disk(few: tuple[TensorBoardLogger, Any]) -> None:
    logger, run = few
    kept = set[str]()
    for directory in Path(logger.log_dir).rglob("index.json"):
        for entry in read_index(directory.parent)["observations"]:
            kept |= set(entry["scores"]) if entry["stage"] == "fit" else set()
    assert kept > _FEW - {f"cue/{_CUE.name}/threshold"}, "which is no score"
    assert "saliency/grad_cam/entropy" in kept
    assert "randomization/grad_cam/similarity_std" in kept
    assert run.callback_metrics.keys() >= {tag for tag in kept if tag.startswith(("saliency/", "cue/"))}


def test_early_stopping_goes_by_what_is_not_drawn(few: tuple[TensorBoardLogger, Any]) -> None:
    _, run = few
    # An entropy does not fall by 5.
    assert run.early_stopping_callback.stopped_epoch == 1
    assert run.early_stopping_callback.monitor == "saliency/grad_cam/entropy"


def test_custom_scalars_draw_together_what_is_read_together(few: tuple[TensorBoardLogger, Any]) -> None:
    events, tags = _read(few[0])
    (summary, *_) = events.Tensors(CONFIG_SUMMARY_TAG)
    layout = layout_pb2.Layout.FromString(summary.tensor_proto.string_val[0])
    (category,) = layout.category
    charts = {
        chart.title: {tag for tag in tags if any(re.match(pattern, tag) for pattern in chart.multiline.tag)}
        for chart in category.chart
    }
    assert charts == {
        "Drift since the last observation": {f"saliency/{method}/drift_previous" for method in _METHODS},
        "Drift since the first observation": {f"saliency/{method}/drift_initial" for method in _METHODS},
        "Similarity with random networks, and its floor": {tag for tag in _FEW if tag.startswith("randomization/")},
        "Gain over the same map elsewhere: what the map shows is removed, or shown alone": set(),
        "Stability of the maps under a little noise": set(),
        "What the cue does, the lower bound of what is watched, and the threshold": {
            f"cue/{_CUE.name}/{score}" for score in ("effect", "contrast", "lower_bound", "threshold")
        },
        "Lift inside the masks": set(),
    }


def test_a_person_chooses_what_is_drawn(tmp_path: Path) -> None:
    logger, _ = _fit(tmp_path, Storage(scalars=["*/gini", "cue/*"]))
    _, tags = _read(logger)
    assert {tag for tag in tags if not tag.startswith("cue/")} == {f"saliency/{method}/gini" for method in _METHODS}
    assert tags >= {f"cue/{_CUE.name}/{score}" for score in ("contrast", "flip_rate", "mass", "alarm")}


def test_all_is_all(tmp_path: Path) -> None:
    logger, run = _fit(tmp_path, Storage(scalars="all"))
    _, tags = _read(logger)
    assert tags >= {tag for tag in run.callback_metrics if "/" in tag}
