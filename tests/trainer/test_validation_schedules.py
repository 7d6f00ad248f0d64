"""Observations follow the Trainer's validations, however it is told to validate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger

from saliency_callbacks import Probe, SaliencyMonitor
from saliency_callbacks.errors import SaliencyWarning
from saliency_callbacks.sinks import MemorySink
from tests.trainer.runs import Classifier, RecordingLogger, stages, train_loader, trainer, val_loader


def _fit(root: Path, *callbacks: Any, module: Classifier | None = None, **changes: Any) -> tuple[MemorySink, Any]:
    sink = MemorySink()
    monitor = SaliencyMonitor("gradient", probe=4, sinks=[sink])
    run = trainer(root, monitor, *callbacks, **changes)
    run.fit(module or Classifier(), train_loader(), val_loader())
    return sink, run


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"max_epochs": 2}, [0, 1]),
        ({"max_epochs": 2, "num_sanity_val_steps": 0}, [0, 1]),
        ({"max_epochs": 4, "check_val_every_n_epoch": 2}, [1, 3]),
        ({"max_epochs": 2, "val_check_interval": 0.5}, [0, 0, 1, 1]),
        ({"max_epochs": 2, "check_val_every_n_epoch": None, "val_check_interval": 3}, [0, 1]),
        ({"max_epochs": 1, "limit_val_batches": 1}, [0]),
    ],
    ids=str,
)
def test_each_validation_is_observed(tmp_path: Path, changes: dict[str, Any], expected: list[int]) -> None:
    sink, _ = _fit(tmp_path, **changes)
    assert stages(sink) == [("initial", 0), *(("fit", epoch) for epoch in expected)]


def test_without_a_loader_before_training_it_says_so_and_observes_later(tmp_path: Path) -> None:
    with pytest.warns(SaliencyWarning, match=r"untrained model is not observed.*num_sanity_val_steps=1"):
        sink, run = _fit(tmp_path, max_epochs=4, check_val_every_n_epoch=2, num_sanity_val_steps=0)
    assert stages(sink) == [("fit", 1), ("fit", 3)]
    assert run.current_epoch == 4
    assert "saliency/gradient/drift_initial" not in sink.snapshots[0].scores
    assert sink.latest.scores["saliency/gradient/drift_initial"] == pytest.approx(
        sink.latest.scores["saliency/gradient/drift_previous"]
    )


def test_the_sanity_check_logs_and_counts_nothing(tmp_path: Path) -> None:
    class LooksBack(L.Callback):
        def on_sanity_check_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            logged = [tag for tag in trainer.callback_metrics if tag.startswith("saliency")]
            seen.append((len(sink.snapshots), logged, monitor.state.n_observations))

    seen: list[Any] = []
    sink, logger = MemorySink(), RecordingLogger(tmp_path)
    monitor = SaliencyMonitor("gradient", probe=4, sinks=[sink])
    run = trainer(tmp_path, monitor, LooksBack(), logger=logger, num_sanity_val_steps=2)
    run.fit(Classifier(), train_loader(), val_loader())
    assert seen == [(0, [], 0)]
    assert monitor.state.n_observations == 3
    assert [step for step, _ in logger.of("saliency/probe_accuracy")] == [0, 3, 7]


def test_a_fast_dev_run_writes_nothing(tmp_path: Path) -> None:
    sink = MemorySink()
    run = trainer(
        tmp_path, SaliencyMonitor(probe=4, sinks=[sink]), fast_dev_run=True, logger=TensorBoardLogger(tmp_path)
    )
    run.fit(Classifier(), train_loader(), val_loader())
    assert stages(sink) == [("initial", 0), ("fit", 0)], "it still tries everything out"
    assert list(tmp_path.rglob("*")) == []


def test_validation_switched_off_warns_and_changes_nothing(tmp_path: Path) -> None:
    plain = Classifier()
    trainer(tmp_path, limit_val_batches=0).fit(plain, train_loader(), val_loader())
    observed = Classifier()
    with pytest.warns(SaliencyWarning, match=r"limit_val_batches=0.*source='train'"):
        sink, run = _fit(tmp_path, module=observed, limit_val_batches=0)
    assert sink.snapshots == []
    assert run.current_epoch == 2
    for name, value in plain.state_dict().items():
        assert torch.equal(value, observed.state_dict()[name])


def test_every_n_epochs_counts_from_the_first_validation(tmp_path: Path) -> None:
    sink = MemorySink()
    monitor = SaliencyMonitor("gradient", probe=4, every_n_epochs=3, sinks=[sink])
    trainer(tmp_path, monitor, max_epochs=7).fit(Classifier(), train_loader(), val_loader())
    assert stages(sink) == [("initial", 0), ("fit", 0), ("fit", 3), ("fit", 6)]


def test_scores_are_logged_on_skipped_epochs_too(tmp_path: Path) -> None:
    class Reads(Classifier):
        def on_validation_end(self) -> None:
            if not self.trainer.sanity_checking:
                seen.append(float(self.trainer.callback_metrics["saliency/gradient/drift_initial"]))

    seen: list[float] = []
    logger, sink = RecordingLogger(tmp_path), MemorySink()
    monitor = SaliencyMonitor("gradient", probe=4, every_n_epochs=2, sinks=[sink])
    trainer(tmp_path, monitor, logger=logger, max_epochs=5).fit(Reads(), train_loader(), val_loader())
    drifts = [snapshot.scores["saliency/gradient/drift_initial"] for snapshot in sink.snapshots[1:]]
    assert len(set(drifts)) == 3
    expected = [drifts[0], drifts[0], drifts[1], drifts[1], drifts[2]]
    assert seen == pytest.approx(expected, rel=1e-5)
    assert [value for _, value in logger.of("saliency/gradient/drift_initial")] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("inference_mode", [True, False])
def test_validate_before_and_after_fit(tmp_path: Path, inference_mode: bool) -> None:
    sink = MemorySink()
    monitor = SaliencyMonitor("gradient", probe=4, sinks=[sink])
    run = trainer(tmp_path, monitor, inference_mode=inference_mode)
    module = Classifier()
    (before,) = run.validate(module, val_loader(), verbose=False)
    run.fit(module, train_loader(), val_loader())
    (after,) = run.validate(module, val_loader(), verbose=False)
    assert stages(sink) == [("validate", 0), ("initial", 0), ("fit", 0), ("fit", 1), ("validate", 2)]
    assert "saliency/probe_accuracy" in before
    assert "saliency/gradient/drift_initial" in after
    # The same weights as at the last observation of the training.
    assert after["saliency/gradient/drift_previous"] == pytest.approx(0, abs=1e-6)
    assert after["saliency/gradient/drift_initial"] == pytest.approx(
        sink.snapshots[3].scores["saliency/gradient/drift_initial"], rel=1e-5
    )
    assert len({snapshot.metadata["probe"] for snapshot in sink.snapshots}) == 1


def _watched(root: Path, **changes: Any) -> tuple[SaliencyMonitor, MemorySink, L.Trainer]:
    sink = MemorySink()
    monitor = SaliencyMonitor("gradient", probe=4, target="initial_prediction", sinks=[sink])
    return monitor, sink, trainer(root, monitor, **changes)


def _training(sink: MemorySink) -> list[Any]:
    """What the observations of the training found, the validations on their own left out."""
    return [
        (snapshot.stage, snapshot.epoch, dict(snapshot.scores), snapshot.attributions["gradient"].target.tolist())
        for snapshot in sink.snapshots
        if snapshot.stage != "validate"
    ]


def test_a_validation_before_the_training_does_not_replace_its_initial_observation(tmp_path: Path) -> None:
    _, expected, run = _watched(tmp_path / "plain")
    run.fit(Classifier(), train_loader(), val_loader())
    monitor, sink, run = _watched(tmp_path / "validated")
    # Other weights: had they been kept, drift, pinned classes and colors would all be others.
    (metrics,) = run.validate(Classifier(seed=1), val_loader(), verbose=False)
    validated = sink.latest
    assert (validated.stage, validated.moment) == ("validate", "validation")
    assert metrics["saliency/probe_accuracy"] == pytest.approx(validated.scores["saliency/probe_accuracy"], rel=1e-6)
    state = monitor.state
    assert (state.n_observations, state.pinned, state.histories, state.scores) == (0, None, {}, {})
    run.fit(Classifier(), train_loader(), val_loader())
    assert stages(sink) == [("validate", 0), ("initial", 0), ("fit", 0), ("fit", 1)]
    assert "saliency/gradient/drift_initial" not in sink.snapshots[1].scores
    assert _training(sink) == _training(expected)
    assert validated.attributions["gradient"].target.tolist() != _training(sink)[0][3]
    for tag, picture in expected.pictures[-1].items():
        np.testing.assert_array_equal(sink.pictures[-1][tag], picture)


def test_a_validation_between_two_trainings_leaves_no_trace(tmp_path: Path) -> None:
    found = []
    for name in ("plain", "validated"):
        monitor, sink, run = _watched(tmp_path / name, max_epochs=1)
        module = Classifier()
        run.fit(module, train_loader(), val_loader())
        if name == "validated":
            before = monitor.state
            (metrics,) = run.validate(Classifier(seed=1), val_loader(), verbose=False)
            assert stages(sink)[-1] == ("validate", 1)
            assert metrics["saliency/gradient/drift_initial"] == pytest.approx(
                sink.latest.scores["saliency/gradient/drift_initial"], rel=1e-6
            )
            assert sink.latest.scores["saliency/gradient/drift_previous"] > 0.01
            after = monitor.state
            assert after.histories["gradient"] is before.histories["gradient"]
            assert after.pinned is before.pinned
            assert (after.n_observations, after.last_observed, after.scores) == (2, 0, before.scores)
        run.fit_loop.max_epochs = 3
        run.fit(module, train_loader(), val_loader())
        frames = [frame.moment for frame in monitor.state.histories["gradient"].frames.kept]
        assert frames == ["start", "epoch 0", "epoch 1", "epoch 2"]
        found.append((_training(sink), sink.pictures[-1]))
    (plain, pictures), (validated, pictures_too) = found
    assert validated == plain
    for tag, picture in pictures.items():
        np.testing.assert_array_equal(pictures_too[tag], picture)


def test_validate_without_the_training_data_of_the_probe_warns(tmp_path: Path) -> None:
    run = trainer(tmp_path, SaliencyMonitor("gradient", probe=Probe(4, source="train")))
    with pytest.warns(SaliencyWarning, match="there is no train dataloader"):
        (metrics,) = run.validate(Classifier(), val_loader(), verbose=False)
    assert set(metrics) == {"val_loss"}


def test_early_stopping_on_drift(tmp_path: Path) -> None:
    sink, run = _fit(tmp_path, max_epochs=5)
    drifts = [snapshot.scores["saliency/gradient/drift_previous"] for snapshot in sink.snapshots[1:]]
    calm = sorted(drifts)[1]
    first = next(epoch for epoch, drift in enumerate(drifts) if drift < calm)
    stopping = EarlyStopping("saliency/gradient/drift_previous", mode="min", stopping_threshold=calm, patience=9)
    _, run = _fit(tmp_path, stopping, max_epochs=5)
    assert run.current_epoch == first + 1
    assert first < 4, "it stops before the end"


def test_checkpoints_by_drift(tmp_path: Path) -> None:
    best = ModelCheckpoint(tmp_path / "best", monitor="saliency/gradient/drift_initial", mode="max", filename="{epoch}")
    sink, _ = _fit(tmp_path, best, max_epochs=4, enable_checkpointing=True)
    drifts = {snapshot.epoch: snapshot.scores["saliency/gradient/drift_initial"] for snapshot in sink.snapshots[1:]}
    assert best.best_model_path.endswith(f"epoch={max(drifts, key=drifts.__getitem__)}.ckpt")
    assert float(best.best_model_score) == pytest.approx(max(drifts.values()), rel=1e-5)
