"""Batches and models of other packages, as these are used: labels, names, and what a forward is fed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision import datasets, models, transforms

from saliency_callbacks import Probe, SaliencyMonitor, TokenSaliencyMonitor, explain
from saliency_callbacks.errors import ProbeError, SaliencyWarning
from saliency_callbacks.sinks import MemorySink
from saliency_callbacks.types import Snapshot

anomalib_data = pytest.importorskip("anomalib.data", reason="anomalib is installed by `make test-ecosystem`")
lightly_transforms = pytest.importorskip("lightly.transforms", reason="lightly is installed by `make test-ecosystem`")
torchgeo_trainers = pytest.importorskip("torchgeo.trainers", reason="torchgeo is installed by `make test-ecosystem`")
torchgeo_datasets = pytest.importorskip("torchgeo.datasets", reason="torchgeo is installed by `make test-ecosystem`")
transformers = pytest.importorskip("transformers", reason="transformers is installed by `make test-ecosystem`")

_N = 12
_IMAGES = torch.rand(_N, 3, 32, 32, generator=torch.Generator().manual_seed(0))
_LABELS = torch.arange(_N) % 3
_NAMES = {0: "cat", 1: "dog", 2: "cow"}


class Rows(Dataset):
    """Items made by a function."""

    def __init__(self, item: Any, **attributes: Any) -> None:
        self.item = item
        self.__dict__.update(attributes)

    def __len__(self) -> int:
        return _N

    def __getitem__(self, index: int) -> Any:
        return self.item(index)


class Module(L.LightningModule):
    """A LightningModule around a model, as most are written; its parameters stay what they are."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Any:
        return self.model(x)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return next(self.model.parameters()).sum()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        pass

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.0)


class HuggingFaceModule(Module):
    """Hands the whole batch over, as nearly all with these models do."""

    def forward(self, **batch: Any) -> Any:
        return self.model(**batch)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self(**batch).loss


def _fit(tmp_path: Path, module: Any, loader: DataLoader, callback: Any = None, **settings: Any) -> Snapshot:
    sink = MemorySink()
    observer = callback or SaliencyMonitor("gradient", **{"probe": 6, **settings})
    observer.sinks = (sink,)
    observer.on_error = "raise"
    L.Trainer(
        max_epochs=1,
        callbacks=[observer],
        logger=False,
        enable_checkpointing=False,
        accelerator="cpu",
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    ).fit(module, loader, loader)
    return sink.snapshots[0]


def _gradient(score: Any, images: Tensor, labels: Tensor) -> Tensor:
    """Gradient of each sample's label score, by autograd alone."""
    images = images.clone().requires_grad_()
    (found,) = torch.autograd.grad(score(images).gather(1, labels[:, None]).sum(), images)
    return found


def _at(snapshot: Snapshot) -> list[int]:
    return [int(name) for name in snapshot.ids]


def _vit(**settings: Any) -> nn.Module:
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    config = transformers.ViTConfig(image_size=32, patch_size=8, num_labels=3, **sizes, **settings)
    return transformers.ViTForImageClassification(config)


def test_a_vision_transformer_that_is_given_the_whole_batch(tmp_path: Path) -> None:
    module = HuggingFaceModule(_vit(id2label=_NAMES))
    data = Rows(lambda index: {"pixel_values": _IMAGES[index], "labels": int(_LABELS[index])})
    snapshot = _fit(tmp_path, module, DataLoader(data, 4))
    assert snapshot.labels.tolist() == _LABELS[_at(snapshot)].tolist()
    assert snapshot.probe.class_names == ("cat", "dog", "cow")
    expected = _gradient(
        lambda images: module.model.eval()(pixel_values=images).logits, _IMAGES[_at(snapshot)], snapshot.labels
    )
    assert torch.allclose(snapshot.attributions["gradient"].values, expected, atol=1e-6)


