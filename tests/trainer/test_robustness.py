"""What goes wrong in an observation does not go wrong in the training."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch import callbacks as lightning_callbacks
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from saliency_callbacks import Appearance, Probe, SaliencyMonitor, Storage
from saliency_callbacks.errors import DegenerateMapWarning, SaliencyWarning
from saliency_callbacks.methods import IntegratedGradients
from saliency_callbacks.sinks import MemorySink, read_index, read_maps
from tests.trainer.runs import Classifier, digits, small_net, stages, train_loader, trainer, val_loader


class FailsOnce(Classifier):
    """Fails in the explanation after ``epoch``, and only there."""

    def __init__(self, epoch: int, error: BaseException) -> None:
        super().__init__(small_net(noisy=True))
        self.epoch, self.error = epoch, error

    def forward(self, images: Tensor) -> Tensor:
        is_explained = torch.is_grad_enabled() and not self.training
        if is_explained and self.trainer.current_epoch == self.epoch and self.trainer.global_step:
            raise self.error
        return super().forward(images)


class Diverges(Classifier):
    """Has weights that are not finite from the second epoch on."""

    def on_train_epoch_start(self) -> None:
        if self.current_epoch == 1:
            with torch.no_grad():
                self.net[-1].weight.fill_(float("nan"))


class Broken(MemorySink):
    """Fails at its second observation."""

    def write(self, snapshot: Any, pictures: Any) -> None:
        super().write(snapshot, pictures)
        if len(self.snapshots) == 2:
            raise OSError("the disk is full")


def test_a_failed_observation_is_skipped_with_a_warning(tmp_path: Path) -> None:
    sink = MemorySink()
    run = trainer(tmp_path, SaliencyMonitor("gradient", probe=4, sinks=[sink]), max_epochs=3)
    with pytest.warns(SaliencyWarning, match=r"epoch 1 is skipped \(RuntimeError: no luck\).*on_error='raise'") as seen:
        run.fit(FailsOnce(1, RuntimeError("no luck")), train_loader(), val_loader())
    assert len([one for one in seen if "is skipped" in str(one.message)]) == 1
    assert stages(sink) == [("initial", 0), ("fit", 0), ("fit", 2)]
    assert run.current_epoch == 3
    assert "saliency/gradient/drift_previous" in run.callback_metrics


def test_a_failed_first_observation_logs_nothing(tmp_path: Path) -> None:
    class FailsAtFirst(Classifier):
        def forward(self, images: Tensor) -> Tensor:
            if torch.is_grad_enabled() and not self.training and not self.trainer.global_step:
                raise RuntimeError("no luck")
            return super().forward(images)

    class Records(L.pytorch.loggers.CSVLogger):
        def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
            logged.append((step, set(metrics)))

    logged: list[Any] = []
    sink = MemorySink()
    run = trainer(
        tmp_path, SaliencyMonitor("gradient", probe=4, sinks=[sink]), logger=Records(tmp_path), log_every_n_steps=99
    )
    with pytest.warns(SaliencyWarning, match="no luck"):
        run.fit(FailsAtFirst(), train_loader(), val_loader())
    assert [step for step, _ in logged] == [3, 7]
    assert stages(sink) == [("fit", 0), ("fit", 1)]
    assert "saliency/gradient/drift_initial" in sink.latest.scores


def test_on_error_raise_raises(tmp_path: Path) -> None:
    run = trainer(tmp_path, SaliencyMonitor("gradient", probe=4, on_error="raise"), max_epochs=3)
    with pytest.raises(RuntimeError, match="no luck"):
        run.fit(FailsOnce(1, RuntimeError("no luck")), train_loader(), val_loader())
    assert run.current_epoch == 1


def test_an_unreadable_probe_found_late_does_not_end_the_training(tmp_path: Path) -> None:
    run = trainer(
        tmp_path, SaliencyMonitor("gradient", probe=Probe(4, dataloader_idx=7)), max_epochs=2,
        check_val_every_n_epoch=2, num_sanity_val_steps=0,
    )  # fmt: skip
    with (
        pytest.warns(SaliencyWarning, match="untrained model is not observed"),
        pytest.warns(SaliencyWarning, match=r"is skipped \(ProbeError: dataloader_idx=7"),
    ):
        run.fit(Classifier(), train_loader(), val_loader())
    assert run.current_epoch == 2


@pytest.mark.filterwarnings("ignore:Found 1 module")
@pytest.mark.parametrize("error", [RuntimeError("no luck"), KeyboardInterrupt()], ids=["error", "interrupt"])
def test_an_interrupted_observation_leaves_the_model_as_it_was(tmp_path: Path, error: BaseException) -> None:
    class Notices(L.Callback):
        def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            before.append(_traces(pl_module))

        def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
            after.append(_traces(pl_module))

    before: list[Any] = []
    after: list[Any] = []
    module = FailsOnce(1, error)
    module.net[0].eval()
    run = trainer(tmp_path, Notices(), SaliencyMonitor(probe=4, on_error="raise"), max_epochs=3, num_sanity_val_steps=0)
    with pytest.raises((RuntimeError, SystemExit, KeyboardInterrupt)):
        run.fit(module, train_loader(), val_loader())
    assert len(after) == 1
    assert before[-1] == after[0]


def _traces(module: nn.Module) -> Any:
    return (
        [each.training for each in module.modules()],
        [parameter.requires_grad for parameter in module.parameters()],
        [len(each._forward_hooks) + len(each._forward_pre_hooks) for each in module.modules()],
        [buffer.tolist() for buffer in module.buffers()],
        torch.get_rng_state().tolist(),
    )


def test_a_sink_that_fails_once_is_reported_and_used_again(tmp_path: Path) -> None:
    def scores(*sinks: MemorySink) -> list[dict[str, float]]:
        witness = MemorySink()
        monitor = SaliencyMonitor("gradient", probe=4, sinks=[*sinks, witness])
        trainer(tmp_path, monitor, max_epochs=4).fit(Classifier(), train_loader(), val_loader())
        assert len(witness.snapshots) == 5
        return [dict(snapshot.scores) for snapshot in witness.snapshots]

    expected = scores()
    broken = Broken()
    with pytest.warns(SaliencyWarning) as seen:
        assert scores(broken) == expected, "its failure does not change any drift"
    assert len([one for one in seen if "Broken failed: OSError: the disk is full" in str(one.message)]) == 1
    assert len(broken.snapshots) == 5
    assert len(read_index(tmp_path / "saliency-1")["observations"]) == 5


@pytest.mark.parametrize("style", ["overlay", "signed"])
@pytest.mark.filterwarnings("default::saliency_callbacks.errors.DegenerateMapWarning")
def test_weights_that_are_not_finite_warn_and_the_run_goes_on(tmp_path: Path, style: Any) -> None:
    images = digits(100, 103).tensors[0]
    sink = MemorySink()
    probe = Probe.from_tensors(images, [0, 1, 2], ids=["nail", "pin", "tack"])
    monitor = SaliencyMonitor(
        "gradient", probe, sinks=[sink], appearance=Appearance(style=style), storage=Storage(save_maps=False)
    )
    run = trainer(tmp_path, monitor, max_epochs=3)
    with pytest.warns(DegenerateMapWarning, match=r"gradient: 3 of 3 maps are not finite \(samples nail, pin, tack\)"):
        run.fit(Diverges(), train_loader(), val_loader())
    assert stages(sink) == [("initial", 0), ("fit", 0), ("fit", 1), ("fit", 2)]
    finite = [torch.tensor(list(snapshot.scores.values())).isfinite() for snapshot in sink.snapshots]
    assert finite[1].all()
    for tag in ("drift_previous", "drift_initial", "entropy", "gini"):
        assert torch.tensor(sink.latest.scores[f"saliency/gradient/{tag}"]).isnan()
        assert run.callback_metrics[f"saliency/gradient/{tag}"].isfinite(), "early stopping ends a training at NaN"
    assert sink.pictures[-1]["saliency/gradient"].shape == sink.pictures[0]["saliency/gradient"].shape


def test_maps_that_are_not_finite_are_kept_on_disk(tmp_path: Path) -> None:
    trainer(tmp_path, SaliencyMonitor("gradient", probe=4), max_epochs=3).fit(Diverges(), train_loader(), val_loader())
    observations = read_index(tmp_path / "saliency")["observations"]
    maps = [read_maps(tmp_path / "saliency", entry) for entry in observations]
    for part in ("values", "magnitude"):
        is_finite = [bool(one[f"gradient/{part}"].isfinite().all()) for one in maps]
        is_nan = [bool(one[f"gradient/{part}"].isnan().all()) for one in maps]
        assert is_finite == [True, True, False, False]
        assert is_nan == [False, False, True, True]
    assert [entry["scores"]["saliency/gradient/gini"] is None for entry in observations] == [False, False, True, True]


def test_one_map_without_evidence_is_left_out_of_the_mean(tmp_path: Path) -> None:
    images = digits(100, 103).tensors[0].clone()
    images[1] = 0
    sink = MemorySink()
    monitor = SaliencyMonitor("input_x_gradient", Probe.from_tensors(images, [0, 1, 2]), sinks=[sink])
    with pytest.warns(DegenerateMapWarning, match=r"1 of 3 maps are zero or constant \(samples 1\)"):
        trainer(tmp_path, monitor).fit(Classifier(), train_loader(), val_loader())
    values = sink.latest.sample_scores["saliency/input_x_gradient/drift_initial"]
    assert values.isfinite().tolist() == [True, False, True]
    assert sink.latest.scores["saliency/input_x_gradient/drift_initial"] == pytest.approx(values[[0, 2]].mean().item())


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda monitor: pickle.loads(pickle.dumps(monitor))])
def test_a_copy_of_the_callback_works_like_the_original(tmp_path: Path, duplicate: Any) -> None:
    methods = ["gradient", "grad_cam", IntegratedGradients(n_steps=2)]
    monitor = SaliencyMonitor(methods, probe=4, target="tests.trainer.runs.image_mean", sinks=[MemorySink()])
    copied = duplicate(monitor)
    for one in (monitor, copied):
        trainer(tmp_path, one).fit(Classifier(), train_loader(), val_loader())
    original, other = (one.sinks[0] for one in (monitor, copied))
    assert original is not other
    assert len(other.snapshots) == 3
    assert original.latest.scores == other.latest.scores


def test_a_second_fit_with_a_new_trainer_starts_anew(tmp_path: Path) -> None:
    sink = MemorySink()
    monitor = SaliencyMonitor("gradient", probe=4, sinks=[sink])
    for name, val in (("first", val_loader()), ("second", DataLoader(digits(500, 540), 20))):
        trainer(tmp_path / name, monitor).fit(Classifier(seed=len(name)), train_loader(), val)
    assert stages(sink) == [("initial", 0), ("fit", 0), ("fit", 1)] * 2
    assert "saliency/gradient/drift_initial" not in sink.snapshots[3].scores
    assert sink.snapshots[0].metadata["probe"] != sink.snapshots[3].metadata["probe"]
    for name in ("first", "second"):
        assert len(read_index(tmp_path / name / "saliency")["observations"]) == 3


def test_a_second_fit_of_the_same_trainer_goes_on(tmp_path: Path) -> None:
    sink = MemorySink()
    run = trainer(tmp_path, SaliencyMonitor("gradient", probe=4, sinks=[sink]), max_epochs=1)
    module = Classifier()
    run.fit(module, train_loader(), val_loader())
    run.fit_loop.max_epochs = 3
    run.fit(module, train_loader(), val_loader())
    assert stages(sink) == [("initial", 0), ("fit", 0), ("fit", 1), ("fit", 2)]
    assert len(read_index(tmp_path / "saliency")["observations"]) == 4


# Dynamo looks at the gradients of what it traces.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")
def test_a_compiled_module_is_explained_as_the_plain_one(tmp_path: Path) -> None:
    found = []
    for wrap in (lambda module: module, lambda module: torch.compile(module, backend="eager")):
        sink = MemorySink()
        run = trainer(tmp_path, SaliencyMonitor(probe=4, sinks=[sink]))
        run.fit(wrap(Classifier()), train_loader(), val_loader())
        found.append([snapshot.attributions["grad_cam"] for snapshot in sink.snapshots])
    assert len(found[1]) == 3
    for plain, compiled in zip(*found, strict=True):
        assert plain.layer == compiled.layer
        torch.testing.assert_close(plain.values, compiled.values)


@pytest.mark.skipif(
    not hasattr(lightning_callbacks, "EMAWeightAveraging"), reason="this release of Lightning averages no weights"
)
@pytest.mark.parametrize("averaging_first", [True, False])
def test_which_weights_are_explained_beside_weight_averaging(tmp_path: Path, averaging_first: bool) -> None:
    """Lightning swaps the averaged weights in for the validation, and out in ``on_validation_epoch_end``.

    So a monitor that is listed after the averaging callback sees the raw weights, one before it the averaged ones.
    """

    class KeepsRaw(L.Callback):
        def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            raw.append(pl_module.net[0].weight.detach().clone())

    class KeepsExplained(MemorySink):
        def write(self, snapshot: Any, pictures: Any) -> None:
            super().write(snapshot, pictures)
            explained.append(module.net[0].weight.detach().clone())

    raw: list[Tensor] = []
    explained: list[Tensor] = []
    module = Classifier()
    sink = KeepsExplained()
    averaging, monitor = (
        lightning_callbacks.EMAWeightAveraging(decay=0.9),
        SaliencyMonitor("gradient", probe=4, sinks=[sink], on_error="raise"),
    )
    callbacks = [averaging, monitor] if averaging_first else [monitor, averaging]
    trainer(tmp_path, *callbacks, KeepsRaw()).fit(module, train_loader(), val_loader())
    assert len(explained) == 3
    for seen, current in zip(explained[1:], raw, strict=True):
        assert torch.equal(seen, current) == averaging_first
    assert torch.equal(module.net[0].weight, explained[-1]) != averaging_first, "fit ends with the averaged weights"


def test_color_images_are_shown_without_their_normalization(tmp_path: Path) -> None:
    class Color(Classifier):
        def forward(self, images: Tensor) -> Tensor:
            return self.net(images.mean(1, keepdim=True))

    images = digits(0, 60).tensors[0].expand(-1, 3, -1, -1).clone()
    images[:, 1] *= 0.5
    labels = digits(0, 60).tensors[1]
    mean, std = (torch.tensor(values).reshape(1, 3, 1, 1) for values in ([0.5, 0.4, 0.3], [0.2, 0.3, 0.4]))
    undone = [mean.flatten().tolist(), std.flatten().tolist()]
    found = []
    for inputs, normalization in ((images, None), ((images - mean) / std, undone)):
        monitor = SaliencyMonitor("gradient", probe=4, appearance=Appearance(normalization=normalization))
        dataset = TensorDataset(inputs, labels)
        run = trainer(tmp_path, monitor, limit_train_batches=1, max_epochs=1)
        run.fit(Color(), DataLoader(dataset, 20), DataLoader(dataset, 20))
        found.append(monitor._explainer._shown_probe.images.astype(int))
    assert abs(found[0] - found[1]).max() <= 1
    assert found[0].std() > 0
