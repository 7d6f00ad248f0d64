"""A replay of a run's checkpoints gives what the run itself wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch import callbacks as lightning_callbacks
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from saliency_callbacks import (
    Cascade,
    CueAlarm,
    Draws,
    FaithfulnessTest,
    ModelReading,
    Probe,
    RandomizationTest,
    SaliencyMonitor,
    TokenSaliencyMonitor,
)
from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.probe import PatchCue
from saliency_callbacks.replay import find_checkpoints, replay
from saliency_callbacks.sinks import MemorySink, read_index, read_maps
from tests.grouping import grouped
from tests.trainer import text_runs
from tests.trainer.runs import Classifier, small_net, train_loader, trainer, val_loader


class Digits(L.LightningDataModule):
    """The digits, in the order in which the data are."""

    def train_dataloader(self) -> Any:
        return train_loader()

    def val_dataloader(self) -> Any:
        return val_loader()


class Untrained(L.Callback):
    """Save the weights before the training, too."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        trainer.save_checkpoint(Path(trainer.default_root_dir, "checkpoints", "untrained.ckpt"))


def callbacks(**changes: Any) -> list[L.Callback]:
    patch = PatchCue((0, 0, 2, 2))
    return [
        SaliencyMonitor(
            ["gradient", "layer_cam", "smooth_grad"],
            6,
            **grouped(SaliencyMonitor, target="initial_prediction", **changes),
        ),
        RandomizationTest("gradient", 6, **grouped(RandomizationTest, n_draws=2, cascade_draws=2, **changes)),
        FaithfulnessTest("gradient", 6, **grouped(FaithfulnessTest, **changes)),
        CueAlarm(
            patch, 0, 12, **grouped(CueAlarm, threshold=-10.0, patience=1, on_alarm="log", n_bootstrap=50, **changes)
        ),
    ]


