"""Linear probes on the frozen backbones of other packages, and heads that get their size with the first batch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from saliency_callbacks import (
    Cascade,
    CueAlarm,
    Draws,
    ModelReading,
    RandomizationTest,
    SaliencyMonitor,
    TokenSaliencyMonitor,
    explain,
)
from saliency_callbacks.errors import ConfigurationError, GradientError, OutputError, SaliencyWarning
from saliency_callbacks.probe import PatchCue
from saliency_callbacks.sinks import MemorySink

timm = pytest.importorskip("timm", reason="models of timm")
transformers = pytest.importorskip("transformers", reason="models of Hugging Face")
lightly = pytest.importorskip("lightly", reason="modules of lightly")
torchvision = pytest.importorskip("torchvision")

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")


def _timm(name: str, **changes: Any) -> nn.Module:
    return timm.create_model(name, pretrained=False, num_classes=0, **changes)


def _lightly() -> nn.Module:
    from lightly.models.modules import SimCLRProjectionHead

    resnet = torchvision.models.resnet18(weights=None)
    return nn.Sequential(*list(resnet.children())[:-1], nn.Flatten(), SimCLRProjectionHead(512, 64, 32))


class _HuggingFace(nn.Module):
    """The pooled features of a model of Hugging Face."""

    def __init__(self) -> None:
        super().__init__()
        config = transformers.ResNetConfig(
            embedding_size=8, hidden_sizes=[16, 32], depths=[1, 1], layer_type="basic", downsample_in_first_stage=True
        )
        self.model = transformers.ResNetModel(config)

    def forward(self, images: Tensor) -> Tensor:
        return self.model(pixel_values=images).pooler_output.flatten(1)


BACKBONES: dict[str, Callable[[], nn.Module]] = {
    "timm resnet": lambda: _timm("resnet10t"),
    "timm vit": lambda: _timm("vit_tiny_patch16_224", img_size=64, depth=2),
    "timm convnext": lambda: _timm("convnext_atto"),
    "timm efficientnet": lambda: _timm("efficientnet_lite0"),
    "torchvision mobilenet": lambda: nn.Sequential(
        torchvision.models.mobilenet_v3_small(weights=None).features, nn.AdaptiveAvgPool2d(1), nn.Flatten()
    ),
    "lightly": _lightly,
    "transformers": _HuggingFace,
}


class LinearProbe(L.LightningModule):
    """A linear head on a frozen backbone, as tutorials write it."""

    def __init__(self, backbone: Callable[[], nn.Module], block: Any = torch.no_grad) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.backbone = backbone().requires_grad_(False)
        with torch.no_grad():
            width = self.backbone.eval()(torch.rand(1, 3, 64, 64)).shape[1]
        self.head = nn.Linear(width, 3)
        self.block = block

    def forward(self, images: Tensor) -> Tensor:
        self.backbone.eval()
        with self.block():
            features = self.backbone(images)
        return self.head(features)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return F.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Nothing to compute."""

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.head.parameters(), lr=0.1)


class DetachedProbe(LinearProbe):
    """The same by `detach`, which the person may mean."""

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.backbone(images).detach())


