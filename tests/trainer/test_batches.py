"""Batches and forwards as others write them, in a real Trainer; and first messages that are followed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from saliency_callbacks import CueAlarm, ModelReading, Probe, RandomizationTest, SaliencyMonitor, TokenSaliencyMonitor
from saliency_callbacks import explain as explained
from saliency_callbacks.errors import ConfigurationError, SaliencyWarning
from saliency_callbacks.probe import PatchCue
from saliency_callbacks.sinks import MemorySink
from saliency_callbacks.types import Snapshot
from tests.trainer.runs import Classifier, Dictionaries, digits, small_net, trainer

DIGITS = digits()
X, Y = DIGITS.tensors


class Named(Classifier):
    """Trained on dictionaries."""

    def loss(self, batch: Any) -> Tensor:
        return nn.functional.cross_entropy(self.net(batch["image"]), batch["label"])


class AnyName(Named):
    def forward(self, **batch: Any) -> Any:
        logits = self.net(batch["image"])
        return {"loss": nn.functional.cross_entropy(logits, batch["label"]), "logits": logits}


class Whole(Named):
    def forward(self, batch: Any) -> Any:
        return self.net(batch["image"])


class Required(Named):
    def forward(self, image: Tensor, label: Tensor) -> Any:
        logits = self.net(image)
        return nn.functional.cross_entropy(logits, label), logits


class ObjectModel(Classifier):
    def forward(self, batch: Any) -> Tensor:
        return self.net(batch.image)

    def loss(self, batch: Any) -> Tensor:
        return nn.functional.cross_entropy(self.net(batch.image), batch.gt_label)


@dataclass
class ImageBatch:
    image: Tensor
    gt_label: Tensor
    image_path: list[str] | None = None


def as_objects(rows: list[dict[str, Tensor]]) -> ImageBatch:
    return ImageBatch(
        torch.stack([row["image"] for row in rows]), torch.stack([row["label"] for row in rows]), ["path"] * len(rows)
    )


def first_snapshot(tmp_path: Path, module: Any, loader: DataLoader, **settings: Any) -> Snapshot:
    sink = MemorySink()
    monitor = SaliencyMonitor("gradient", **{"probe": 8, **settings}, sinks=[sink])
    trainer(tmp_path, monitor, max_epochs=1).fit(module, loader, loader)
    return sink.snapshots[0]


def by_hand(module: Any, snapshot: Snapshot, labels: Tensor) -> Tensor:
    """Gradient of the label's logit, by autograd alone."""
    images = X[[int(name) for name in snapshot.ids]].requires_grad_()
    (gradient,) = torch.autograd.grad(module.net(images).gather(1, labels[:, None]).sum(), images)
    return gradient


@pytest.mark.filterwarnings("ignore:Trying to infer the `batch_size`")
@pytest.mark.parametrize(
    ("kind", "collate"),
    [(AnyName, None), (Whole, None), (Required, None), (ObjectModel, as_objects)],
)
def test_each_forward_is_fed_what_it_takes(tmp_path: Path, kind: Any, collate: Any) -> None:
    module = kind()
    start = {name: value.clone() for name, value in module.state_dict().items()}
    snapshot = first_snapshot(tmp_path, module, DataLoader(Dictionaries(DIGITS), 12, collate_fn=collate))
    module.load_state_dict(start)
    assert snapshot.labels.tolist() == Y[[int(name) for name in snapshot.ids]].tolist()
    assert torch.allclose(
        snapshot.attributions["gradient"].values, by_hand(module, snapshot, snapshot.labels), atol=1e-6
    )


@pytest.mark.parametrize("kind", [AnyName, Whole])
def test_a_forward_that_is_tried_leaves_the_training_as_it_is(tmp_path: Path, kind: Any) -> None:
    ends = []
    for callbacks in ([], [SaliencyMonitor("gradient", probe=8)]):
        torch.manual_seed(3)
        module = kind(small_net(noisy=True))
        loaders = [DataLoader(Dictionaries(DIGITS), 12, shuffle=shuffle) for shuffle in (True, False)]
        trainer(tmp_path, *callbacks, max_epochs=2).fit(module, *loaders)
        ends.append((*module.state_dict().values(), torch.get_rng_state()))
    assert all(torch.equal(plain, observed) for plain, observed in zip(*ends, strict=True))


