"""Half precision on a GPU: gradients that underflow, and float32 in its place."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from saliency_callbacks import Compute, SaliencyMonitor, Storage
from saliency_callbacks.engine.run import run_engine
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.methods.resolution import resolve_methods
from saliency_callbacks.sinks import MemorySink
from tests.trainer.runs import Classifier, train_loader, trainer, val_loader

_METHODS = ("gradient", "grad_cam", "layer_cam", "guided_backprop", "integrated_gradients")
_HALF = partial(torch.autocast, "cuda", torch.float16)


class Faint(nn.Module):
    """Its gradients are about 10⁻⁹ at the input, where float16 has nothing between 0 and 6·10⁻⁸."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.head = nn.Linear(256, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.conv(images).relu().flatten(1) * 1e-4) * 1e-4


def _maps(model: nn.Module, images: Tensor, **changes: object) -> dict[str, Tensor]:
    settings = Settings(resolve_methods(_METHODS), target_layers="conv", **changes)
    found = run_engine(model, images, settings, [0]).attributions[0]
    return {name: one.values for name, one in found.items()}


def test_gradients_do_not_underflow_in_float16() -> None:
    model, images = Faint().cuda(), torch.rand(4, 1, 8, 8, device="cuda")
    expected = _maps(model, images)
    for name, values in _maps(model, images, forward_context=_HALF).items():
        assert values.dtype == torch.float32
        assert values.any()
        assert torch.corrcoef(torch.stack([values.flatten(), expected[name].flatten()]).double())[0, 1] > 0.99


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_float32_maps_are_those_of_the_float32_model(dtype: torch.dtype) -> None:
    model, images = Faint().cuda().to(dtype), torch.rand(4, 1, 8, 8, device="cuda").to(dtype)
    places = [(parameter.data_ptr(), parameter.detach().clone()) for parameter in model.parameters()]
    found = _maps(model, images, full_precision=True)
    for parameter, (place, content) in zip(model.parameters(), places, strict=True):
        assert parameter.dtype == dtype
        assert parameter.data_ptr() == place
        assert torch.equal(parameter, content)
    expected = _maps(model.float(), images.float())
    for name, values in found.items():
        torch.testing.assert_close(values, expected[name], rtol=1e-4, atol=1e-4 * float(expected[name].abs().max()))


@pytest.mark.parametrize("asked", ["trainer", "32"])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed", "bf16-true", "16-true"])
def test_maps_of_a_training(tmp_path: Path, precision: str, asked: str) -> None:
    sink = MemorySink()
    monitor = SaliencyMonitor(
        probe=6, compute=Compute(precision=asked), sinks=[sink], storage=Storage(save_maps=False), on_error="raise"
    )
    run = trainer(tmp_path, monitor, accelerator="gpu", precision=precision, max_epochs=1)
    run.fit(Classifier(), train_loader(), val_loader())
    observed = [snapshot for snapshot in sink.snapshots if snapshot.attributions]
    assert len(observed) == 2
    values = observed[-1].attributions["gradient"].values
    assert values.numpy().dtype == "float32"
    assert values.isfinite().all()
    assert values.any()
