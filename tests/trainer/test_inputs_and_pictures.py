"""Inputs that all samples share, videos, bands and normalizations, in real trainings."""

from __future__ import annotations

import lightning as L
import pytest
import torch
from lightning.pytorch import LightningModule
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from saliency_callbacks import Appearance, Compute, CueAlarm, ModelReading, Probe, RandomizationTest, SaliencyMonitor
from saliency_callbacks.errors import InputError, ProbeError
from saliency_callbacks.probe import BrightnessCue
from saliency_callbacks.sinks import MemorySink

_LABELS = torch.arange(16) % 4


def _images(n=16, channels=3):
    return torch.rand(n, channels, 8, 8, generator=torch.Generator().manual_seed(0))


class _Module(LightningModule):
    def __init__(self, channels=3):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(channels, 4, 3), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(4, 4)

    def forward(self, x):
        return self.head(self.net(x))

    def training_step(self, batch, index):
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch, index):
        self.log("val_loss", self.training_step(batch, index))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.05)


class _Prompted(_Module):
    def __init__(self):
        super().__init__()
        self.text = nn.Linear(6, 4)
        self.register_buffer("prompts", torch.randn(4, 6, generator=torch.Generator().manual_seed(0)))

    def forward(self, image, prompts=None):
        return self.net(image) @ self.text(self.prompts if prompts is None else prompts).T


class _PromptedByTheBatch(_Prompted):
    def validation_step(self, batch, index):
        """Log nothing: of two sizes, Lightning would not know that of the batch."""

    def training_step(self, batch, index):
        return nn.functional.cross_entropy(self(**batch[0]), batch[1])


class _Video(_Module):
    def forward(self, x):
        return self.head(self.net(x.flatten(0, 1)).unflatten(0, (len(x), -1)).mean(1))


def _fit(tmp_path, module, dataset, *callbacks, collate_fn=None, epochs=1):
    data = DataLoader(dataset, 8, collate_fn=collate_fn)
    trainer = L.Trainer(
        max_epochs=epochs,
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
        default_root_dir=tmp_path,
    )
    trainer.fit(module, data, data)


@pytest.mark.parametrize(("n", "rows"), [(4, None), (4, 1), (6, None), (3, 2)])
def test_one_prompt_a_class(tmp_path, n, rows):
    module, images, labels = _Prompted(), _images(n), torch.arange(n) % 4
    inputs = {"image": images, "prompts": module.prompts.clone()}
    probe = Probe.from_tensors(inputs, labels, shared=None if n == 4 else ("prompts",))
    settings = {"reading": ModelReading(attribute_to="image"), "compute": Compute(internal_batch_size=rows)}
    sink = MemorySink()
    monitor = SaliencyMonitor(["gradient", "grad_cam"], probe, target_layers="net.0", sinks=[sink], **settings)
    test = RandomizationTest("gradient", probe, **settings)
    _fit(tmp_path, module, TensorDataset(_images(), _LABELS), monitor, test)
    explained = images.clone().requires_grad_()
    module.eval()
    logits = module(explained, inputs["prompts"])
    scores = logits.gather(1, labels[:, None])[:, 0]
    (gradient,) = torch.autograd.grad(scores.sum(), explained)
    last = sink.snapshots[1]
    assert torch.allclose(last.attributions["gradient"].values, gradient, atol=1e-6)
    assert torch.allclose(last.attributions["gradient"].score, scores.detach(), atol=1e-6)
    assert last.metadata["shared"] == ["prompts"]
    assert last.scores["saliency/probe_accuracy"] == pytest.approx((logits.argmax(1) == labels).double().mean())
    assert torch.equal(test.result.target, labels)


def test_prompts_of_the_collate_function(tmp_path):
    module, sink = _PromptedByTheBatch(), MemorySink()

    def collate(rows):
        images, labels = (torch.stack(part) for part in zip(*rows, strict=True))
        return {"image": images, "prompts": torch.ones(3, 6)}, labels

    data = TensorDataset(_images(), _LABELS % 3)
    with pytest.raises(ProbeError, match=r"ModelReading\(shared="):
        _fit(tmp_path, module, data, SaliencyMonitor("gradient", probe=6), collate_fn=collate)
    reading = ModelReading(attribute_to="image", shared=["prompts"])
    _fit(
        tmp_path, module, data, SaliencyMonitor("gradient", probe=6, reading=reading, sinks=[sink]), collate_fn=collate
    )
    assert sink.snapshots[0].attributions["gradient"].values.shape == (6, 3, 8, 8)


