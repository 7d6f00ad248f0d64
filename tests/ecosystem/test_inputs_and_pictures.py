"""Shared inputs, videos, bands and normalizations with the packages that people use; random weights, no downloads."""

from __future__ import annotations

import lightning as L
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from saliency_callbacks import Compute, CueAlarm, ModelReading, Probe, SaliencyMonitor, explain
from saliency_callbacks.probe import PatchCue
from saliency_callbacks.sinks import MemorySink

pytestmark = pytest.mark.filterwarnings("default")

_LABELS = torch.arange(12) % 3
_TINY = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}


def _fit(tmp_path, module, *callbacks, data=None, datamodule=None):
    trainer = L.Trainer(
        max_epochs=1,
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
        default_root_dir=tmp_path,
    )
    trainer.fit(module, data, data, datamodule=datamodule)


class _Classifier(L.LightningModule):
    def __init__(self, channels=3):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(channels, 4, 3), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.net(x))

    def training_step(self, batch, index):
        images, labels = (batch["image"], batch["label"]) if isinstance(batch, dict) else batch
        return nn.functional.cross_entropy(self(images), labels)

    def validation_step(self, batch, index):
        self.log("val_loss", self.training_step(batch, index))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)


def _clip():
    transformers = pytest.importorskip("transformers", reason="shared prompts of CLIP")
    torch.manual_seed(0)
    config = transformers.CLIPConfig(
        text_config=dict(
            _TINY, vocab_size=50, max_position_embeddings=8, bos_token_id=3, eos_token_id=2, pad_token_id=1
        ),
        vision_config=dict(_TINY, image_size=32, patch_size=8),
        projection_dim=8,
    )
    return transformers.CLIPModel(config).eval()


@pytest.mark.parametrize("n", [3, 5])
@pytest.mark.parametrize("rows", [None, 1, 2])
@pytest.mark.parametrize("with_mask", [True, False])
def test_prompts_of_clip(n, rows, with_mask):
    model = _clip()
    prompts = torch.tensor([[3, 4, 5, 6, 7, 2], [3, 8, 9, 6, 2, 1], [3, 4, 9, 9, 7, 2]])
    inputs = {"pixel_values": torch.rand(n, 3, 32, 32), "input_ids": prompts}
    if with_mask:
        inputs["attention_mask"] = (prompts != 1).long()
    found = explain(
        model,
        inputs,
        methods=["gradient", "grad_cam", "integrated_gradients"],
        target=2,
        target_layers="vision_model.encoder.layers.0",
        attribute_to="pixel_values",
        output_fn=lambda output: output.logits_per_image,
        internal_batch_size=rows,
    )
    pixels = inputs["pixel_values"].clone().requires_grad_()
    score = model(**{**inputs, "pixel_values": pixels}).logits_per_image[:, 2]
    (gradient,) = torch.autograd.grad(score.sum(), pixels)
    assert torch.allclose(found["gradient"].values, gradient, atol=1e-5)
    assert torch.allclose(found["grad_cam"].score, score.detach(), atol=1e-5)


def test_pairs_of_images_and_texts():
    """The text of a sample is explained, where all images are shared."""
    model = _clip()
    ids = torch.tensor([[3, 4, 5, 6, 7, 2], [3, 8, 9, 6, 7, 2], [3, 4, 9, 9, 7, 2]])
    inputs = {"pixel_values": torch.rand(3, 3, 32, 32), "input_ids": ids, "attention_mask": torch.ones_like(ids)}
    settings = {
        "methods": "gradient",
        "target": 1,
        "attribute_to": "input_ids",
        "embedding": "text_model.embeddings.token_embedding",
        "output_fn": lambda output: output.logits_per_text,
    }
    whole, parts = (explain(model, inputs, internal_batch_size=rows, **settings)["gradient"] for rows in (None, 1))
    assert torch.allclose(whole.score, model(**inputs).logits_per_text[:, 1], atol=1e-5)
    assert torch.allclose(whole.values, parts.values, atol=1e-6)


