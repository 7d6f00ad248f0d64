"""The probe is chosen once, from data that the training does not miss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from saliency_callbacks import Probe, SaliencyMonitor
from saliency_callbacks.errors import ProbeError, SaliencyWarning
from saliency_callbacks.sinks import MemorySink
from tests.trainer.runs import (
    Classifier,
    Counted,
    DictClassifier,
    Dictionaries,
    Stream,
    digits,
    stages,
    train_loader,
    trainer,
    val_loader,
)


class CountingLoader(DataLoader):
    """Counts how often it is iterated."""

    iterations = 0

    def __iter__(self) -> Any:
        self.iterations += 1
        return super().__iter__()


def test_the_probe_is_class_balanced_and_the_same_at_each_epoch(tmp_path: Path) -> None:
    sink = MemorySink()
    trainer(tmp_path, SaliencyMonitor("gradient", probe=20, sinks=[sink])).fit(
        Classifier(), train_loader(), val_loader()
    )
    assert len(sink.snapshots) == 3
    assert torch.bincount(sink.latest.labels, minlength=10).tolist() == [2] * 10
    for snapshot in sink.snapshots:
        assert snapshot.ids == sink.latest.ids
        assert snapshot.metadata["probe"] == sink.latest.metadata["probe"]
        assert torch.equal(snapshot.attributions["gradient"].target, sink.latest.labels)


def test_two_runs_choose_the_same_probe_whatever_the_seed(tmp_path: Path) -> None:
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        sink = MemorySink()
        run = trainer(tmp_path, SaliencyMonitor("gradient", probe=5, sinks=[sink]), max_epochs=1)
        run.fit(Classifier(seed=seed), train_loader(), val_loader())
        found.append((sink.latest.ids, sink.latest.metadata["probe"]))
    assert found[0] == found[1]


def test_a_probe_larger_than_the_dataset_uses_all_and_warns(tmp_path: Path) -> None:
    sink = MemorySink()
    run = trainer(tmp_path, SaliencyMonitor("gradient", probe=30, sinks=[sink]), max_epochs=1)
    with pytest.warns(SaliencyWarning, match=r"30.*7|7.*30"):
        run.fit(Classifier(), train_loader(), DataLoader(digits(100, 107), 7))
    assert sink.latest.ids == tuple("0123456")


def test_the_users_loader_is_not_iterated_and_its_dataset_read_for_the_probe_only(tmp_path: Path) -> None:
    reads = {}
    for monitored in (False, True):
        dataset = Counted(digits(100, 140))
        loader = CountingLoader(dataset, 20)
        callbacks = [SaliencyMonitor("gradient", probe=6)] if monitored else []
        trainer(tmp_path, *callbacks, max_epochs=3).fit(Classifier(), train_loader(), loader)
        reads[monitored] = (loader.iterations, dataset.reads)
    assert reads[True][0] == reads[False][0]
    assert len(reads[True][1]) - len(reads[False][1]) == 6


def test_the_loader_is_built_by_the_trainer_alone(tmp_path: Path) -> None:
    class Builds(Classifier):
        built = 0

        def val_dataloader(self) -> DataLoader:
            self.built += 1
            return val_loader()

    counts = []
    for callbacks in ([], [SaliencyMonitor("gradient", probe=4)]):
        module = Builds()
        trainer(tmp_path, *callbacks).fit(module, train_loader())
        counts.append(module.built)
    assert counts == [1, 1]


def test_given_samples_are_explained_and_the_dataset_is_not_read(tmp_path: Path) -> None:
    dataset = Counted(digits(100, 140))
    reference = Counted(digits(100, 140))
    trainer(tmp_path).fit(Classifier(), train_loader(), DataLoader(reference, 20))
    images, labels = digits(200, 203)[:]
    sink = MemorySink()
    monitor = SaliencyMonitor("gradient", probe=Probe.from_tensors(images, labels, ids=["a", "b", "c"]), sinks=[sink])
    trainer(tmp_path, monitor).fit(Classifier(), train_loader(), DataLoader(dataset, 20))
    assert sink.latest.ids == ("a", "b", "c")
    assert sink.latest.labels.tolist() == labels.tolist()
    assert stages(sink) == [("initial", 0), ("fit", 0), ("fit", 1)]
    assert dataset.reads == reference.reads


def test_given_samples_need_no_validation_data(tmp_path: Path) -> None:
    sink = MemorySink()
    monitor = SaliencyMonitor("gradient", probe=Probe.from_tensors(*digits(200, 203)[:]), sinks=[sink])
    trainer(tmp_path, monitor).fit(Classifier(), train_loader())
    assert stages(sink) == [("initial", 0), ("fit", 0), ("fit", 1)]


def test_the_training_data_without_validation_is_observed_at_train_epochs(tmp_path: Path) -> None:
    sink = MemorySink()
    run = trainer(tmp_path, SaliencyMonitor("gradient", probe=Probe(4, source="train"), sinks=[sink]))
    run.fit(Classifier(), train_loader())
    assert stages(sink) == [("initial", 0), ("fit", 0), ("fit", 1)]
    assert run.callback_metrics["saliency/gradient/drift_previous"] > 0


def test_the_training_data_with_validation_is_observed_at_validations(tmp_path: Path) -> None:
    sink = MemorySink()
    monitor = SaliencyMonitor("gradient", probe=Probe(indices=[3, 1], source="train"), sinks=[sink])
    trainer(tmp_path, monitor, val_check_interval=0.5, max_epochs=1).fit(Classifier(), train_loader(), val_loader())
    assert stages(sink) == [("initial", 0), ("fit", 0), ("fit", 0)]
    assert sink.latest.labels.tolist() == digits().tensors[1][[3, 1]].tolist()


def test_another_of_several_loaders(tmp_path: Path) -> None:
    sink = MemorySink()
    monitor = SaliencyMonitor("gradient", probe=Probe(indices=[0, 2], dataloader_idx=1), sinks=[sink])
    loaders = [val_loader(), DataLoader(digits(300, 310), 10)]
    run = trainer(tmp_path, monitor, max_epochs=1)
    run.fit(Classifier(), train_loader(), loaders)
    assert sink.latest.labels.tolist() == digits(300, 310).tensors[1][[0, 2]].tolist()
    assert "saliency/gradient/gini" in run.callback_metrics


def test_a_loader_out_of_range_is_an_error_before_training(tmp_path: Path) -> None:
    run = trainer(tmp_path, SaliencyMonitor("gradient", probe=Probe(4, dataloader_idx=2)))
    with pytest.raises(ProbeError, match=r"dataloader_idx=2, but there are 2 val dataloaders"):
        run.fit(Classifier(), train_loader(), [val_loader(), val_loader()])
    assert run.global_step == 0


def test_no_validation_data_is_an_error_before_training_that_names_the_fix(tmp_path: Path) -> None:
    run = trainer(tmp_path, SaliencyMonitor("gradient"))
    with pytest.raises(ProbeError, match=r"no validation data.*source='train'.*from_tensors"):
        run.fit(Classifier(), train_loader())
    assert run.global_step == 0


def test_dictionaries_are_read_by_the_usual_names(tmp_path: Path) -> None:
    sink = MemorySink()
    data = [DataLoader(Dictionaries(digits(*bounds)), 10) for bounds in ((0, 40), (100, 140))]
    trainer(tmp_path, SaliencyMonitor("gradient", probe=4, sinks=[sink]), max_epochs=1).fit(DictClassifier(), *data)
    expected = digits(100, 140).tensors[1][[int(name) for name in sink.latest.ids]]
    assert sink.latest.labels.tolist() == expected.tolist()


def test_a_batch_that_cannot_be_read_says_what_it_is_and_how_to_read_it(tmp_path: Path) -> None:
    def data() -> list[DataLoader]:
        return [DataLoader(Dictionaries(digits(*b), "scan", "diagnosis"), 10) for b in ((0, 40), (100, 140))]

    run = trainer(tmp_path, SaliencyMonitor("gradient", probe=4))
    with pytest.raises(ProbeError, match=r"scan.*diagnosis.*unpack_batch"):
        run.fit(DictClassifier("scan", "diagnosis"), *data())
    assert run.global_step == 0
    sink = MemorySink()
    probe = Probe(4, unpack_batch="tests.trainer.runs.as_pair")
    run = trainer(tmp_path, SaliencyMonitor("gradient", probe=probe, sinks=[sink]), max_epochs=1)
    run.fit(DictClassifier("scan", "diagnosis"), *data())
    assert len(sink.latest.labels.unique()) == 4


def test_an_iterable_dataset_is_read_from_a_copy(tmp_path: Path) -> None:
    class CountedStream(Stream):
        started = 0

        def __iter__(self):
            self.started += 1
            return super().__iter__()

    started = []
    for monitored in (False, True):
        sink, stream = MemorySink(), CountedStream(digits(100, 140))
        callbacks = [SaliencyMonitor("gradient", probe=5, sinks=[sink])] if monitored else []
        trainer(tmp_path, *callbacks).fit(Classifier(), train_loader(), DataLoader(stream, 10))
        started.append(stream.started)
    assert started[0] == started[1]
    assert len(sink.snapshots) == 3
    expected = digits(100, 140).tensors[1][[int(name) for name in sink.latest.ids]]
    assert sink.latest.labels.tolist() == expected.tolist()


def test_the_modules_transfer_hooks_prepare_the_probe_as_for_validation(tmp_path: Path) -> None:
    class Scales(Classifier):
        def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
            images, labels = batch
            if self.trainer.training:
                images = images + torch.randn_like(images)
            return images * 3, labels

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            if torch.is_grad_enabled() and not self.training:
                explained.append(images.detach().clone())
            return super().forward(images)

    explained: list[torch.Tensor] = []
    run = trainer(tmp_path, SaliencyMonitor("gradient", probe=Probe(indices=[0, 5, 9])), max_epochs=1)
    run.fit(Scales(), train_loader(), val_loader())
    assert len(explained) == 2
    for images in explained:
        torch.testing.assert_close(images, digits(100, 140).tensors[0][[0, 5, 9]] * 3)


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true", "64-true"])
def test_reduced_precision_is_the_trainers(tmp_path: Path, precision: str) -> None:
    class Types(Classifier):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            logits = super().forward(images)
            if torch.is_grad_enabled() and not self.training:
                explained.append((images.dtype, logits.dtype))
            else:
                trained.append((images.dtype, logits.dtype))
            return logits

    explained: list[Any] = []
    trained: list[Any] = []
    sink = MemorySink()
    run = trainer(tmp_path, SaliencyMonitor(probe=4, sinks=[sink]), max_epochs=1, precision=precision)
    run.fit(Types(), train_loader(), val_loader())
    assert set(explained) == set(trained)
    assert len(sink.snapshots) == 2
    gradient = sink.latest.attributions["gradient"]
    assert gradient.values.dtype == (torch.float64 if precision == "64-true" else torch.float32)
    assert gradient.values.abs().sum() > 0
    assert sink.pictures[-1]["saliency/gradient"].std() > 0
