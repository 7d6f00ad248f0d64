"""A run that goes on with another target than its checkpoint: what that one had pinned is another question's answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from saliency_callbacks import SaliencyMonitor
from saliency_callbacks.errors import SaliencyWarning
from saliency_callbacks.sinks import MemorySink
from saliency_callbacks.targets import ContrastTarget, SegmentationTarget


class Model(L.LightningModule):
    """Gives each pixel a class, or their mean the picture."""

    def __init__(self, is_dense: bool) -> None:
        super().__init__()
        self.is_dense = is_dense
        self.layer = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found = self.layer(images)
        return found if self.is_dense else found.mean(dim=(2, 3))

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        # Nothing is learned, so that a run that goes on finds what a new one does.
        return 0 * self(batch[0]).sum()

    def validation_step(self, batch: Any, index: int) -> None:
        pass

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def _fit(path: Path, target: Any, checkpoint: dict[str, Any] | None = None) -> tuple[SaliencyMonitor, Any, Any]:
    L.seed_everything(0, verbose=False)
    generator = torch.Generator().manual_seed(0)
    data = DataLoader(TensorDataset(torch.rand(4, 3, 8, 8, generator=generator), torch.arange(4)), 2)
    monitor = SaliencyMonitor("gradient", probe=4, target=target, sinks=[sink := MemorySink()], on_error="raise")
    run = L.Trainer(
        default_root_dir=path,
        max_epochs=1 if checkpoint is None else 2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[monitor],
    )
    if checkpoint is not None:
        torch.save(checkpoint, path / "run.ckpt")
    run.fit(
        Model(isinstance(target, SegmentationTarget)),
        data,
        data,
        ckpt_path=None if checkpoint is None else path / "run.ckpt",
    )
    run.save_checkpoint(path / "next.ckpt")
    return monitor, sink, torch.load(path / "next.ckpt", weights_only=True)


def _scores(sink: Any) -> torch.Tensor:
    return next(reversed([each for each in sink.snapshots if each.attributions])).attributions["gradient"].score


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (SegmentationTarget(0, "predicted"), SegmentationTarget(2, "predicted")),
        (ContrastTarget("predicted", 0), ContrastTarget("second", "predicted")),
    ],
    ids=["segmentation", "contrast"],
)
def test_another_target_looks_for_itself(tmp_path: Path, first: Any, second: Any) -> None:
    _, _, checkpoint = _fit(tmp_path, first)
    with pytest.warns(SaliencyWarning, match="differs from that of the checkpoint") as told:
        monitor, sink, _ = _fit(tmp_path, second, checkpoint)
    assert sum("the target" in str(one.message) for one in told) == 1
    new, expected, _ = _fit(tmp_path, second)
    assert monitor.state.pins.keys() == new.state.pins.keys()
    assert all(torch.equal(monitor.state.pins[name], new.state.pins[name]) for name in new.state.pins)
    torch.testing.assert_close(_scores(sink), _scores(expected))


def test_the_same_target_keeps_its_pins_also_of_an_earlier_version(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    target = SegmentationTarget(0, "predicted")
    first, _, checkpoint = _fit(tmp_path, target)
    (state,) = (one for name, one in checkpoint["callbacks"].items() if name.startswith("SaliencyMonitor"))
    assert state.pop("target").startswith("SegmentationTarget ")
    assert bool(state["pins"]["region"].any())
    state["pins"]["region"] = ~state["pins"]["region"]
    monitor, _, _ = _fit(tmp_path, target, checkpoint)
    assert not any("differs from that of the checkpoint" in str(one.message) for one in recwarn)
    assert torch.equal(monitor.state.pins["region"], ~first.state.pins["region"])