class AsTuple(nn.Module):
    """Returns ``(loss, logits)``, as older code does."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: Tensor, labels: Tensor) -> Any:
        return self.model(pixel_values=pixel_values, labels=labels).to_tuple()


@pytest.mark.parametrize("wrap", [nn.Identity, AsTuple])
def test_the_loss_is_not_taken_as_class_scores(wrap: Any) -> None:
    inner = _vit().eval()
    model = inner if wrap is nn.Identity else wrap(inner)
    batch = {"pixel_values": _IMAGES[:4], "labels": _LABELS[:4]}
    assert model(**batch)[0].ndim == 0, "with labels, the loss comes first"
    found = explain(model, batch, methods="gradient", target=_LABELS[:4], internal_batch_size=3)["gradient"].values
    expected = _gradient(lambda images: inner(pixel_values=images).logits, _IMAGES[:4], _LABELS[:4])
    assert torch.allclose(found, expected, atol=1e-6)


def test_a_text_model_that_is_given_the_whole_batch(tmp_path: Path) -> None:
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = transformers.BertConfig(vocab_size=40, num_labels=3, id2label=_NAMES, **sizes)
    module = HuggingFaceModule(transformers.BertForSequenceClassification(config))
    ids = torch.randint(1, 40, (_N, 7), generator=torch.Generator().manual_seed(0))
    data = Rows(
        lambda index: {
            "input_ids": ids[index],
            "attention_mask": torch.ones(7, dtype=torch.long),
            "labels": int(_LABELS[index]),
        }
    )
    snapshot = _fit(tmp_path, module, DataLoader(data, 4), TokenSaliencyMonitor(methods="gradient", probe=6))
    assert snapshot.labels.bincount().tolist() == [2, 2, 2]
    assert snapshot.probe.class_names == ("cat", "dog", "cow")


def test_names_of_a_backbone_are_not_those_of_another_head(tmp_path: Path) -> None:
    class Probing(Module):
        def __init__(self) -> None:
            super().__init__(transformers.ViTModel(_vit(id2label=_NAMES).config))
            self.head = nn.Linear(16, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.model(x).last_hidden_state[:, 0])

    data = Rows(lambda index: (_IMAGES[index], int(_LABELS[index])))
    assert _fit(tmp_path, Probing(), DataLoader(data, 4)).probe.class_names is None


def test_the_batch_of_anomaly_detection_is_read_by_its_fields(tmp_path: Path) -> None:
    items = [
        anomalib_data.ImageItem(
            image=_IMAGES[index],
            gt_label=torch.tensor(index % 2),
            gt_mask=torch.zeros(32, 32, dtype=torch.bool),
            image_path=f"{index}.png",
        )
        for index in range(_N)
    ]
    loader = DataLoader(Rows(items.__getitem__), 4, collate_fn=anomalib_data.ImageBatch.collate)
    snapshot = _fit(tmp_path, Module(models.resnet18(num_classes=2)), loader)
    assert snapshot.labels.tolist() == [index % 2 for index in _at(snapshot)]


class Scenes(torchgeo_datasets.NonGeoDataset):
    classes = ("forest", "sea", "town")

    def __len__(self) -> int:
        return _N

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"image": _IMAGES[index], "label": _LABELS[index]}


def test_a_task_that_passes_on_whatever_it_is_given(tmp_path: Path) -> None:
    task = torchgeo_trainers.ClassificationTask("resnet18", num_classes=3, lr=1e-6)
    snapshot = _fit(tmp_path, task, DataLoader(Scenes(), 4))
    assert snapshot.labels.tolist() == _LABELS[_at(snapshot)].tolist()
    assert snapshot.probe.class_names == Scenes.classes


def test_two_views_and_the_way_that_their_message_names(tmp_path: Path) -> None:
    images = [Image.fromarray((image.permute(1, 2, 0) * 255).byte().numpy()) for image in _IMAGES]
    transform = lightly_transforms.SimCLRTransform(input_size=32)
    data = Rows(lambda index: (transform(images[index]), int(_LABELS[index]), f"{index}.png"))
    loader = DataLoader(data, 4)
    module = Module(models.resnet18(num_classes=3))
    with pytest.raises(ProbeError, match="unpack_batch") as caught:
        _fit(tmp_path, module, loader)
    assert "attribute_to" not in str(caught.value)
    probe = Probe(6, unpack_batch=lambda batch: (batch[0][0], batch[1]))
    assert _fit(tmp_path, module, loader, probe=probe).labels.bincount().tolist() == [2, 2, 2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four classes of three images."""
    for index in range(_N):
        path = tmp_path / "images" / f"class_{index % 4}" / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((32, 32, 3), 20 * index, dtype=np.uint8)).save(path)
    return tmp_path / "images"


def test_a_target_transform_makes_other_classes(tmp_path: Path, folder: Path) -> None:
    data = datasets.ImageFolder(folder, transforms.ToTensor(), target_transform=lambda label: int(label == 3))
    with pytest.warns(SaliencyWarning, match="names of 4 classes"):
        snapshot = _fit(tmp_path, Module(models.resnet18(num_classes=2)), DataLoader(data, 4))
    assert snapshot.labels.bincount().tolist() == [3, 3]
    assert snapshot.probe.class_names is None


def test_a_target_transform_to_a_tensor_keeps_the_classes(tmp_path: Path, folder: Path) -> None:
    data = datasets.ImageFolder(folder, transforms.ToTensor(), target_transform=torch.tensor)
    snapshot = _fit(tmp_path, Module(models.resnet18(num_classes=4)), DataLoader(data, 4), probe=8)
    assert snapshot.labels.bincount().tolist() == [2, 2, 2, 2]
    assert snapshot.probe.class_names == ("class_0", "class_1", "class_2", "class_3")


def test_a_module_that_needs_the_labels(tmp_path: Path) -> None:
    class Joint(Module):
        def forward(self, image: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
            logits = self.model(image)
            return F.cross_entropy(logits, label), logits

    module = Joint(models.resnet18(num_classes=3))
    snapshot = _fit(tmp_path, module, DataLoader(Scenes(), 4))
    expected = _gradient(module.model.eval(), _IMAGES[_at(snapshot)], snapshot.labels)
    scale = expected.abs().max()
    assert torch.allclose(snapshot.attributions["gradient"].values / scale, expected / scale, atol=1e-4)
