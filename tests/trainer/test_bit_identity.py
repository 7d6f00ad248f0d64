"""The training is not changed by a bit, whatever the callback does."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from saliency_callbacks import CueAlarm, Probe, RandomizationTest, SaliencyMonitor
from saliency_callbacks.errors import SaliencyWarning
from saliency_callbacks.methods import IntegratedGradients, SmoothGrad
from saliency_callbacks.probe import PatchCue
from saliency_callbacks.sinks import MemorySink
from tests.trainer.runs import Augmented, Classifier, RecordingLogger, digits, small_net, trainer

_METHODS = [
    "gradient",
    "input_x_gradient",
    "guided_backprop",
    "deconvnet",
    "guided_grad_cam",
    "grad_cam",
    "grad_cam_plus_plus",
    "hires_cam",
    "layer_cam",
    "xgrad_cam",
    SmoothGrad(nt_samples=2),
    IntegratedGradients(n_steps=2),
]


class ManualClassifier(Classifier):
    """Steps its optimizer by hand, on every second batch."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        optimizer = self.optimizers()
        loss = self.loss(batch)
        self.manual_backward(loss)
        if batch_idx % 2:
            optimizer.step()
            optimizer.zero_grad()
        self.log("train_loss", loss)
        return loss


class RaisesWhenExplained(Classifier):
    """Draws random numbers, then fails, when run with gradients but not in training mode."""

    def forward(self, images: Tensor) -> Tensor:
        logits = super().forward(images)
        if torch.is_grad_enabled() and not self.training:
            torch.randn(3)
            raise RuntimeError("cannot be explained")
        return logits


def _final_state(root: Path, build: Callable[[], Classifier], callbacks: list[L.Callback], **changes: Any) -> Any:
    torch.manual_seed(1)
    np.random.seed(2)  # noqa: NPY002
    random.seed(3)
    logger = RecordingLogger(root)
    run = trainer(root, *callbacks, logger=logger, **{"max_epochs": 2, **changes})
    module = build()
    train, val = Augmented(digits(0, 40)), Augmented(digits(100, 120))
    run.fit(module, DataLoader(train, 8, shuffle=True), DataLoader(val, 8))
    return {
        "weights": {name: value.clone() for name, value in module.state_dict().items()},
        "optimizer": run.optimizers[0].state_dict(),
        "gradients": [parameter.grad for parameter in module.parameters()],
        "torch": torch.get_rng_state(),
        "numpy": np.random.get_state()[1].tolist(),  # noqa: NPY002
        "python": random.getstate(),
        "losses": {tag: logger.of(tag) for tag in ("train_loss", "val_loss")},
    }


def _assert_equal(first: Any, second: Any) -> None:
    if isinstance(first, Tensor):
        assert torch.equal(first, second)
    elif isinstance(first, dict):
        assert first.keys() == second.keys()
        for key in first:
            _assert_equal(first[key], second[key])
    elif isinstance(first, (list, tuple)):
        assert len(first) == len(second)
        for one, other in zip(first, second, strict=True):
            _assert_equal(one, other)
    else:
        assert first == second


def _monitor(sink: MemorySink) -> SaliencyMonitor:
    return SaliencyMonitor(_METHODS, probe=6, sinks=[sink], save_maps=False)


def _randomization(sink: MemorySink) -> RandomizationTest:
    return RandomizationTest(_METHODS, probe=6, n_draws=2, cascade_draws=2, sinks=[sink], save_maps=False)


def _cue_alarm(sink: MemorySink, **changes: Any) -> CueAlarm:
    settings = {"probe": 12, "groups_every_n_epochs": 1, "on_alarm": "log", "sinks": [sink], "save_maps": False}
    return CueAlarm(PatchCue((0, 0, 2, 2)), 0, **{**settings, **changes})


def _cue_alarm_alone(sink: MemorySink) -> CueAlarm:
    """Without the groups, which take no explanation."""
    return _cue_alarm(sink, groups_at_fit_end=False)


@pytest.mark.parametrize(("callback", "observations"), [(_monitor, 3), (_randomization, 4), (_cue_alarm, 4)])
@pytest.mark.parametrize(
    ("module", "changes"),
    [
        pytest.param(lambda: Classifier(small_net(noisy=True)), {}, id="sgd with momentum"),
        pytest.param(lambda: Classifier(small_net(noisy=True), optimizer="adam"), {}, id="adam"),
        pytest.param(
            lambda: Classifier(small_net(noisy=True)),
            # Validated after the third of five batches: in the middle of a window of accumulated gradients.
            {"accumulate_grad_batches": 2, "val_check_interval": 3},
            id="validation in the middle of accumulation",
        ),
        pytest.param(
            lambda: ManualClassifier(small_net(noisy=True)), {"val_check_interval": 3}, id="manual optimization"
        ),
    ],
)
def test_training_is_bit_identical(
    tmp_path: Path,
    module: Callable[[], Classifier],
    changes: dict[str, Any],
    callback: Callable[[MemorySink], L.Callback],
    observations: int,
) -> None:
    sink = MemorySink()
    plain = _final_state(tmp_path, module, [], **changes)
    observed = _final_state(tmp_path, module, [callback(sink)], **changes)
    assert len(sink.snapshots) == observations
    _assert_equal(plain, observed)


def test_training_is_bit_identical_with_the_training_data_as_probe(tmp_path: Path) -> None:
    sink = MemorySink()
    monitor = SaliencyMonitor(probe=Probe(6, source="train"), sinks=[sink], save_maps=False)
    plain = _final_state(tmp_path, lambda: Classifier(small_net(noisy=True)), [])
    observed = _final_state(tmp_path, lambda: Classifier(small_net(noisy=True)), [monitor])
    assert len(sink.snapshots) == 3
    _assert_equal(plain, observed)


@pytest.mark.parametrize("callback", [_monitor, _randomization, _cue_alarm_alone])
def test_training_is_bit_identical_when_every_explanation_raises(
    tmp_path: Path, callback: Callable[[MemorySink], L.Callback]
) -> None:
    sink = MemorySink()
    plain = _final_state(tmp_path, lambda: RaisesWhenExplained(small_net(noisy=True)), [])
    with pytest.warns(SaliencyWarning, match="is skipped .*cannot be explained"):
        observed = _final_state(tmp_path, lambda: RaisesWhenExplained(small_net(noisy=True)), [callback(sink)])
    assert sink.snapshots == []
    _assert_equal(plain, observed)


def test_the_comparison_notices_a_single_random_number(tmp_path: Path) -> None:
    class Draws(L.Callback):
        def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            torch.rand(1)

    plain = _final_state(tmp_path, lambda: Classifier(small_net(noisy=True)), [])
    disturbed = _final_state(tmp_path, lambda: Classifier(small_net(noisy=True)), [Draws()])
    with pytest.raises(AssertionError):
        _assert_equal(plain, disturbed)