def _loader() -> DataLoader:
    images = torch.rand(12, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    return DataLoader(TensorDataset(images, torch.arange(12) % 3), batch_size=6)


def _fit(root: Path, module: L.LightningModule, *callbacks: L.Callback, **changes: Any) -> L.Trainer:
    settings = {"max_epochs": 1, "logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    run = L.Trainer(
        accelerator="cpu",
        default_root_dir=root,
        enable_model_summary=False,
        callbacks=list(callbacks),
        **{**settings, **changes},
    )
    run.fit(module, _loader(), _loader())
    return run


def _by_hand(module: LinearProbe, images: Tensor, target: int) -> Tensor:
    """The gradient that autograd finds without the block."""
    rows = images.clone().requires_grad_()
    module.eval()
    score = module.head(module.backbone(rows))[:, target].sum()
    return torch.autograd.grad(score, rows)[0]


@pytest.mark.parametrize("block", [torch.no_grad, torch.inference_mode], ids=["no_grad", "inference_mode"])
@pytest.mark.parametrize("name", BACKBONES)
def test_a_frozen_backbone_is_explained_as_autograd_does_by_hand(name: str, block: Any) -> None:
    if block is torch.inference_mode:

        class Copied(LinearProbe):
            def forward(self, images: Tensor) -> Tensor:
                with torch.inference_mode():
                    features = self.backbone(images)
                return self.head(features.clone())

        module: LinearProbe = Copied(BACKBONES[name])
    else:
        module = LinearProbe(BACKBONES[name])
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    found = explain(module, images, methods=["gradient", "grad_cam"], target=1)
    torch.testing.assert_close(found["gradient"].values, _by_hand(module, images, 1), rtol=1e-4, atol=1e-7)
    plain = LinearProbe(BACKBONES[name], torch.enable_grad)
    expected = explain(plain, images, methods="grad_cam", target=1)["grad_cam"]
    assert found["grad_cam"].layer == expected.layer
    torch.testing.assert_close(found["grad_cam"].values, expected.values, rtol=1e-4, atol=1e-7)
    assert all(parameter.grad_fn is None and parameter.grad is None for parameter in module.parameters())


@pytest.mark.parametrize("name", ["timm resnet", "lightly"])
def test_all_callbacks_observe_a_linear_probe_and_leave_its_training_alone(tmp_path: Path, name: str) -> None:
    plain, observed, sinks = LinearProbe(BACKBONES[name]), LinearProbe(BACKBONES[name]), [MemorySink() for _ in "abc"]
    L.seed_everything(1, verbose=False)
    _fit(tmp_path, plain)
    L.seed_everything(1, verbose=False)
    _fit(
        tmp_path,
        observed,
        SaliencyMonitor(probe=4, sinks=[sinks[0]]),
        RandomizationTest(probe=4, draws=Draws(n_draws=2), cascade=Cascade(n_draws=2, max_seconds=1), sinks=[sinks[1]]),
        CueAlarm(PatchCue((0, 0, 8, 8), name="patch"), suspect_class=0, probe=6, sinks=[sinks[2]]),
    )
    for key, tensor in plain.state_dict().items():
        assert torch.equal(tensor, observed.state_dict()[key]), key
    assert [[snapshot.stage for snapshot in sink.snapshots][:2] for sink in sinks] == [["initial", "fit"]] * 3
    assert set(sinks[0].latest.attributions) == {"gradient", "grad_cam"}


@pytest.mark.parametrize(
    "make",
    [
        lambda: SaliencyMonitor(probe=4),
        lambda: SaliencyMonitor("grad_cam", probe=4),
        lambda: RandomizationTest("gradient", probe=4),
        lambda: CueAlarm(PatchCue((0, 0, 8, 8), name="patch"), suspect_class=0, probe=6),
    ],
    ids=["monitor", "cam", "test", "alarm"],
)
@pytest.mark.parametrize("name", ["timm vit", "transformers"])
def test_a_detached_backbone_is_one_error_before_the_training(tmp_path: Path, name: str, make: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"`detach\(\)`, which may be intended") as caught:
        _fit(tmp_path, DetachedProbe(BACKBONES[name]), make(), num_sanity_val_steps=0)
    assert isinstance(caught.value, GradientError) or "no layer" in str(caught.value)


class Texts(L.LightningModule):
    """A linear probe on a frozen BERT."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        config = transformers.BertConfig(
            vocab_size=30, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16
        )
        self.bert = transformers.BertModel(config).requires_grad_(False)
        self.head = nn.Linear(16, 2)

    @torch.no_grad()
    def embed(self, input_ids: Tensor) -> Tensor:
        return self.bert(input_ids=input_ids).last_hidden_state.mean(1)

    def forward(self, input_ids: Tensor) -> Tensor:
        return self.head(self.embed(input_ids))

    training_step, validation_step = LinearProbe.training_step, LinearProbe.validation_step

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.head.parameters(), lr=0.1)


def test_a_frozen_language_model_is_explained(tmp_path: Path) -> None:
    ids = torch.randint(5, 30, (8, 6), generator=torch.Generator().manual_seed(0))
    loader = DataLoader(TensorDataset(ids, torch.arange(8) % 2), batch_size=4)
    sink, module = MemorySink(), Texts()
    monitor = TokenSaliencyMonitor(["gradient_norm", "input_x_gradient"], probe=4, sinks=[sink])
    run = L.Trainer(
        max_epochs=1,
        accelerator="cpu",
        default_root_dir=tmp_path,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[monitor],
    )
    run.fit(module, loader, loader)
    assert [snapshot.stage for snapshot in sink.snapshots][:2] == ["initial", "fit"]
    last = sink.latest.attributions["gradient_norm"]
    rows = ids[[int(name) for name in sink.latest.ids]]
    module.eval()
    embedded = module.bert.embeddings.word_embeddings(rows).detach().requires_grad_()
    scores = module.head(module.bert(inputs_embeds=embedded).last_hidden_state.mean(1))
    labels = torch.arange(8)[[int(name) for name in sink.latest.ids]] % 2
    gradient = torch.autograd.grad(scores.gather(1, labels[:, None]).sum(), embedded)[0]
    torch.testing.assert_close(last.values[:, 0], gradient.norm(dim=2), rtol=1e-4, atol=1e-7)


class LazyHead(LinearProbe):
    """A head that gets its size from whatever the backbone returns."""

    def __init__(self, backbone: Callable[[], nn.Module]) -> None:
        super().__init__(backbone, torch.enable_grad)
        self.head = nn.LazyLinear(3)


@pytest.mark.parametrize("name", ["timm resnet", "torchvision mobilenet"])
@pytest.mark.parametrize(
    "make",
    [
        lambda sink: SaliencyMonitor("gradient", probe=4, sinks=[sink]),
        lambda sink: RandomizationTest(
            "gradient", probe=4, draws=Draws(n_draws=2), cascade=Cascade(at_fit_end=False), sinks=[sink]
        ),
        lambda sink: CueAlarm(PatchCue((0, 0, 8, 8), name="patch"), suspect_class=0, probe=6, sinks=[sink]),
    ],
    ids=["monitor", "test", "alarm"],
)
def test_a_lazy_head_keeps_the_seed_of_its_training(tmp_path: Path, name: str, make: Any) -> None:
    states = []
    for seed in (1, 2):
        for observed in (False, True):
            module, sink = LazyHead(BACKBONES[name]), MemorySink()
            L.seed_everything(seed, verbose=False)
            if observed:
                with pytest.warns(SaliencyWarning, match="'head' is uninitialized before the first batch"):
                    _fit(tmp_path, module, make(sink), num_sanity_val_steps=0)
                assert sink.snapshots[0].stage == "fit"
            else:
                _fit(tmp_path, module, num_sanity_val_steps=0)
            states.append(module.head.weight.detach().clone())
    assert torch.equal(states[0], states[1])
    assert torch.equal(states[2], states[3])
    assert not torch.equal(states[0], states[2])


class Committee(LinearProbe):
    """Returns the rows of two members, one after the other."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.cat([super().forward(images), super().forward(images.flip(3))])

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        raise AssertionError("a training step was made")


@pytest.mark.parametrize(
    "make",
    [
        lambda reading: SaliencyMonitor("gradient", probe=4, reading=reading),
        lambda reading: RandomizationTest("gradient", probe=4, reading=reading),
        lambda reading: CueAlarm(PatchCue((0, 0, 8, 8), name="patch"), suspect_class=0, probe=6, reading=reading),
    ],
    ids=["monitor", "test", "alarm"],
)
def test_an_ensemble_is_an_error_before_the_training(tmp_path: Path, make: Any) -> None:
    module = Committee(BACKBONES["timm resnet"])
    with pytest.raises(OutputError, match=r"class scores \[(8|12), 3\] for (4|6) samples"):
        _fit(tmp_path, module, make(ModelReading()), num_sanity_val_steps=0)
