"""What each rank does in the tests of faithfulness and of targets with names; as in `scenarios`."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor, nn

from saliency_callbacks import FaithfulnessTest, RandomizationTest, SaliencyMonitor
from saliency_callbacks.methods import ExternalMethod
from saliency_callbacks.targets import ContrastTarget, DetectionTarget, SegmentationTarget, SimilarityTarget
from saliency_callbacks.types import Snapshot
from tests.distributed.scenarios import Module, fit
from tests.grouping import grouped
from tests.trainer.runs import small_net

_N_QUERIES = 3
_N_EPOCHS = 2


class _Dense(nn.Sequential):
    """Gives each pixel a class."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 10, 3, padding=1))


class _Queries(nn.Sequential):
    """Answers as DETR does: classes and a box for each query."""

    def __init__(self) -> None:
        layers = nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(256, _N_QUERIES * 8)
        super().__init__(*layers)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        found = super().forward(images).unflatten(1, (_N_QUERIES, 8))
        # Of half the picture and more, so that they are matched wherever they move.
        return {"logits": found[..., :4], "pred_boxes": 0.5 + found[..., 4:].sigmoid() * torch.tensor([0, 0, 0.4, 0.4])}


class _PicturesAndTexts(nn.Sequential):
    """Embeds pictures, and texts as CLIP does."""

    def __init__(self) -> None:
        super().__init__(*small_net(n_classes=6), nn.Embedding(40, 8), nn.Linear(8, 6))
        # Embeddings that hardly differ would have similarities, and gains, of little more than rounding.
        with torch.no_grad():
            self[0].weight.mul_(10)

    def forward(self, images: Tensor) -> Tensor:
        for layer in list(self)[:-2]:
            images = layer(images)
        # Processes wait for the gradient of every parameter.
        return images + 0 * self.get_text_features(torch.zeros(1, 4).long())

    def get_text_features(self, input_ids: Tensor) -> Tensor:
        return self[-1](self[-2](input_ids).mean(dim=1))


class _Task(Module):
    """Trains any of these, and shards it where there is a device mesh."""

    def __init__(self, net: nn.Sequential, loss: Callable[[Any, Tensor], Tensor], learning_rate: float) -> None:
        super().__init__(learning_rate=learning_rate, noisy=False)
        self.net, self._loss = net, loss

    def loss(self, batch: Any) -> Tensor:
        return self._loss(self(batch[0]), batch[1])


class _Interrupted(_Task):
    """Is stopped by an error when it has trained for a while."""

    def on_train_epoch_start(self) -> None:
        if self.current_epoch == _N_EPOCHS - 1:
            raise OSError("the machine is taken back")


class Case(NamedTuple):
    """A network, how it is trained, and what is explained of it."""

    make: Callable[[], nn.Sequential]
    loss: Callable[[Any, Tensor], Tensor]
    target: Any


def _letters(texts: list[str]) -> Tensor:
    return torch.tensor([[ord(letter) % 40 for letter in text[:4]] for text in texts])


CASES = {
    "contrast": Case(small_net, nn.functional.cross_entropy, ContrastTarget("predicted", "second")),
    "segmentation": Case(
        _Dense,
        lambda found, labels: nn.functional.cross_entropy(found.mean((2, 3)), labels),
        SegmentationTarget(4, "predicted"),
    ),
    "detection": Case(
        _Queries,
        lambda found, labels: nn.functional.cross_entropy(found["logits"][:, 0], labels % 4),
        DetectionTarget(min_score=0, background=False),
    ),
    "prompt": Case(
        _PicturesAndTexts,
        lambda found, labels: found.square().mean(),
        SimilarityTarget(prompt="a digit", tokenizer=_letters),
    ),
}


def _task(name: str, learning_rate: float, kind: type[_Task] = _Task) -> _Task:
    with torch.random.fork_rng():
        torch.manual_seed(4)
        return kind(CASES[name].make(), CASES[name].loss, learning_rate)


def _own(model: nn.Module, inputs: Tensor, target: Tensor, samples: Tensor) -> Tensor:
    score = model(inputs.requires_grad_()).gather(1, target[:, None]).sum()
    return inputs * torch.autograd.grad(score, inputs)[0]


class _Snapshots:
    """Keeps what is written, and draws nothing."""

    def __init__(self) -> None:
        self.kept: list[Snapshot] = []

    def write(self, snapshot: Snapshot, pictures: Any) -> None:
        self.kept.append(snapshot)


def _observers(name: str, size: int, sink: _Snapshots, **changes: Any) -> tuple[FaithfulnessTest, SaliencyMonitor]:
    few = {"shares": [0.25], "replacements": ["blurred"]}
    changes = {"save_maps": False, "on_error": "raise", "target": CASES[name].target, "sinks": [sink], **changes}
    own = ExternalMethod("own", _own)
    return (
        FaithfulnessTest(["gradient", own], size, **grouped(FaithfulnessTest, **few, **changes)),
        SaliencyMonitor(["gradient", own], size, **grouped(SaliencyMonitor, **changes)),
    )


def explained(mode: str, root: Path, name: str, size: int = 5, **changes: Any) -> dict[str, Any]:
    """Test and explain weights that do not change, and return all that was found."""
    sink = _Snapshots()
    test, monitor = _observers(name, size, sink, **changes)
    run = fit(mode, root, _task(name, 0.0), test, monitor, max_epochs=1, limit_train_batches=1)
    tested = [each for one in test.result.methods.values() for each in (one.evidence, one.by_chance)]
    return {
        "metrics": {name: float(value) for name, value in run.callback_metrics.items() if "/" in name},
        "written": [_told(snapshot) for snapshot in sink.kept],
        "pins": [one.state.pins for one in (test, monitor)],
        "pinned": [one.state.pinned for one in (test, monitor)],
        "curves": [part for one in tested for part in (one.removed, one.inserted)],
    }


