"""What an ordinary user meets in the first minute: unusual models, and data that does not fit them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from saliency_callbacks import ModelReading, Probe, SaliencyMonitor, Storage
from saliency_callbacks.errors import LayerError, ProbeError, SaliencyWarning
from saliency_callbacks.sinks import MemorySink
from tests.trainer.runs import Classifier, RecordingLogger, train_loader, trainer, val_loader


def flat_net() -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))


def test_a_network_without_a_spatial_map_is_explained_by_its_gradient(tmp_path: Path) -> None:
    sink = MemorySink()
    with pytest.warns(SaliencyWarning, match="only gradient is computed: no layer of Classifier"):
        trainer(tmp_path, SaliencyMonitor(sinks=[sink])).fit(Classifier(flat_net()), train_loader(), val_loader())
    assert [list(snapshot.attributions) for snapshot in sink.snapshots] == [["gradient"]] * 3


class FrozenBackbone(Classifier):
    """Computes its features without gradients, as is usual in transfer learning."""

    def forward(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            features = self.net[:4](images)
        return self.net[4:](features)


@pytest.mark.filterwarnings("ignore:grad_cam")
def test_a_frozen_backbone_is_explained_as_if_it_was_not(tmp_path: Path) -> None:
    maps = []
    for kind in (FrozenBackbone, Classifier):
        sink = MemorySink()
        trainer(tmp_path, SaliencyMonitor(probe=8, sinks=[sink])).fit(kind(), train_loader(), val_loader())
        assert [list(snapshot.attributions) for snapshot in sink.snapshots] == [["gradient", "grad_cam"]] * 3
        maps.append(sink.snapshots[0].attributions)
    frozen, plain = maps
    for name in plain:
        assert torch.equal(frozen[name].values, plain[name].values)
        assert frozen[name].layer == plain[name].layer


class DetachedStem(Classifier):
    """Lets nothing through to its first layers."""

    def forward(self, images: Tensor) -> Tensor:
        return self.net[2:](self.net[:2](images).detach())


def test_above_a_detached_part_class_activation_maps_are_left(tmp_path: Path) -> None:
    sink = MemorySink()
    with pytest.warns(SaliencyWarning, match=r"only grad_cam is computed: .*detach"):
        trainer(tmp_path, SaliencyMonitor(sinks=[sink])).fit(DetachedStem(), train_loader(), val_loader())
    assert [list(snapshot.attributions) for snapshot in sink.snapshots] == [["grad_cam"]] * 3
    assert sink.latest.attributions["grad_cam"].magnitude.any()


def test_a_class_activation_map_that_was_asked_for_is_not_left_out(tmp_path: Path) -> None:
    monitor = SaliencyMonitor(["gradient", "grad_cam"])
    with pytest.raises(LayerError, match="target_layers"):
        trainer(tmp_path, monitor).fit(Classifier(flat_net()), train_loader(), val_loader())


class TwoInputs(Classifier):
    """Takes two images, though its batches hold one."""

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return self.net(left + right)

    def loss(self, batch: Any) -> Tensor:
        return nn.functional.cross_entropy(self(batch[0], batch[0]), batch[1])


def test_a_model_that_cannot_take_the_probe_says_what_it_saw(tmp_path: Path) -> None:
    model = TwoInputs()
    before = [parameter.clone() for parameter in model.parameters()]
    with pytest.raises(ProbeError, match=r"right.*\[16, 1, 8, 8\].*Probe\(unpack_batch=…\)"):
        trainer(tmp_path, SaliencyMonitor()).fit(model, train_loader(), val_loader())
    assert all(torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))


def test_tensors_of_the_wrong_shape_say_so(tmp_path: Path) -> None:
    probe = Probe.from_tensors(torch.rand(4, 3, 8, 8))
    with pytest.raises(ProbeError, match=r"cannot be run on the probe.*\[4, 3, 8, 8\]"):
        trainer(tmp_path, SaliencyMonitor(probe=probe)).fit(Classifier(), train_loader(), val_loader())


class LogsInForward(Classifier):
    """Logs whenever it runs."""

    def forward(self, images: Tensor) -> Tensor:
        if self._trainer is not None and not self.training and not self.trainer.sanity_checking:
            self.log("mean_input", images.mean())
            self.log_dict({"max_input": images.max()})
        return super().forward(images)


def test_what_a_module_logs_in_its_forward_is_not_disturbed(tmp_path: Path) -> None:
    logged = []
    for callbacks in ([], [SaliencyMonitor(storage=Storage(save_maps=False))]):
        logger = RecordingLogger(tmp_path)
        trainer(tmp_path, *callbacks, logger=logger).fit(LogsInForward(), train_loader(), val_loader())
        logged.append([logger.of(tag) for tag in ("mean_input", "max_input")])
    assert logged[0] == logged[1]
    assert len(logged[0][0]) == 2


def test_a_submodule_may_have_two_names(tmp_path: Path) -> None:
    model = Classifier()
    model.backbone = model.net
    sink = MemorySink()
    trainer(tmp_path, SaliencyMonitor(reading=ModelReading(module="backbone"), sinks=[sink])).fit(
        model, train_loader(), val_loader()
    )
    assert len(sink.snapshots) == 3


def test_greyscale_images_under_a_color_normalization(tmp_path: Path) -> None:
    from torchvision.transforms import v2

    data = TensorDataset(torch.rand(20, 1, 8, 8), torch.arange(20) % 10)
    data.transform = v2.Compose([v2.Normalize((0.5,) * 3, (0.2,) * 3), v2.Grayscale()])
    sink = MemorySink()
    monitor = SaliencyMonitor(sinks=[sink], on_error="raise")
    trainer(tmp_path, monitor).fit(Classifier(), train_loader(), DataLoader(data, batch_size=20))
    assert len(sink.pictures) == 3