@pytest.mark.parametrize("kind", [AnyName, Required])
def test_the_other_callbacks_feed_as_the_monitor_does(tmp_path: Path, kind: Any) -> None:
    loader = DataLoader(Dictionaries(DIGITS), 12)
    sinks = MemorySink(), MemorySink()
    callbacks = [
        CueAlarm(PatchCue(box=(-3, -3, 3, 3)), suspect_class=0, probe=12, sinks=[sinks[0]], on_error="raise"),
        RandomizationTest("gradient", probe=4, sinks=[sinks[1]], on_error="raise"),
    ]
    trainer(tmp_path, *callbacks, max_epochs=1).fit(kind(), loader, loader)
    assert all(sink.snapshots for sink in sinks)


def test_a_text_model_that_asks_for_labels_is_given_them(tmp_path: Path) -> None:
    class Texts(Classifier):
        def __init__(self) -> None:
            super().__init__(nn.Sequential(nn.Embedding(20, 6), nn.Flatten(), nn.Linear(30, 3)))

        def forward(self, **batch: Any) -> Any:
            logits = self.net(batch["input_ids"])
            return nn.functional.cross_entropy(logits, batch["labels"]), logits

        def loss(self, batch: Any) -> Tensor:
            return self(**batch)[0]

    rows = [{"input_ids": torch.randint(1, 20, (5,)), "labels": torch.tensor(row % 3)} for row in range(24)]
    sink = MemorySink()
    monitor = TokenSaliencyMonitor(methods="gradient", probe=6, sinks=[sink], on_error="raise")
    loader: DataLoader = DataLoader(rows, 6)  # type: ignore[arg-type]
    trainer(tmp_path, monitor, max_epochs=1).fit(Texts(), loader, loader)
    assert sink.snapshots[0].labels.bincount().tolist() == [2, 2, 2]


def test_labels_of_binary_cross_entropy_have_an_accuracy_and_balance(tmp_path: Path) -> None:
    class Binary(Classifier):
        def __init__(self) -> None:
            super().__init__(small_net(n_classes=1))

        def loss(self, batch: Any) -> Tensor:
            return nn.functional.binary_cross_entropy_with_logits(self(batch[0])[:, 0], batch[1])

    rare = (torch.arange(len(X)) >= len(X) - 6).float()
    snapshot = first_snapshot(tmp_path, Binary(), DataLoader(TensorDataset(X, rare), 12))
    assert snapshot.labels.bincount().tolist() == [4, 4]
    assert snapshot.predictions is not None