def test_a_video_is_explained_frame_by_frame(tmp_path):
    videos = torch.rand(16, 5, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    sink, module = MemorySink(), _Video()
    masks = torch.zeros(4, 5, 8, 8)
    masks[:, :, :4] = 1
    monitor = SaliencyMonitor(probe=Probe.from_tensors(videos[:4], _LABELS[:4], masks=masks), sinks=[sink])
    alarm = CueAlarm(BrightnessCue(0.3), 0, probe=12)
    _fit(tmp_path, module, TensorDataset(videos, _LABELS), monitor, alarm)
    last = sink.snapshots[1]
    assert last.metadata["layout"] == "NTCHW: 5 frames of 3 × 8 × 8"
    assert {name: found.magnitude.shape for name, found in last.attributions.items()} == {
        "gradient": (4, 5, 8, 8),
        "grad_cam": (4, 5, 8, 8),
    }
    assert 0 <= last.scores["saliency/gradient/region_mass"] <= 1
    middle = (videos[:4, 2].permute(0, 2, 3, 1) * 255).round().to(torch.uint8)
    assert (last.probe.images.int() - middle.int()).abs().max() <= 1
    assert alarm.settings.layout == "NTCHW"
    assert len(alarm.history) > 0


def test_a_video_that_cannot_be_read_is_an_error_before_the_training(tmp_path):
    class Flat(_Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.Flatten(), nn.Linear(5 * 6 * 64, 4))

    data = TensorDataset(torch.rand(16, 5, 6, 8, 8), _LABELS)
    module = Flat()
    before = module.net[1].weight.clone()
    with pytest.raises(InputError, match="layout='NTCHW'"):
        _fit(tmp_path, module, data, SaliencyMonitor("gradient", probe=4))
    assert torch.equal(module.net[1].weight, before)
    sink = MemorySink()
    reading = ModelReading(layout="NTCHW")
    _fit(tmp_path, module, data, SaliencyMonitor("gradient", probe=4, reading=reading, sinks=[sink]))
    assert sink.snapshots[0].attributions["gradient"].magnitude.shape == (4, 5, 8, 8)


class _Satellite(Dataset):
    """As those of TorchGeo, with one band far brighter than the others."""

    bands, rgb_bands = ("B1", "B2", "B3", "B4", "B8"), ("B4", "B3", "B2")

    def __init__(self):
        self.images = _images(16, 5) * torch.tensor([1.0, 300, 400, 500, 60000]).view(5, 1, 1)

    def __len__(self):
        return 16

    def __getitem__(self, index):
        return self.images[index], int(_LABELS[index])


def _percentiles(images, band):
    low, high = torch.quantile(images[:, band].double(), torch.tensor([0.02, 0.98], dtype=torch.float64))
    return ((images[:, band].double() - low) / (high - low)).clamp(0, 1) * 255


@pytest.mark.parametrize(("chosen", "expected"), [(None, [3, 2, 1]), ([4, 3, 1], [4, 3, 1]), (2, [2])])
def test_the_bands_of_a_dataset_are_drawn(tmp_path, chosen, expected):
    sink, dataset = MemorySink(), _Satellite()
    look = Appearance(bands=chosen)
    _fit(tmp_path, _Module(5), dataset, SaliencyMonitor("gradient", probe=6, sinks=[sink], appearance=look))
    first = sink.snapshots[0]
    assert first.metadata["bands"] == expected
    probe = dataset.images[[int(name) for name in first.ids]]
    for channel, band in enumerate(expected * (4 - len(expected)) if len(expected) == 1 else expected):
        drawn = first.probe.images[..., channel].double()
        assert (drawn - _percentiles(probe, band)).abs().max() <= 1


def test_a_band_that_is_not_there_is_an_error_before_the_training(tmp_path):
    monitor = SaliencyMonitor("gradient", probe=6, appearance=Appearance(bands=(9, 1, 0)))
    with pytest.raises(InputError, match="one or three channels from 0 to 4"):
        _fit(tmp_path, _Module(5), _Satellite(), monitor)


class _HookNormalizes(_Module):
    def on_after_batch_transfer(self, batch, dataloader_idx):
        return (batch[0] - 0.45) / 0.22, batch[1]


class _ForwardNormalizes(_Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.full((3, 1, 1), 0.45))
        self.register_buffer("std", torch.full((3, 1, 1), 0.22))

    def forward(self, x):
        return super().forward((x - self.mean) / self.std)


@pytest.mark.parametrize("kind", [_HookNormalizes, _ForwardNormalizes])
def test_pictures_are_those_before_the_normalization(tmp_path, kind):
    sink, images = MemorySink(), _images() * 0.5
    _fit(tmp_path, kind(), TensorDataset(images, _LABELS), SaliencyMonitor("gradient", probe=6, sinks=[sink]))
    first = sink.snapshots[0]
    expected = images[[int(name) for name in first.ids]].permute(0, 2, 3, 1) * 255
    assert (first.probe.images.float() - expected).abs().max() <= 1.01
    found = first.metadata.get("normalization")
    assert (found is None) == (kind is _ForwardNormalizes)
    assert found is None or found["source"] == "a batch-transfer hook"


def test_an_explicit_normalization_goes_first(tmp_path):
    sink, look = MemorySink(), Appearance(normalization=([0.5] * 3, [0.1] * 3))
    data = TensorDataset(_images(), _LABELS)
    _fit(tmp_path, _HookNormalizes(), data, SaliencyMonitor("gradient", probe=6, sinks=[sink], appearance=look))
    assert sink.snapshots[0].metadata["normalization"] == {"mean": [0.5] * 3, "std": [0.1] * 3, "source": "appearance"}