def _told(snapshot: Snapshot) -> dict[str, Any]:
    maps = {name: one.values for name, one in snapshot.attributions.items()}
    found = {"maps": maps, "scores": dict(snapshot.scores), "samples": dict(snapshot.sample_scores)}
    seen = snapshot.explained
    return found if seen is None else {**found, "outlines": (seen.masks, seen.boxes, seen.names)}


_SHARED = {"shard_probe": True, "internal_batch_size": 2}


def explained_ddp(rank: int, root: Path) -> dict[tuple[str, str], dict[str, Any]]:
    found = {(name, "all"): explained("ddp", root, name) for name in CASES}
    found |= {(name, "shared"): explained("ddp", root, name, **_SHARED) for name in CASES}
    # Fewer samples than ranks.
    return {**found, ("contrast", "few"): explained("ddp", root, "contrast", 1, **_SHARED)}


def explained_fsdp2(rank: int, root: Path) -> dict[tuple[str, str], dict[str, Any]]:
    found = {("contrast", "all"): explained("fsdp2", root, "contrast")}
    return found | {(name, "shared"): explained("fsdp2", root, name, **_SHARED) for name in ("detection", "prompt")}


def _interrupted(mode: str, root: Path, name: str, **changes: Any) -> dict[str, Any]:
    """Train two epochs at once; and let a training be interrupted in the second, and another one go on from there."""
    found: dict[str, Any] = {"pins": [], "metrics": []}
    kept = ModelCheckpoint(root / f"{mode}-interrupted", save_last=True)
    trainings: list[tuple[type[_Task], list[L.Callback], dict[str, Any]]] = [
        (_Task, [], {}),
        (_Interrupted, [kept], {"enable_checkpointing": True}),
        (_Task, [], {"ckpt_path": root / f"{mode}-interrupted" / "last.ckpt"}),
    ]
    for kind, callbacks, settings in trainings:
        own = _observers(name, 5, _Snapshots(), **changes)
        try:
            run = fit(mode, root, _task(name, 0.1, kind), *own, *callbacks, max_epochs=_N_EPOCHS, **settings)
            metrics = {tag: float(value) for tag, value in run.callback_metrics.items() if "/" in tag}
        except OSError as error:
            metrics = {str(error): 0.0}
        found["pins"].append([one.state.pins for one in own])
        found["metrics"].append(metrics)
    return found


def interrupted_ddp(rank: int, root: Path) -> dict[str, Any]:
    return _interrupted("ddp", root, "contrast")


def interrupted_fsdp2(rank: int, root: Path) -> dict[str, Any]:
    return _interrupted("fsdp2", root, "detection", shard_probe=True)


class _FailsOn:
    """A method that fails on some ranks; of disturbed digits only, if that is said."""

    def __init__(self, *, fails: bool, of_noise: bool) -> None:
        self.fails, self.of_noise = fails, of_noise

    def __call__(self, model: nn.Module, inputs: Tensor, target: Tensor, samples: Tensor) -> Tensor:
        # A digit has 17 shades.
        is_noisy = not torch.equal((16 * inputs).round(), 16 * inputs)
        if self.fails and (is_noisy or not self.of_noise):
            raise ValueError("not on this machine")
        return _own(model, inputs, target, samples)


class _Forgetting(L.Callback):
    """A tokenizer that fails on some ranks, once the model is trained."""

    def __init__(self, *, fails: bool) -> None:
        self.fails, self.has_trained = fails, False

    def on_train_batch_end(self, *args: Any) -> None:
        self.has_trained = True

    def __call__(self, texts: list[str]) -> Tensor:
        if self.fails and self.has_trained:
            raise OSError("vocabulary is gone")
        return _letters(texts)


def parts_fail(rank: int, root: Path) -> dict[str, Any]:
    """Let a method, or a tokenizer, fail on some ranks, and return what was said and logged."""
    found = {}
    for name, ranks, shares in (
        ("one", (1,), False),
        ("one", (1,), True),
        ("all", (0, 1), False),
        ("noise", (1,), True),
    ):
        own = ExternalMethod("own", _FailsOn(fails=rank in ranks, of_noise=name == "noise"))
        found[name, shares] = _said("contrast", root, ["gradient", own], CASES["contrast"].target, shares)
    tokenizer = _Forgetting(fails=rank == 1)
    target = SimilarityTarget(prompt="a digit", tokenizer=tokenizer)
    return {**found, "tokenizer": _said("prompt", root, ["gradient"], target, False, tokenizer)}


def _said(name: str, root: Path, methods: Any, target: Any, shares: bool, *others: L.Callback) -> dict[str, Any]:
    quiet = {"save_maps": False, "shard_probe": shares, "target": target}
    draws = {"n_draws": 2, "cascade_at_fit_end": False}
    observers = (
        SaliencyMonitor(methods, 5, **grouped(SaliencyMonitor, **quiet)),
        FaithfulnessTest(methods, 5, **grouped(FaithfulnessTest, **quiet)),
        RandomizationTest(methods, 5, **grouped(RandomizationTest, **draws, **quiet)),
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run = fit("ddp", root, _task(name, 0.1), *observers, *others, max_epochs=1)
    return {
        "told": [
            str(one.message)
            for one in caught
            if "not on this machine" in str(one.message) or "vocabulary" in str(one.message)
        ],
        "metrics": {tag: float(value) for tag, value in run.callback_metrics.items() if "/" in tag},
    }