def test_two_columns_that_could_be_labels_are_told_of_once(tmp_path: Path) -> None:
    loader = DataLoader(TensorDataset(X, torch.arange(len(X)) // 3 % 10, Y), 12)
    with pytest.warns(SaliencyWarning, match=r"Probe\(labels=1\) or Probe\(labels=2\)") as caught:
        first_snapshot(tmp_path, Classifier(), loader)
    assert sum("could be the labels" in str(warning.message) for warning in caught) == 1
    snapshot = first_snapshot(tmp_path, Classifier(), loader, probe=Probe(8, labels=2))
    assert snapshot.labels.tolist() == Y[[int(name) for name in snapshot.ids]].tolist()


class Renumbered(Dataset):
    """Digits as even and odd ones, while ``classes`` and ``targets`` are those of the digits."""

    classes = tuple(f"digit {number}" for number in range(10))

    def __init__(self) -> None:
        self.targets = Y.tolist()

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return X[index], self.targets[index] % 2


def test_names_of_other_labels_are_not_shown(tmp_path: Path) -> None:
    with pytest.warns(SaliencyWarning, match="its stored labels differ from those it delivers"):
        snapshot = first_snapshot(tmp_path, Classifier(), DataLoader(Renumbered(), 12))
    assert snapshot.labels.bincount().tolist() == [4, 4]
    assert snapshot.probe.class_names is None


def test_names_of_the_configuration_of_the_model_are_shown(tmp_path: Path) -> None:
    module = Classifier()
    module.net.config = SimpleNamespace(id2label={number: f"digit {number}" for number in range(10)})
    with pytest.warns(SaliencyWarning) as caught:
        snapshot = first_snapshot(tmp_path, module, DataLoader(TensorDataset(X, Y), 12), probe=100)
    assert snapshot.probe.class_names == Renumbered.classes
    assert not any("names" in str(warning.message) for warning in caught)


def first_message(tmp_path: Path, module: Any, data: Any, **settings: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        first_snapshot(tmp_path, module, data if isinstance(data, Batches) else DataLoader(data, 12), **settings)
    return str(caught.value)


class Batches:
    """A loader without a dataset."""

    def __len__(self) -> int:
        return 2

    def __iter__(self) -> Any:
        return iter([(X[:12], Y[:12]), (X[12:24], Y[12:24])])


def test_two_views(tmp_path: Path) -> None:
    class Views(Classifier):
        def loss(self, batch: Any) -> Tensor:
            return (self(batch[0][0]) - self(batch[0][1])).square().mean()

    data = [((image, image.flip(-1)), label) for image, label in DIGITS]
    message = first_message(tmp_path, Views(), data)
    assert "unpack_batch" in message
    assert "attribute_to" not in message
    probe = Probe(8, unpack_batch=lambda batch: (batch[0][0], batch[1]))
    assert first_snapshot(tmp_path, Views(), DataLoader(data, 12), probe=probe).labels is not None


def test_text_inputs(tmp_path: Path) -> None:
    class Texts(Classifier):
        def __init__(self) -> None:
            super().__init__(nn.Sequential(nn.Embedding(20, 6), nn.Flatten(), nn.Linear(30, 10)))

        def forward(self, input_ids: Tensor) -> Tensor:
            return self.net(input_ids)

        def loss(self, batch: Any) -> Tensor:
            return nn.functional.cross_entropy(self(batch["input_ids"]), batch["label"])

    data = [{"input_ids": torch.randint(1, 20, (5,)), "label": label} for _, label in DIGITS]
    assert "TokenSaliencyMonitor" in first_message(tmp_path, Texts(), data)
    sink, loader = MemorySink(), DataLoader(data, 12)  # type: ignore[arg-type, var-annotated]
    monitor = TokenSaliencyMonitor(methods="gradient", probe=4, sinks=[sink])
    trainer(tmp_path, monitor, max_epochs=1).fit(Texts(), loader, loader)
    assert sink.snapshots

    class Raw(Texts):
        def loss(self, batch: Any) -> Tensor:
            return self.net[2].weight.sum()

    for data in ([("a text", 1)] * 24, [{"text": "a text", "label": 1}] * 24):
        assert "'input_ids', and attach TokenSaliencyMonitor(tokenizer=…)" in first_message(tmp_path, Raw(), data)


def test_tabular_data(tmp_path: Path) -> None:
    message = first_message(tmp_path, Classifier(nn.Linear(7, 10)), TensorDataset(torch.rand(48, 7), Y))
    assert "Tabular data [N, features] is not supported" in message


def test_a_forecaster_of_several_inputs(tmp_path: Path) -> None:
    class Forecaster(Classifier):
        def __init__(self) -> None:
            super().__init__(nn.Linear(5, 1))

        def forward(self, x: Any) -> Any:
            return self.net(x["encoder_cont"]).mean(dim=1) + x["decoder_cont"].mean(dim=(1, 2))[:, None]

        def loss(self, batch: Any) -> Tensor:
            return (self(batch[0]) - batch[1]).square().mean()

    data = [({"encoder_cont": torch.rand(12, 5), "decoder_cont": torch.rand(4, 5)}, torch.rand(1)) for _ in range(24)]
    message = first_message(tmp_path, Forecaster(), data, probe=Probe(8, labels=None))
    assert "attribute_to='encoder_cont'" in message
    settings = {"reading": ModelReading(attribute_to="encoder_cont"), "probe": Probe(8, labels=None)}
    values = first_snapshot(tmp_path, Forecaster(), DataLoader(data, 12), **settings).attributions["gradient"].values
    assert values.shape[2:] == (5,)


def test_a_loader_without_a_dataset(tmp_path: Path) -> None:
    message = first_message(tmp_path, Classifier(), Batches())
    assert "Probe.from_tensors(inputs, labels)" in message
    probe = Probe.from_tensors(X[:4], Y[:4])
    assert first_snapshot(tmp_path, Classifier(), Batches(), probe=probe).labels.tolist() == Y[:4].tolist()


class Segmentation(Classifier):
    def __init__(self) -> None:
        super().__init__(nn.Conv2d(1, 2, 3, padding=1))

    def forward(self, images: Tensor) -> Any:
        return {"out": self.net(images)}

    def loss(self, batch: Any) -> Tensor:
        return nn.functional.cross_entropy(self(batch[0])["out"], batch[1])


def test_segmentation(tmp_path: Path) -> None:
    data = TensorDataset(X, (X[:, 0] > 0.5).long())
    message = first_message(tmp_path, Segmentation(), data, target=1)
    example = "lambda output: output['out'].mean(dim=(2, 3))"
    assert example in message
    module = Segmentation()
    found = explained(module, X[:4], methods="gradient", target=1, output_fn=eval(example))["gradient"].values
    images = X[:4].clone().requires_grad_()
    (expected,) = torch.autograd.grad(module.net(images)[:, 1].mean(dim=(1, 2)).sum(), images)
    assert torch.allclose(found, expected, atol=1e-7)