def test_prompts_of_clip_in_a_training(tmp_path):
    class Lit(_Classifier):
        def __init__(self):
            super().__init__()
            self.net, self.head = _clip(), nn.Identity()
            self.register_buffer("prompts", torch.tensor([[3, 4, 5, 2], [3, 8, 9, 2], [3, 4, 9, 2]]))

        def forward(self, pixel_values, input_ids=None):
            ids = self.prompts if input_ids is None else input_ids
            return self.net(pixel_values=pixel_values, input_ids=ids).logits_per_image

    module, images, sink = Lit(), torch.rand(12, 3, 32, 32), MemorySink()
    probe = Probe.from_tensors({"pixel_values": images[:3], "input_ids": module.prompts.clone()}, _LABELS[:3])
    monitor = SaliencyMonitor(
        "gradient",
        probe,
        reading=ModelReading(attribute_to="pixel_values"),
        compute=Compute(internal_batch_size=1),
        sinks=[sink],
    )
    _fit(tmp_path, module, monitor, data=DataLoader(TensorDataset(images, _LABELS), 6))
    module.eval()
    scores = module(images[:3]).gather(1, _LABELS[:3, None])[:, 0]
    assert torch.allclose(sink.snapshots[1].attributions["gradient"].score, scores.detach(), atol=1e-4)


def _gradient(model, video, read):
    given = video.clone().requires_grad_()
    return torch.autograd.grad(read(model(given))[:, 1].sum(), given)[0]


@pytest.mark.parametrize("name", ["r3d_18", "mc3_18", "swin3d_t"])
@pytest.mark.parametrize("frames", [3, 4])
def test_videos_of_torchvision(name, frames):
    video = pytest.importorskip("torchvision.models.video", reason="video networks")
    torch.manual_seed(0)
    model = getattr(video, name)(num_classes=3).eval()
    x = torch.rand(1, 3, frames, 32, 32)
    found = explain(model, x, methods=["gradient", "grad_cam"], target=1)
    assert torch.allclose(found["gradient"].values, _gradient(model, x, lambda output: output), atol=1e-5)
    assert all(one.heatmap.shape == (1, frames, 32, 32) for one in found.values())


@pytest.mark.parametrize("name", ["VideoMAE", "Timesformer", "Vivit"])
def test_videos_of_transformers(name):
    transformers = pytest.importorskip("transformers", reason="video transformers")
    torch.manual_seed(0)
    sizes = {"VideoMAE": {"patch_size": 8, "tubelet_size": 2}, "Timesformer": {"patch_size": 8}}
    tubelets = sizes.get(name, {"tubelet_size": [2, 8, 8]})
    config = getattr(transformers, f"{name}Config")(**_TINY, **tubelets, image_size=32, num_frames=4, num_labels=3)
    model = getattr(transformers, f"{name}ForVideoClassification")(config).eval()
    x = torch.rand(2, 4, 3, 32, 32)
    found = explain(model, x, methods=["gradient", "grad_cam"], target=1, internal_batch_size=1)
    gradient = _gradient(model, x, lambda output: output.logits)
    assert torch.allclose(found["gradient"].values, gradient.transpose(1, 2), atol=1e-5)
    assert all(one.heatmap.shape == (2, 4, 32, 32) for one in found.values())


def test_the_tokens_of_timesformer_come_place_by_place():
    transformers = pytest.importorskip("transformers", reason="video transformers")
    torch.manual_seed(0)
    config = transformers.TimesformerConfig(**_TINY, patch_size=8, image_size=32, num_frames=3, num_labels=3)
    model, x = transformers.TimesformerForVideoClassification(config).eval(), torch.rand(2, 3, 3, 32, 32)
    layer, outputs = model.timesformer.encoder.layer[0], []

    def keep(module, args, output):
        outputs.append(output if isinstance(output, torch.Tensor) else output[0])

    with layer.register_forward_hook(keep):
        score = model(x).logits[:, 1].sum()
    (gradient,) = torch.autograd.grad(score, outputs[0])
    product = (gradient * outputs[0])[:, 1:].sum(2).relu()
    found = explain(model, x, methods="hires_cam", target=1, target_layers="timesformer.encoder.layer.0")["hires_cam"]
    assert torch.allclose(found.values[:, 0], product.view(2, 4, 4, 3).permute(0, 3, 1, 2).detach(), atol=1e-7)


def _pictures(snapshot):
    return snapshot.probe.images.float() / 255


def _expected(images, snapshot):
    return images[[int(name) for name in snapshot.ids]].permute(0, 2, 3, 1)


