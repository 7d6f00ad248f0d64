"""Which weights were explained, as the metadata tell, against copies that were taken of both kinds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch import callbacks as lightning_callbacks
from lightning.pytorch.callbacks import StochasticWeightAveraging
from torch import Tensor

from saliency_callbacks import Cascade, CueAlarm, Draws, RandomizationTest, SaliencyMonitor, Storage
from saliency_callbacks.probe import PatchCue
from saliency_callbacks.sinks import MemorySink, read_index
from tests.trainer.interference import noisy, without_batch_norm
from tests.trainer.runs import Classifier, train_loader, trainer, val_loader

WITH_SUMMARY = True

_NO_EMA = pytest.mark.skipif(
    not hasattr(lightning_callbacks, "EMAWeightAveraging"), reason="this release of Lightning averages no weights"
)


class _Optimized(L.Callback):
    """Keeps the weights that the optimizer left, before anybody averages them."""

    weights: Tensor

    def on_before_zero_grad(self, trainer: L.Trainer, pl_module: Any, optimizer: Any) -> None:
        # Between two steps nothing else changes them; the last step of an epoch is kept in the hook below.
        self.weights = pl_module.net[0].weight.detach().clone()

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, *args: Any) -> None:
        self.weights = pl_module.net[0].weight.detach().clone()


class _Explained(MemorySink):
    """Tells of each observation whether the weights in the module were those of the optimizer."""

    def __init__(self) -> None:
        super().__init__()
        self.module: Any = None
        self.optimized = _Optimized()
        self.seen: list[tuple[str, int, str, str]] = []

    def write(self, snapshot: Any, pictures: Any) -> None:
        super().write(snapshot, pictures)
        if snapshot.stage == "initial":
            assert snapshot.metadata["weights"] == "raw"
            return
        is_raw = torch.equal(self.module.net[0].weight, self.optimized.weights)
        self.seen.append(
            (snapshot.stage, snapshot.epoch, snapshot.metadata["weights"], "raw" if is_raw else "averaged")
        )


def _run(root: Path, module: Any, averaging: L.Callback, *, is_first: bool, max_epochs: int) -> list[tuple]:
    sink = _Explained()
    sink.module = module
    # Written by the training itself, while the weights are in place.
    monitor = SaliencyMonitor("gradient", 4, sinks=[sink], on_error="raise", storage=Storage(save_maps=False))
    both = [averaging, monitor] if is_first else [monitor, averaging]
    trainer(root, sink.optimized, *both, max_epochs=max_epochs).fit(module, train_loader(), val_loader())
    assert [told for *_, told, _ in sink.seen] == [seen for *_, seen in sink.seen]
    return [(stage, epoch, told) for stage, epoch, told, _ in sink.seen]


@_NO_EMA
@pytest.mark.parametrize("is_first", [True, False])
def test_beside_a_moving_average(tmp_path: Path, is_first: bool) -> None:
    """Lightning swaps averages in for the validation, out in ``on_validation_epoch_end``, and in when it ends."""
    averaging = lightning_callbacks.EMAWeightAveraging(decay=0.9)
    validated, at_end = ("raw", "averaged") if is_first else ("averaged", "raw")
    assert _run(tmp_path, Classifier(), averaging, is_first=is_first, max_epochs=2) == [
        ("fit", 0, validated),
        ("fit", 1, validated),
        ("final", 1, at_end),
    ]


@pytest.mark.parametrize("is_first", [True, False])
def test_beside_stochastic_averaging(tmp_path: Path, is_first: bool) -> None:
    """The averages are put in when the last epoch has ended."""
    averaging = StochasticWeightAveraging(swa_lrs=0.05, swa_epoch_start=1, annealing_epochs=1)
    assert _run(tmp_path, without_batch_norm(), averaging, is_first=is_first, max_epochs=2) == [
        ("fit", 0, "raw"),
        ("fit", 1, "raw"),
        ("final", 1, "averaged" if is_first else "raw"),
    ]


@pytest.mark.parametrize("is_first", [True, False])
def test_beside_stochastic_averaging_of_batch_norm(tmp_path: Path, is_first: bool) -> None:
    """An epoch is added that measures the statistics of the averaged weights."""
    averaging = StochasticWeightAveraging(swa_lrs=0.05, swa_epoch_start=1, annealing_epochs=1)
    seen = _run_added_epoch(tmp_path, averaging, is_first=is_first)
    assert seen == [("fit", 0, "raw"), ("fit", 1, "raw"), ("fit", 2, "averaged"), ("final", 2, "averaged")]


def _run_added_epoch(root: Path, averaging: L.Callback, *, is_first: bool) -> list[tuple]:
    sink = MemorySink()
    monitor = SaliencyMonitor("gradient", 4, sinks=[sink], on_error="raise", storage=Storage(save_maps=False))
    both = [averaging, monitor] if is_first else [monitor, averaging]
    module = noisy()
    trainer(root, *both, max_epochs=2).fit(module, train_loader(), val_loader())
    return [(one.stage, one.epoch, one.metadata["weights"]) for one in sink.snapshots[1:]]


@pytest.mark.parametrize("precision", ["32-true", "bf16-true", "bf16-mixed", "64-true"])
def test_the_precision_is_told_on_disk(tmp_path: Path, precision: str) -> None:
    run = trainer(tmp_path, SaliencyMonitor("gradient", 4), precision=precision, max_epochs=1)
    run.fit(Classifier(), train_loader(), val_loader())
    observations = read_index(tmp_path / "saliency")["observations"]
    assert [entry["metadata"]["precision"] for entry in observations] == [precision] * len(observations)
    assert not any("weights" in entry["metadata"] for entry in observations), "nobody averages them"


@pytest.mark.parametrize(
    "make",
    [
        lambda sink: RandomizationTest(
            "gradient", 4, draws=Draws(n_draws=2), cascade=Cascade(at_fit_end=False), sinks=[sink]
        ),
        lambda sink: CueAlarm(PatchCue((0, 0, 2, 2)), 0, probe=24, sinks=[sink]),
    ],
)
@_NO_EMA
def test_every_callback_tells(tmp_path: Path, make: Any) -> None:
    sink = MemorySink()
    averaging = lightning_callbacks.EMAWeightAveraging(decay=0.9)
    run = trainer(tmp_path, make(sink), averaging, max_epochs=1)
    module = Classifier()
    run.fit(module, train_loader(), val_loader())
    run.validate(module, dataloaders=val_loader(), verbose=False)
    told = [(one.stage, one.metadata["precision"], one.metadata.get("weights")) for one in sink.snapshots]
    assert told == [
        ("initial", "32-true", "raw"),
        ("fit", "32-true", "averaged"),
        ("final", "32-true", "raw"),
        ("validate", "32-true", None),
    ]
