"""The probe is chosen once, from data that the training does not miss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from lightning.pytorch.cli import LightningCLI
from torch.utils.data import DataLoader, Dataset, TensorDataset

from saliency_callbacks import Probe, SaliencyMonitor, Storage
from saliency_callbacks.errors import ProbeError, SaliencyWarning
from saliency_callbacks.sinks import MemorySink
from tests.trainer.runs import (
    Classifier,
    Counted,
    DictClassifier,
    Dictionaries,
    RecordingLogger,
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


def test_one_label_each_of_several_that_there_can_be(tmp_path: Path) -> None:
    images, labels = digits(0, 40).tensors
    rows = torch.nn.functional.one_hot(labels, 10).float()
    for n_labels in (1, 2):
        rows[35, int(labels[35]) - 1] = n_labels - 1
        sink = MemorySink()
        run = trainer(tmp_path, SaliencyMonitor("gradient", Probe(indices=range(6)), sinks=[sink]), max_epochs=1)
        run.fit(Classifier(), train_loader(), DataLoader(TensorDataset(images, rows.clone()), 20))
        assert (sink.latest.labels is None) == (n_labels == 2)


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


class Masked(Dataset):
    """Digits as dictionaries; the mask is the digit itself, and ``classes`` the names of the first three."""

    classes = ("none", "one", "a pair")

    def __init__(self, start: int, stop: int) -> None:
        self.inner = digits(start, stop)

    def __len__(self) -> int:
        return len(self.inner)

    def __getitem__(self, index: int) -> dict[str, Any]:
        image, label = self.inner[index]
        return {"image": image, "label": label, "mask": (image > 0.5)}


def left_half(inputs: torch.Tensor) -> torch.Tensor:
    """Masks that can be written as a dotted path."""
    return (torch.arange(inputs.shape[-1]) < inputs.shape[-1] // 2).expand(len(inputs), *inputs.shape[2:])


def by_parity(inputs: torch.Tensor, labels: torch.Tensor) -> list[str]:
    """Groups that can be written as a dotted path."""
    return ["odd" if label % 2 else "even" for label in labels]


def with_masks(batch: Any) -> tuple[torch.Tensor, ...]:
    """Read a batch of :class:`Dictionaries` together with masks."""
    return batch["scan"], batch["diagnosis"], batch["scan"][:, 0] > 0.5


def _masked_run(tmp_path: Path, probe: Probe | int, module: Classifier | None = None, **changes: Any) -> Any:
    sink, logger = MemorySink(), RecordingLogger(tmp_path)
    run = trainer(
        tmp_path,
        SaliencyMonitor("gradient", probe, sinks=[sink], storage=Storage(scalars="all")),
        logger=logger,
        **changes,
    )
    data = [DataLoader(Masked(*bounds), 10) for bounds in ((0, 40), (100, 140))]
    run.fit(DictClassifier() if module is None else module, *data)
    return sink, logger, run


def _masses(sink: MemorySink, masks: torch.Tensor) -> torch.Tensor:
    maps = sink.latest.attributions["gradient"].magnitude
    return (maps * masks).flatten(1).sum(1) / maps.flatten(1).sum(1)


def test_the_masks_of_a_batch_give_region_scores_of_each_class(tmp_path: Path) -> None:
    sink, logger, run = _masked_run(tmp_path, 20)
    images, labels = digits(100, 140)[[int(name) for name in sink.latest.ids]]
    masks = images[:, 0] > 0.5
    masses = _masses(sink, masks)
    lifts = masses / masks.float().flatten(1).mean(1)
    torch.testing.assert_close(sink.latest.sample_scores["saliency/gradient/region_mass"], masses)
    for index in range(10):
        name = ("none", "one", "a_pair", *map(str, range(3, 10)))[index]
        mass, lift = f"saliency/gradient/region_mass/class_{name}", f"saliency/gradient/region_lift/class_{name}"
        assert len(logger.of(mass)) == 3
        assert logger.of(mass)[-1][1] == pytest.approx(masses[labels == index].mean().item(), rel=1e-5)
        assert logger.of(lift)[-1][1] == pytest.approx(lifts[labels == index].mean().item(), rel=1e-5)
        assert run.callback_metrics[mass] == pytest.approx(sink.latest.scores[mass])


def test_masks_go_through_the_modules_transfer_hooks(tmp_path: Path) -> None:
    class Mirrors(DictClassifier):
        def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
            return {key: value if key == "label" else value.flip(-1) for key, value in batch.items()}

    sink, _, _ = _masked_run(tmp_path, 20, Mirrors(), max_epochs=1)
    images, _ = digits(100, 140)[[int(name) for name in sink.latest.ids]]
    expected = _masses(sink, images[:, 0].flip(-1) > 0.5)
    torch.testing.assert_close(sink.latest.sample_scores["saliency/gradient/region_mass"], expected)


@pytest.mark.parametrize("precision", ["bf16-true", "64-true"])
def test_masks_in_the_trainers_precision(tmp_path: Path, precision: str) -> None:
    sink, _, _ = _masked_run(tmp_path, 4, max_epochs=1, precision=precision)
    assert sink.latest.sample_scores["saliency/gradient/region_mass"].isfinite().all()


def test_masks_and_groups_of_functions_before_those_of_the_batch(tmp_path: Path) -> None:
    here = "tests.trainer.test_probe"
    probe = Probe(20, masks=f"{here}.left_half", groups=f"{here}.by_parity")
    sink, logger, _ = _masked_run(tmp_path, probe, max_epochs=1)
    masses = _masses(sink, left_half(torch.zeros(20, 1, 8, 8)))
    for name, rest in (("even", 0), ("odd", 1)):
        mean = masses[sink.latest.labels % 2 == rest].mean().item()
        assert logger.of(f"saliency/gradient/region_mass/group_{name}")[-1][1] == pytest.approx(mean, rel=1e-5)
        assert logger.of(f"saliency/gradient/region_lift/group_{name}")[-1][1] == pytest.approx(2 * mean, rel=1e-5)


def test_masks_that_the_unpack_function_returns(tmp_path: Path) -> None:
    sink = MemorySink()
    probe = Probe(4, unpack_batch="tests.trainer.test_probe.with_masks")
    run = trainer(tmp_path, SaliencyMonitor("gradient", probe=probe, sinks=[sink]), max_epochs=1)
    data = [DataLoader(Dictionaries(digits(*b), "scan", "diagnosis"), 10) for b in ((0, 40), (100, 140))]
    run.fit(DictClassifier("scan", "diagnosis"), *data)
    images, _ = digits(100, 140)[[int(name) for name in sink.latest.ids]]
    torch.testing.assert_close(
        sink.latest.sample_scores["saliency/gradient/region_mass"], _masses(sink, images[:, 0] > 0.5)
    )


def test_masks_of_another_shape_are_an_error_before_training(tmp_path: Path) -> None:
    run = trainer(tmp_path, SaliencyMonitor("gradient", probe=Probe(4, masks=lambda inputs: inputs[:, 0, ::2])))
    with pytest.raises(ProbeError, match=r"\[4, 4, 8\].*\[4, 1, 8, 8\].*expected masks \[4, 8, 8\]"):
        run.fit(Classifier(), train_loader(), val_loader())
    assert run.global_step == 0


def test_masks_added_to_a_resumed_run_leave_its_probe_as_it_is(tmp_path: Path) -> None:
    _, _, first = _masked_run(tmp_path, 4, max_epochs=1)
    first.save_checkpoint(tmp_path / "one.ckpt")
    sink = MemorySink()
    monitor = SaliencyMonitor("gradient", probe=Probe(4, masks=left_half, groups=by_parity), sinks=[sink])
    data = [DataLoader(Masked(*bounds), 10) for bounds in ((0, 40), (100, 140))]
    # Another probe than the checkpoint's would warn, which is an error here.
    trainer(tmp_path, monitor).fit(DictClassifier(), *data, ckpt_path=tmp_path / "one.ckpt")
    assert stages(sink) == [("fit", 1)]
    assert "saliency/gradient/region_mass/group_even" in sink.latest.scores
    assert sink.latest.scores["saliency/gradient/drift_initial"] > 0


def _configured(config: Path, monkeypatch: pytest.MonkeyPatch) -> LightningCLI:
    silent = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    given = ["--config", str(config), "--trainer.accelerator=cpu", *(f"--trainer.{name}=false" for name in silent)]
    monkeypatch.setattr("sys.argv", ["train.py", *given])
    return LightningCLI(Classifier, run=False, save_config_callback=None, seed_everything_default=0)


def test_masks_and_groups_in_a_configuration_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = "tests.trainer.test_probe"
    written = {"size": 5, "masks": f"{here}.left_half", "groups": f"{here}.by_parity"}
    probe = {"class_path": "saliency_callbacks.Probe", "init_args": {**written, "unpack_batch": f"{here}.with_masks"}}
    callback = {"class_path": "saliency_callbacks.SaliencyMonitor", "init_args": {"probe": probe}}
    config, dumped = tmp_path / "config.yaml", tmp_path / "dumped.yaml"
    config.write_text(yaml.safe_dump({"trainer": {"callbacks": [callback]}}))
    first = _configured(config, monkeypatch)
    dumped.write_text(first.parser.dump(first.config))
    probes = [
        other.probe
        for cli in (first, _configured(dumped, monkeypatch))
        for other in cli.trainer.callbacks
        if isinstance(other, SaliencyMonitor)
    ]
    assert len(probes) == 2
    assert probes[0] == probes[1]
    images, labels = digits(100, 105)[:]
    for found in probes:
        frozen = found.freeze({"scan": images, "diagnosis": labels})
        assert torch.equal(frozen.masks, left_half(images))
        assert list(frozen.groups) == by_parity(images, labels)