@pytest.mark.parametrize("where", ["hook", "resizing_hook", "forward"])
def test_normalization_by_kornia(tmp_path, where):
    augmentation = pytest.importorskip("kornia.augmentation", reason="transforms on the device")
    normalize = augmentation.Normalize(torch.tensor([0.5, 0.4, 0.3]), torch.tensor([0.2, 0.3, 0.25]))
    steps = [augmentation.Resize((8, 8)), normalize] if where == "resizing_hook" else [normalize]

    class Lit(_Classifier):
        def __init__(self):
            super().__init__()
            self.transform = augmentation.AugmentationSequential(*steps, data_keys=["input"])

        def on_after_batch_transfer(self, batch, dataloader_idx):
            return batch if where == "forward" else (self.transform(batch[0]), batch[1])

        def forward(self, x):
            return super().forward(self.transform(x) if where == "forward" else x)

    # Of one color each, so that they are the same at every size.
    images, sink = 0.8 * torch.rand(12, 3, 1, 1).expand(12, 3, 16, 16).clone(), MemorySink()
    _fit(
        tmp_path,
        Lit(),
        SaliencyMonitor("gradient", probe=6, sinks=[sink]),
        data=DataLoader(TensorDataset(images, _LABELS), 6),
    )
    first = sink.snapshots[0]
    size = 8 if where == "resizing_hook" else 16
    assert (_pictures(first) - _expected(images[..., :size, :size], first)).abs().max() < 0.01
    assert ("normalization" in first.metadata) == (where != "forward")


@pytest.mark.parametrize("place", ["collate", "module", "dataset"])
def test_normalization_by_an_image_processor(tmp_path, place):
    transformers = pytest.importorskip("transformers", reason="image processors")
    processor = transformers.ViTImageProcessor(
        size={"height": 16, "width": 16}, image_mean=[0.5, 0.4, 0.3], image_std=[0.2, 0.3, 0.25], do_rescale=False
    )
    images, sink = 0.8 * torch.rand(12, 3, 16, 16), MemorySink()

    def processed(tensors):
        return torch.as_tensor(processor(images=list(tensors), return_tensors="pt")["pixel_values"])

    def collate(rows):
        inputs, labels = (torch.stack(part) for part in zip(*rows, strict=True))
        return processed(inputs), labels

    module = _Classifier()
    if place == "collate":
        data = DataLoader(TensorDataset(images, _LABELS), 6, collate_fn=collate)
    else:
        dataset = TensorDataset(processed(images), _LABELS)
        (module if place == "module" else dataset).processor = processor
        data = DataLoader(dataset, 6)
    _fit(tmp_path, module, SaliencyMonitor("gradient", probe=6, sinks=[sink]), data=data)
    first = sink.snapshots[0]
    assert (_pictures(first) - _expected(images, first)).abs().max() < 0.01
    assert first.metadata["normalization"]["mean"] == [0.5, 0.4, 0.3]


def test_a_datamodule_of_torchgeo(tmp_path):
    datamodules = pytest.importorskip("torchgeo.datamodules", reason="satellite images")
    eurosat = pytest.importorskip("torchgeo.datasets", reason="satellite images").EuroSAT
    bands = eurosat.all_band_names
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(12, len(bands), 16, 16, generator=generator) * torch.linspace(300, 5000, len(bands)).view(
        -1, 1, 1
    )
    images[:, 9] *= 100  # a band on a scale of its own

    class Scenes(Dataset):
        rgb_bands = eurosat.rgb_bands

        def __init__(self, **kwargs):
            self.bands = bands

        def __len__(self):
            return 12

        def __getitem__(self, index):
            return {"image": images[index], "label": _LABELS[index]}

    class Data(datamodules.NonGeoDataModule):
        mean, std = images.mean((0, 2, 3)), images.std((0, 2, 3))

        def __init__(self):
            super().__init__(Scenes, 6, 0)

        def setup(self, stage):
            self.train_dataset = self.val_dataset = Scenes()

    sink, cued = MemorySink(), MemorySink()
    monitor = SaliencyMonitor("gradient", probe=6, sinks=[sink])
    alarm = CueAlarm(PatchCue((0, 0, 4, 4)), 0, probe=12, sinks=[cued])
    _fit(tmp_path, _Classifier(len(bands)), monitor, alarm, datamodule=Data())
    first = sink.snapshots[0]
    assert first.metadata["bands"] == [bands.index(name) for name in eurosat.rgb_bands] == [3, 2, 1]
    found = torch.tensor(first.metadata["normalization"]["mean"])
    assert torch.allclose(found, Data.mean, rtol=1e-2)
    drawn = _pictures(first)
    for channel, band in enumerate((3, 2, 1)):
        probe = images[[int(name) for name in first.ids], band]
        low, high = torch.quantile(probe, torch.tensor([0.02, 0.98]))
        assert (drawn[..., channel] - ((probe - low) / (high - low)).clamp(0, 1)).abs().max() < 0.01
    assert len(alarm.history) > 0
