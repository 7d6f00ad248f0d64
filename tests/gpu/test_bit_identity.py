"""The training is not changed by a bit on a GPU either, in any precision."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from saliency_callbacks import Compute, CueAlarm, RandomizationTest, SaliencyMonitor, Storage
from saliency_callbacks.methods import IntegratedGradients, SmoothGrad
from saliency_callbacks.probe import PatchCue
from saliency_callbacks.sinks import MemorySink
from tests.grouping import grouped
from tests.trainer.runs import Classifier, digits, trainer

_METHODS = ["gradient", "grad_cam", "guided_backprop", SmoothGrad(nt_samples=2), IntegratedGradients(n_steps=2)]


def _net() -> nn.Module:
    # No adaptive pooling: its backward does not repeat to the bit on CUDA.
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Conv2d(4, 6, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(384, 10),
    )


def _monitor(sink: MemorySink, precision: Any) -> L.Callback:
    return SaliencyMonitor(
        _METHODS,
        probe=6,
        compute=Compute(precision=precision),
        sinks=[sink],
        storage=Storage(save_maps=False),
        on_error="raise",
    )


def _randomization(sink: MemorySink, precision: Any) -> L.Callback:
    settings = {"probe": 6, "n_draws": 2, "cascade_draws": 2, "sinks": [sink], "save_maps": False, "on_error": "raise"}
    return RandomizationTest(["gradient", "grad_cam"], **grouped(RandomizationTest, precision=precision, **settings))


def _alarm(sink: MemorySink, precision: Any) -> L.Callback:
    settings = {"probe": 12, "on_alarm": "log", "sinks": [sink], "save_maps": False, "on_error": "raise"}
    return CueAlarm(PatchCue((0, 0, 2, 2)), 0, **grouped(CueAlarm, precision=precision, **settings))


def _final_state(root: Path, optimizer: str, precision: str, *callbacks: L.Callback) -> dict[str, Any]:
    torch.manual_seed(1)
    torch.cuda.manual_seed_all(1)
    module = Classifier(_net(), optimizer=optimizer)
    run = trainer(root, *callbacks, accelerator="gpu", precision=precision, max_epochs=2)
    run.fit(module, DataLoader(digits(0, 40), 8, shuffle=True), DataLoader(digits(100, 120), 8))
    scaler = getattr(run.precision_plugin, "scaler", None)
    return {
        "weights": list(module.state_dict().values()),
        "optimizer": [value for state in run.optimizers[0].state.values() for value in state.values()],
        "random": [torch.get_rng_state(), torch.cuda.get_rng_state()],
        "scaler": [] if scaler is None else [torch.tensor(scaler.get_scale())],
    }


def _assert_equal(first: dict[str, list[Any]], second: dict[str, list[Any]]) -> None:
    for name, values in first.items():
        assert len(values) == len(second[name])
        for one, other in zip(values, second[name], strict=True):
            assert torch.equal(one, other) if isinstance(one, Tensor) else one == other, name


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("build", [_monitor, _randomization, _alarm])
@pytest.mark.parametrize("asked", ["trainer", "32"])
def test_training_is_bit_identical(
    tmp_path: Path, precision: str, optimizer: str, build: Callable[..., L.Callback], asked: str
) -> None:
    plain = _final_state(tmp_path, optimizer, precision)
    _assert_equal(plain, _final_state(tmp_path, optimizer, precision))
    sink = MemorySink()
    observed = _final_state(tmp_path, optimizer, precision, build(sink, asked))
    assert len(sink.snapshots) >= 3
    _assert_equal(plain, observed)