def noisy() -> Classifier:
    """The same weights every time, as a seed gives them."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Classifier(small_net(noisy=True))


def live(root: Path, *more: L.Callback, model: L.LightningModule | None = None, **changes: Any) -> L.Trainer:
    saver = ModelCheckpoint(root / "checkpoints", filename="{epoch}-{step}", save_top_k=-1)
    settings = {"logger": TensorBoardLogger(root, name="", version="live"), "max_epochs": 3, **changes}
    settings["enable_checkpointing"] = True
    run = trainer(root, *more, Untrained(), saver, **settings)
    run.fit(model or noisy(), datamodule=Digits())
    return run


def after(root: Path, *more: L.Callback, model: L.LightningModule | None = None, **changes: Any) -> dict[str, int]:
    found, _ = find_checkpoints([root / "checkpoints"])
    run = trainer(root, *more, logger=TensorBoardLogger(root, name="", version="replay"), **changes)
    return replay(run, model or noisy(), found, datamodule=Digits()).observations


def scalars(directory: Path) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(directory), size_guidance={"scalars": 0}).Reload()
    kinds = ("saliency/", "tokens/", "randomization/", "cue/")
    tags = [tag for tag in events.Tags()["scalars"] if tag.startswith(kinds)]
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in tags}


def pictures(directory: Path) -> dict[str, list[tuple[int, bytes]]]:
    events = EventAccumulator(str(directory), size_guidance={"images": 0, "scalars": 1}).Reload()
    return {
        tag: [(event.step, event.encoded_image_string) for event in events.Images(tag)]
        for tag in events.Tags()["images"]
    }


def assert_same_archive(first: Path, second: Path) -> None:
    one, other = read_index(first), read_index(second)
    assert len(one["observations"]) == len(other["observations"]) > 0
    for ours, theirs in zip(one["observations"], other["observations"], strict=True):
        assert without_seconds(ours) == without_seconds(theirs)
        maps, others = read_maps(first, ours), read_maps(second, theirs)
        assert maps.keys() == others.keys()
        assert all(torch.equal(maps[name], others[name]) or maps[name].isnan().any() for name in maps)


def without_seconds(entry: dict[str, Any]) -> dict[str, Any]:
    """Leave out what methods of other libraries cost, which is measured."""
    return {**entry, "metadata": {name: value for name, value in entry["metadata"].items() if name != "external"}}


def assert_same_scalars(first: Path, second: Path) -> None:
    one, other = scalars(first), scalars(second)
    assert one.keys() == other.keys()
    for tag, points in one.items():
        assert [step for step, _ in points] == [step for step, _ in other[tag]], tag
        assert [value for _, value in points] == pytest.approx([value for _, value in other[tag]], nan_ok=True), tag


def test_maps_scores_pictures_tags_and_steps_are_those_of_the_run(tmp_path: Path) -> None:
    live(tmp_path, *callbacks())
    counts = after(tmp_path, *callbacks())
    assert counts == {"saliency": 4, "randomization": 4, "faithfulness": 4, "cue/patch": 4}
    for directory in counts:
        assert_same_archive(tmp_path / "live" / directory, tmp_path / "replay" / directory)
    assert_same_scalars(tmp_path / "live", tmp_path / "replay")
    assert pictures(tmp_path / "live") == pictures(tmp_path / "replay")


class Texts(L.LightningDataModule):
    """Texts as dictionaries of ids and masks, in the order in which the data are."""

    def train_dataloader(self) -> Any:
        return text_runs.loader()

    def val_dataloader(self) -> Any:
        return text_runs.loader()


def test_a_run_on_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "Digits", Texts)

    def watch() -> list[L.Callback]:
        tokenizer = text_runs.tokenizer()
        return [
            TokenSaliencyMonitor(["gradient_norm", "integrated_gradients"], 4, tokenizer),
            RandomizationTest(
                "gradient_norm",
                4,
                reading=ModelReading(embedding="auto"),
                tokenizer=tokenizer,
                draws=Draws(n_draws=2),
                cascade=Cascade(n_draws=2),
            ),
        ]

    live(tmp_path, *watch(), model=text_runs.BertClassifier())
    counts = after(tmp_path, *watch(), model=text_runs.BertClassifier())
    assert counts == {"tokens": 4, "randomization": 4}
    for directory in counts:
        assert_same_archive(tmp_path / "live" / directory, tmp_path / "replay" / directory)
    assert_same_scalars(tmp_path / "live", tmp_path / "replay")
    assert pictures(tmp_path / "live") == pictures(tmp_path / "replay")


@pytest.mark.parametrize(
    "changes",
    [{"accumulate_grad_batches": 2}, {"precision": "bf16-mixed"}, {"precision": "64-true"}, {"limit_val_batches": 0}],
    ids=lambda changes: next(iter(changes.values())),
)
def test_under_other_settings_of_the_trainer(tmp_path: Path, changes: dict[str, Any]) -> None:
    probe = Probe(6, "train" if "limit_val_batches" in changes else "val")
    live(tmp_path, SaliencyMonitor("gradient", probe), **changes)
    assert after(tmp_path, SaliencyMonitor("gradient", probe), **changes) == {"saliency": 4}
    assert_same_archive(tmp_path / "live" / "saliency", tmp_path / "replay" / "saliency")
    assert_same_scalars(tmp_path / "live", tmp_path / "replay")


@pytest.mark.skipif(
    not hasattr(lightning_callbacks, "WeightAveraging"), reason="this release of Lightning averages no weights"
)
def test_averaged_weights_are_those_in_the_checkpoint(tmp_path: Path) -> None:
    """The monitor is listed first, so that the live run sees the averaged weights of each validation."""
    live(tmp_path, SaliencyMonitor("gradient", 4), lightning_callbacks.WeightAveraging(), max_epochs=2)
    after(tmp_path, SaliencyMonitor("gradient", 4))
    last = [read_index(tmp_path / run / "saliency")["observations"][-1] for run in ("live", "replay")]
    assert last[0]["scores"] == last[1]["scores"]


def test_a_schedule_is_kept(tmp_path: Path) -> None:
    live(tmp_path, max_epochs=4)
    sink = MemorySink()
    after(tmp_path, SaliencyMonitor("gradient", 4, every_n_epochs=2, sinks=[sink]))
    assert [(one.stage, one.epoch) for one in sink.snapshots] == [("initial", 0), ("fit", 0), ("fit", 2)]


def test_the_weights_that_the_training_began_with(tmp_path: Path) -> None:
    live(tmp_path, SaliencyMonitor("gradient", 4))
    (tmp_path / "checkpoints" / "untrained.ckpt").unlink()
    found, _ = find_checkpoints([tmp_path / "checkpoints"])
    run = trainer(
        tmp_path, SaliencyMonitor("gradient", 4), logger=TensorBoardLogger(tmp_path, name="", version="replay")
    )
    replay(run, noisy(), found, datamodule=Digits(), is_untrained=True)
    assert_same_archive(tmp_path / "live" / "saliency", tmp_path / "replay" / "saliency")
    assert_same_scalars(tmp_path / "live", tmp_path / "replay")


def test_without_them_the_first_checkpoint_is_the_first_observation(tmp_path: Path) -> None:
    live(tmp_path)
    (tmp_path / "checkpoints" / "untrained.ckpt").unlink()
    sink = MemorySink()
    after(tmp_path, SaliencyMonitor("gradient", 4, sinks=[sink]))
    assert [(one.stage, one.epoch) for one in sink.snapshots] == [("fit", 0), ("fit", 1), ("fit", 2)]
    assert "saliency/gradient/drift_initial" not in sink.snapshots[0].scores


def test_nothing_is_trained_and_the_trainer_is_itself_again(tmp_path: Path) -> None:
    live(tmp_path)
    found, _ = find_checkpoints([tmp_path / "checkpoints"])
    model = noisy()
    run = trainer(tmp_path, SaliencyMonitor("gradient", 4), num_sanity_val_steps=1)
    replay(run, model, found, datamodule=Digits())
    expected = found[-1].read()["state_dict"]
    assert all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())
    assert "run" not in vars(run.fit_loop)
    assert run.num_sanity_val_steps == 1


def test_a_trainer_without_our_callbacks(tmp_path: Path) -> None:
    live(tmp_path, max_epochs=1)
    with pytest.raises(ConfigurationError, match="nothing to replay"):
        after(tmp_path)


def test_checkpoints_of_another_model(tmp_path: Path) -> None:
    live(tmp_path, max_epochs=1)
    with pytest.raises(ConfigurationError, match=r"does not belong to this Classifier \(.*net"):
        after(tmp_path, SaliencyMonitor("gradient", 4), model=Classifier(small_net(n_classes=3)))
