"""What early stopping, checkpoints and schedulers see of scores that have no value, in real Trainers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from saliency_callbacks import CueAlarm, RandomizationTest, SaliencyMonitor, Storage
from saliency_callbacks.probe import PatchCue, Probe
from saliency_callbacks.sinks import MemorySink
from tests.trainer.runs import WEIGHTS_ONLY, Classifier, RecordingLogger, small_net, train_loader, trainer, val_loader

_DRIFT = "saliency/grad_cam/drift_previous"


def _zero_head(*, forever: bool = False) -> Classifier:
    """A classifier whose head starts at zero, or stays there."""
    module = Classifier(small_net())
    nn.init.zeros_(module.net[-1].weight)
    nn.init.zeros_(module.net[-1].bias)
    if forever:
        module.net[-1].requires_grad_(False)
    return module


class Seen(L.Callback):
    """Notes what can be monitored after each validation."""

    def __init__(self) -> None:
        self.values: list[dict[str, float]] = []

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not trainer.sanity_checking:
            self.values.append({tag: float(value) for tag, value in trainer.callback_metrics.items()})


def _fit(tmp_path: Path, module: L.LightningModule, *callbacks: L.Callback, **changes: Any) -> L.Trainer:
    resumed = changes.pop("ckpt_path", None)
    run = trainer(tmp_path, *callbacks, **{"max_epochs": 4, **changes})
    extra = {} if resumed is None else {"ckpt_path": resumed, **WEIGHTS_ONLY}
    run.fit(module, train_loader(), val_loader(), **extra)
    return run


def test_early_stopping_waits_for_a_head_that_starts_at_zero(tmp_path: Path) -> None:
    stopping, seen, sink = EarlyStopping(_DRIFT, patience=3), Seen(), MemorySink()
    run = _fit(tmp_path, _zero_head(), SaliencyMonitor(probe=8, sinks=[sink]), stopping, seen)
    assert run.current_epoch == 4, stopping.stopping_reason_message
    found = [snapshot.scores[_DRIFT] for snapshot in sink.snapshots if snapshot.stage == "fit"]
    assert math.isnan(found[0]), "compares with maps of zeros"
    assert [one[_DRIFT] for one in seen.values] == [1.0, *(pytest.approx(one) for one in found[1:])]


@pytest.mark.filterwarnings("ignore::saliency_callbacks.errors.SaliencyWarning")
def test_no_callback_lets_others_monitor_what_is_no_number(tmp_path: Path) -> None:
    logger, seen, stopping = RecordingLogger(tmp_path), Seen(), EarlyStopping(_DRIFT, patience=9)
    callbacks = [
        SaliencyMonitor(probe=8, storage=Storage(scalars="all")),
        RandomizationTest(probe=8, storage=Storage(scalars="all")),
        CueAlarm(PatchCue((2, 2, 3, 3)), 0, probe=12, on_alarm="log", storage=Storage(scalars="all")),
    ]
    run = _fit(tmp_path, _zero_head(forever=True), *callbacks, stopping, seen, logger=logger, max_epochs=2)
    assert run.current_epoch == 2, stopping.stopping_reason_message
    expected = {_DRIFT: 1, "saliency/gradient/entropy": 1, "randomization/gradient/similarity": 1}
    expected |= {"cue/patch/effect": 1, "cue/patch/lower_bound": 1, "randomization/gradient/drift": 0}
    for values in seen.values:
        assert [tag for tag, value in values.items() if not math.isfinite(value)] == []
        assert {tag: values[tag] for tag in expected} == expected
    for tag in expected:
        assert all(math.isnan(value) for _, value in logger.of(tag)), "the gap is seen in the dashboards"
        steps = [step for step, _ in logger.of(tag)]
        assert steps[-2:] == [step for step, _ in logger.of("saliency/probe_accuracy")][-2:]


def test_the_last_finite_value_is_kept_also_by_a_run_that_goes_on(tmp_path: Path, capsys: Any) -> None:
    class Dying(Classifier):
        def on_train_epoch_start(self) -> None:
            if self.current_epoch >= 2:
                nn.init.zeros_(self.net[-1].weight)
                self.net[-1].weight.requires_grad_(False)

    tag, seen, sink = "saliency/gradient/entropy", Seen(), MemorySink()
    monitor = SaliencyMonitor("gradient", probe=8, sinks=[sink])
    run = _fit(tmp_path, Dying(small_net()), monitor, seen, max_epochs=3)
    second, third = (values[tag] for values in seen.values[1:])
    assert third == second
    assert math.isnan(sink.snapshots[-1].scores[tag])
    run.save_checkpoint(tmp_path / "last.ckpt")
    again, module = Seen(), Dying(small_net())
    module.net[-1].weight.requires_grad_(False)
    _fit(tmp_path, module, SaliencyMonitor("gradient", probe=8), again, ckpt_path=tmp_path / "last.ckpt")
    assert again.values[-1][tag] == pytest.approx(second)


def test_a_checkpoint_of_the_best_and_a_scheduler(tmp_path: Path) -> None:
    class Scheduled(Classifier):
        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
            plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=5)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": plateau, "monitor": _DRIFT}}

    module = Scheduled(small_net())
    nn.init.zeros_(module.net[-1].weight)
    best = ModelCheckpoint(tmp_path, monitor=_DRIFT, mode="min")
    run = _fit(tmp_path, module, SaliencyMonitor(probe=8), best, enable_checkpointing=True)
    assert run.current_epoch == 4
    assert best.best_model_score < 1, "what is monitored before there is a value is not the best"
    assert module.lr_schedulers().best < 1


def test_the_first_observation_may_come_late(tmp_path: Path) -> None:
    """Without a sanity check there is no validation dataloader before the training."""
    stopping, seen = EarlyStopping(_DRIFT, patience=3), Seen()
    with pytest.warns(match="the untrained model is not observed"):
        run = _fit(
            tmp_path,
            Classifier(small_net()),
            SaliencyMonitor(probe=8),
            stopping,
            seen,
            num_sanity_val_steps=0,
            check_val_every_n_epoch=2,
        )
    assert run.current_epoch == 4, stopping.stopping_reason_message
    assert seen.values[0][_DRIFT] == 1
    assert seen.values[1][_DRIFT] < 1


def test_a_validation_on_its_own(tmp_path: Path) -> None:
    run = trainer(tmp_path, SaliencyMonitor("gradient", probe=8))
    run.validate(_zero_head(), val_loader(), verbose=False)
    assert all(math.isfinite(float(value)) for value in run.callback_metrics.values())


def test_it_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    images = torch.rand(16, 1, 8, 8)
    data = DataLoader(TensorDataset(images, torch.arange(16) % 10), 8)
    monitor = SaliencyMonitor("gradient", probe=Probe(8))
    with caplog.at_level("INFO"):
        trainer(tmp_path, monitor, max_epochs=3).fit(_zero_head(forever=True), data, data)
    said = [record.getMessage() for record in caplog.records if "are undefined now" in record.getMessage()]
    assert len(said) == 1
    assert "saliency/gradient/entropy (1)" in said[0]
    assert "Loggers receive NaN" in said[0]
