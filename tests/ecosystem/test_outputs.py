"""Outputs that are no logits, of models of other packages, against what these models return."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
from torchvision.models import mobilenet_v3_small, resnet18

from saliency_callbacks import CueAlarm, ModelReading, SaliencyMonitor, TokenSaliencyMonitor, explain
from saliency_callbacks.errors import SaliencyWarning, TargetError
from saliency_callbacks.probe import PatchCue, Probe
from saliency_callbacks.sinks import MemorySink
from saliency_callbacks.targets import SimilarityTarget

lightly_loss = pytest.importorskip("lightly.loss", reason="lightly is installed by `make test-ecosystem`")
lightly_heads = pytest.importorskip("lightly.models.modules", reason="lightly is installed by `make test-ecosystem`")
monai_nets = pytest.importorskip("monai.networks.nets", reason="monai is installed by `make test-ecosystem`")
timm = pytest.importorskip("timm", reason="timm is installed by `make test-ecosystem`")
transformers = pytest.importorskip("transformers", reason="transformers is installed by `make test-ecosystem`")

_N = 8


class Wrapped(L.LightningModule):
    """A model as it is; trained by whatever loss it is given."""

    def __init__(self, net: nn.Module, loss: Any) -> None:
        super().__init__()
        self.net, self.loss = net, loss

    def forward(self, images: Tensor) -> Any:
        return self.net(images)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.loss(self(batch[0]), batch[1])

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        pass

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)


def _fit(tmp_path: Path, module: L.LightningModule, data: DataLoader, *callbacks: L.Callback) -> L.Trainer:
    trainer = L.Trainer(
        max_epochs=1,
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=False,
        accelerator="cpu",
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(module, data, data)
    return trainer


def _data(labels: Tensor, size: int = 32) -> DataLoader:
    return DataLoader(TensorDataset(torch.rand(len(labels), 3, size, size), labels), _N)


def _answers(module: L.LightningModule, images: Tensor) -> Tensor:
    module.eval()
    with torch.no_grad():
        return module(images)


def _single(net: nn.Module) -> nn.Module:
    return nn.Sequential(net, nn.Linear(net.num_features, 1), nn.Sigmoid())


_SINGLE = {
    "torchvision": lambda: nn.Sequential(resnet18(num_classes=1), nn.Sigmoid()),
    "timm": lambda: _single(timm.create_model("resnet18", num_classes=0)),
    "monai": lambda: monai_nets.Critic((3, 32, 32), (4, 8), (2, 2)),
    "monai's discriminator": lambda: monai_nets.Discriminator((3, 32, 32), (4, 8), (2, 2)),
    "monai's classifier": lambda: monai_nets.Classifier((3, 32, 32), 1, (4, 8), (2, 2), last_act="sigmoid"),
}


@pytest.mark.parametrize("name", _SINGLE)
def test_a_single_output(tmp_path: Path, name: str) -> None:
    labels = torch.arange(_N) % 2
    data = _data(labels)
    is_probability = name != "monai"

    def loss(output: Tensor, labels: Tensor) -> Tensor:
        of_output = F.binary_cross_entropy if is_probability else F.binary_cross_entropy_with_logits
        return of_output(output[:, 0], labels.float())

    module = Wrapped(_SINGLE[name](), loss)
    monitor = SaliencyMonitor("gradient", probe=_N)
    run = _fit(tmp_path, module, data, monitor)
    output = _answers(module, monitor._probe.inputs)[:, 0]
    p = output if is_probability else output.sigmoid()
    assert monitor.state.outputs == ("sigmoid" if is_probability else "logits")
    expected = {
        "accuracy": float(((p > 0.5) == monitor._probe.labels.bool()).float().mean()),
        "confidence": float(torch.maximum(p, 1 - p).mean()),
    }
    for tag, value in expected.items():
        assert float(run.callback_metrics[f"saliency/probe_{tag}"]) == pytest.approx(value, abs=1e-5)


@pytest.mark.parametrize("act", ["softmax", "sigmoid"])
@pytest.mark.parametrize("family", ["monai", "torchvision", "timm"])
def test_a_head_of_several_outputs(tmp_path: Path, family: str, act: str) -> None:
    last = nn.Softmax(dim=1) if act == "softmax" else nn.Sigmoid()
    if family == "monai":
        last_act: Any = ("softmax", {"dim": 1}) if act == "softmax" else "sigmoid"
        net = monai_nets.Classifier((3, 32, 32), 4, (4, 8), (2, 2), last_act=last_act)
    elif family == "torchvision":
        net = nn.Sequential(mobilenet_v3_small(num_classes=4), last)
    else:
        net = nn.Sequential(timm.create_model("vit_tiny_patch16_224", img_size=32, num_classes=4, depth=1), last)
    labels = torch.arange(_N) % 4

    def loss(p: Tensor, labels: Tensor) -> Tensor:
        return F.binary_cross_entropy(p, F.one_hot(labels, 4).float())

    module = Wrapped(net, loss)
    monitor = SaliencyMonitor("gradient", probe=_N)
    with pytest.warns(SaliencyWarning, match=rf"returns probabilities \({act}\)"):
        run = _fit(tmp_path, module, _data(labels), monitor)
    p = _answers(module, monitor._probe.inputs)
    accuracy = (p.argmax(dim=1) == monitor._probe.labels).float().mean()
    assert float(run.callback_metrics["saliency/probe_accuracy"]) == pytest.approx(float(accuracy))
    confidence = p.max(dim=1).values.mean()
    assert float(run.callback_metrics["saliency/probe_confidence"]) == pytest.approx(float(confidence), abs=1e-5)


def test_several_labels_of_a_text(tmp_path: Path) -> None:
    config = transformers.BertConfig(
        vocab_size=30,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=12,
        num_labels=3,
        problem_type="multi_label_classification",
    )
    labels = torch.rand(_N, 3) > 0.4
    labels[0], labels[1] = True, False
    ids = torch.randint(5, 30, (_N, 10))

    class Texts(Wrapped):
        def forward(self, ids: Tensor) -> Any:
            return self.net(input_ids=ids)

        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            return self.net(input_ids=batch[0], labels=batch[1]).loss

    module = Texts(transformers.BertForSequenceClassification(config), None)
    monitor = TokenSaliencyMonitor(probe=Probe.from_tensors(ids, labels))
    run = _fit(tmp_path, module, DataLoader(TensorDataset(ids, labels.float()), _N), monitor)
    z = _answers(module, ids).logits
    accuracy = ((z > 0) == labels).float().mean()
    assert float(run.callback_metrics["tokens/probe_accuracy"]) == pytest.approx(float(accuracy))
    confidence = z.sigmoid().max(dim=1).values.mean()
    assert float(run.callback_metrics["tokens/probe_confidence"]) == pytest.approx(float(confidence), abs=1e-5)


def test_several_labels_of_an_image(tmp_path: Path) -> None:
    labels = torch.rand(_N, 5) > 0.4
    labels[0], labels[1] = True, False
    images = torch.rand(_N, 3, 32, 32)
    module = Wrapped(resnet18(num_classes=5), lambda z, labels: F.binary_cross_entropy_with_logits(z, labels.float()))
    probe, sink = Probe.from_tensors(images, labels), MemorySink()
    callbacks = SaliencyMonitor("gradient", probe, sinks=[sink]), CueAlarm(PatchCue((0, 0, 8, 8)), 2, probe)
    run = _fit(tmp_path, module, DataLoader(TensorDataset(images, labels.float()), _N), *callbacks)
    z = _answers(module, images)
    accuracy = ((z > 0) == labels).float().mean()
    assert float(run.callback_metrics["saliency/probe_accuracy"]) == pytest.approx(float(accuracy))
    on = labels | ~labels.any(dim=1, keepdim=True)
    score = (z * on).sum(dim=1) / on.sum(dim=1)
    last = [snapshot for snapshot in sink.snapshots if snapshot.stage == "fit"][-1]
    torch.testing.assert_close(last.attributions["gradient"].score, score, rtol=1e-4, atol=1e-5)


class Contrastive(L.LightningModule):
    """A backbone with the projection head of SimCLR."""

    def __init__(self, backbone: nn.Module, width: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = lightly_heads.SimCLRProjectionHead(width, 32, 32)
        self.criterion = lightly_loss.NTXentLoss()

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.backbone(images).flatten(start_dim=1))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.criterion(self(batch[0]), self(batch[0].flip(3)))

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        pass

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)


@pytest.mark.parametrize("family", ["torchvision", "timm"])
def test_contrastive_learning(tmp_path: Path, family: str) -> None:
    if family == "torchvision":
        backbone = nn.Sequential(*list(resnet18().children())[:-1])
    else:
        backbone = timm.create_model("resnet18", num_classes=0)
    module, sink = Contrastive(backbone, 512), MemorySink()
    monitor = SaliencyMonitor("gradient", probe=_N, sinks=[sink])
    with pytest.warns(SaliencyWarning, match="32 values per sample, but there are 4 classes: .* embeddings"):
        run = _fit(tmp_path, module, _data(torch.arange(_N) % 4), monitor)
    assert "saliency/probe_accuracy" not in run.callback_metrics
    now = _answers(module, monitor._probe.inputs)
    last = [snapshot for snapshot in sink.snapshots if snapshot.stage == "fit"][-1]
    expected = F.cosine_similarity(now, monitor.state.pins["reference"], dim=1)
    torch.testing.assert_close(last.attributions["gradient"].score, expected, rtol=1e-4, atol=1e-4)
    alarm = CueAlarm(PatchCue((0, 0, 8, 8)), 1)
    with pytest.raises(TargetError, match="CueAlarm is about classes"):
        _fit(tmp_path, Contrastive(backbone, 512), _data(torch.arange(_N) % 4), alarm)


@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224", "convnext_atto"])
def test_embeddings_of_a_backbone(name: str) -> None:
    size = {"img_size": 32} if name.startswith("vit") else {}
    net = timm.create_model(name, num_classes=0, **size).eval()
    images = torch.rand(3, 3, 32, 32)
    reference = net(images.flip(0)).detach()
    found = explain(net, images, methods="gradient", target=SimilarityTarget(reference))["gradient"]
    leaf = images.clone().requires_grad_()
    score = F.cosine_similarity(net(leaf), reference, dim=1)
    torch.testing.assert_close(found.score, score.detach(), rtol=1e-4, atol=1e-5)
    expected = torch.autograd.grad(score.sum(), leaf)[0]
    # The sample in the middle is compared with itself, and has no such gradient.
    torch.testing.assert_close(found.values[[0, 2]], expected[[0, 2]], rtol=1e-3, atol=1e-6)


def test_a_classifier_with_outputs_to_spare(tmp_path: Path) -> None:
    """A head of 1000 outputs that was left as it is; they are class scores if somebody says so."""
    data = _data(torch.arange(_N) % 4)
    monitor = SaliencyMonitor("gradient", probe=_N, reading=ModelReading(outputs="logits"))
    run = _fit(tmp_path, Wrapped(mobilenet_v3_small(), F.cross_entropy), data, monitor)
    assert "saliency/probe_accuracy" in run.callback_metrics
