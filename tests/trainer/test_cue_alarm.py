"""The cue alarm in a real Trainer."""

from __future__ import annotations

import io
import pickle
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
import yaml
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image
from scipy.stats import bootstrap
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, SubsetRandomSampler, TensorDataset

from saliency_callbacks import Appearance, CueAlarm, Probe, SaliencyMonitor, Storage
from saliency_callbacks.callbacks.cue import image_probe as image_cue_probe
from saliency_callbacks.errors import ConfigurationError, CueAlarmWarning, CueError, SaliencyWarning, TargetError
from saliency_callbacks.methods import SmoothGrad
from saliency_callbacks.probe import BackgroundCue, BrightnessCue, FunctionCue, PatchCue
from saliency_callbacks.sinks import MemorySink, read_index, read_maps
from tests.grouping import every_setting, grouped, settings_in
from tests.trainer.runs import (
    WEIGHTS_ONLY,
    Classifier,
    RecordingLogger,
    Stream,
    digits,
    stages,
    train_loader,
    trainer,
    val_loader,
)

_CORNER = PatchCue((-2, -2, 2, 2))
_OF_EPOCH = {"effect", "contrast", "lower_bound", "flip_rate", "alarm", "mass", "lift"}
_OF_GROUPS = {"worst_group_accuracy", "average_accuracy"}

called = SimpleNamespace(messages=[])
"""Filled by :func:`note`."""


def note(alarm: CueAlarm, message: str) -> None:
    """An action that can be written as a dotted path."""
    called.messages.append((alarm, message))


def middle(images: Tensor) -> Tensor:
    """Masks for a probe or a cue: the middle of every image."""
    masks = torch.zeros(len(images), *images.shape[2:], dtype=torch.bool)
    masks[:, 2:6, 2:6] = True
    return masks


class Leaning(Classifier):
    """Sees the corner only through a gain on class 0, which is set for each epoch."""

    def __init__(self, gains: Sequence[float], *, n_classes: int = 10) -> None:
        super().__init__(nn.Sequential(nn.Flatten(), nn.Linear(36, n_classes)))
        self.gains = tuple(gains)

    def forward(self, images: Tensor) -> Tensor:
        logits = self.net(images[:, :, :6, :6])
        gain = self.gains[min(self.current_epoch, len(self.gains) - 1)]
        leaning = F.one_hot(torch.tensor(0), logits.shape[1])
        return logits + gain * images[:, :, 6:, 6:].mean((1, 2, 3))[:, None] * leaning


def _alarm(cue: Any = _CORNER, suspect_class: int = 0, **changes: Any) -> CueAlarm:
    settings = {"probe": 16, "on_alarm": "log", "groups_at_fit_end": False, "n_bootstrap": 200, "panel_size": 3}
    settings["scalars"] = "all"
    return CueAlarm(cue, suspect_class, **grouped(CueAlarm, **{**settings, **changes}))


def _fit(root: Path, *callbacks: L.Callback, module: L.LightningModule | None = None, **changes: Any) -> L.Trainer:
    loaders = (changes.pop("train", train_loader()), changes.pop("val", val_loader()))
    run = trainer(root, *callbacks, **changes)
    run.fit(Classifier() if module is None else module, *loaders)
    return run


def _samples(start: int = 100, stop: int = 130) -> tuple[Tensor, Tensor]:
    return digits(start, stop).tensors


def _with_corner(images: Tensor) -> Tensor:
    cued = images.clone()
    cued[:, :, 6:, 6:] = 1
    return cued


# --- a twin in NumPy ------------------------------------------------------------------------------------------------


def _margin(row: np.ndarray, chosen: int) -> float:
    return row[chosen] - max(value for other, value in enumerate(row) if other != chosen)


def _twin(clean: np.ndarray, cued: np.ndarray, labels: Sequence[int], suspect: int) -> dict[str, list[float]]:
    """Effect, contrast and flips of each sample that can tell, by loops over the formulas."""
    scale = np.mean([np.std(row) for row in clean])
    found: dict[str, list[float]] = {"effect": [], "contrast": [], "flip_rate": []}
    for before, after, label in zip(clean, cued, labels, strict=True):
        if label == suspect:
            continue
        effects = [(_margin(after, c) - _margin(before, c)) / scale for c in range(len(before))]
        found["effect"].append(effects[suspect])
        found["contrast"].append(effects[suspect] - np.median([e for c, e in enumerate(effects) if c != suspect]))
        found["flip_rate"].append(float(np.argmax(before) != suspect and np.argmax(after) == suspect))
    return found


class Watch(L.Callback):
    """Computes what the alarm should find, from the model at that moment."""

    def __init__(self, images: Tensor, cued: Tensor, labels: Tensor, suspect: int, n_shown: int) -> None:
        self.images, self.cued, self.labels, self.suspect, self.n_shown = images, cued, labels, suspect, n_shown
        self.found: list[dict[str, list[float]]] = []

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._compute(pl_module)

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not trainer.sanity_checking:
            self._compute(pl_module)

    def _compute(self, module: L.LightningModule) -> None:
        with torch.no_grad():
            clean, cued = (module(images).double().numpy() for images in (self.images, self.cued))
        found = _twin(clean, cued, self.labels.tolist(), self.suspect)
        shown = self.cued[self.labels != self.suspect][: self.n_shown]
        with torch.enable_grad():
            leaf = shown.clone().requires_grad_()
            (gradient,) = torch.autograd.grad(module(leaf)[:, self.suspect].sum(), leaf)
        heat = gradient[:, 0].abs().double().numpy()
        mass = heat[:, 6:, 6:].sum((1, 2)) / heat.sum((1, 2))
        self.found.append({**found, "mass": list(mass), "lift": list(mass / (4 / 64))})


@pytest.mark.parametrize("suspect", [0, 7])
def test_every_tag_at_every_epoch_is_its_formula(tmp_path: Path, suspect: int) -> None:
    images, labels = _samples()
    logger, sink = RecordingLogger(tmp_path), MemorySink()
    watch = Watch(images, _with_corner(images), labels, suspect, n_shown=5)
    alarm = _alarm(
        suspect_class=suspect, probe=Probe.from_tensors(images, labels), panel_size=5, sinks=[sink], n_bootstrap=2000
    )
    run = _fit(tmp_path, watch, alarm, logger=logger)
    assert stages(sink) == [("initial", 0), ("fit", 0), ("fit", 1)]
    logged = {tag for _, metrics in logger.records for tag in metrics if tag.startswith("cue/")}
    assert logged - {"cue/patch/threshold"} == {f"cue/patch/{name}" for name in _OF_EPOCH}
    assert {value for _, value in logger.of("cue/patch/threshold")} == {alarm.rule.threshold}
    for tag in logged - {"cue/patch/threshold"}:
        steps, values = zip(*logger.of(tag), strict=True)
        assert steps == tuple(snapshot.step for snapshot in sink.snapshots)
        assert values == pytest.approx([snapshot.scores[tag] for snapshot in sink.snapshots])
        assert float(run.callback_metrics[tag]) == pytest.approx(sink.latest.scores[tag])
    assert len(watch.found) == 3
    for expected, snapshot, evaluation in zip(watch.found, sink.snapshots, alarm.history, strict=True):
        for name, values in expected.items():
            assert snapshot.scores[f"cue/patch/{name}"] == pytest.approx(np.mean(values), rel=1e-4, abs=1e-5)
        usable = [value for value in evaluation.values if not np.isnan(value)]
        assert usable == pytest.approx(expected["effect"], rel=1e-3, abs=1e-4), "the values of every evaluation"
        assert np.isnan(evaluation.values).sum() == int((labels == suspect).sum())
        interval = bootstrap(
            (np.array(usable),), np.mean, confidence_level=0.9, method="percentile", rng=np.random.default_rng(0)
        ).confidence_interval
        assert evaluation.lower_bound == pytest.approx(interval.low, abs=0.1 * (interval.high - interval.low))
        assert snapshot.scores["cue/patch/lower_bound"] == evaluation.lower_bound


def test_the_end_of_fit_measures_groups(tmp_path: Path) -> None:
    logger, sink = RecordingLogger(tmp_path), MemorySink()
    alarm = _alarm(groups_at_fit_end=True, sinks=[sink])
    _fit(tmp_path, alarm, logger=logger, max_epochs=1)
    assert stages(sink) == [("initial", 0), ("fit", 0), ("final", 0)]
    assert sink.snapshots[-1].scores.keys() == {f"cue/patch/{name}" for name in _OF_GROUPS}
    assert sink.snapshots[-1].tables == {"cue/patch/groups": alarm.groups.tabulated()}
    for tag, value in sink.snapshots[-1].scores.items():
        assert logger.of(tag) == [(sink.snapshots[-1].step, value)]
    assert len(alarm.history) == 2, "the groups are no evaluation"


def test_what_is_behind_the_scores_is_kept(tmp_path: Path) -> None:
    logger, sink = TensorBoardLogger(tmp_path), MemorySink()
    _fit(tmp_path, _alarm(sinks=[sink]), logger=logger, max_epochs=1)
    directory = Path(logger.log_dir) / "cue" / "patch"
    entry = read_index(directory)["observations"][1]
    maps = read_maps(directory, entry)
    for name in ("effect", "contrast", "flip_rate", "mass", "lift"):
        kept = maps[f"samples/cue/patch/{name}"]
        assert kept.shape == (16,)
        assert float(kept[kept.isfinite()].mean()) == pytest.approx(
            sink.snapshots[1].scores[f"cue/patch/{name}"], abs=1e-5
        )
    assert entry["metadata"]["cue"] == repr(_CORNER)
    assert entry["metadata"]["statistic"] == "effect"


def test_the_panel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: dict[str, Any] = {}
    draw = image_cue_probe.draw_pairs

    def recorded(images: Tensor, attribution: Any, pairs: Any, appearance: Any, *, title: str) -> Any:
        drawn[title] = (images, pairs)
        return draw(images, attribution, pairs, appearance, title=title)

    monkeypatch.setattr(image_cue_probe, "draw_pairs", recorded)
    images, labels = _samples()
    logger, sink = TensorBoardLogger(tmp_path), MemorySink()
    alarm = _alarm(probe=Probe.from_tensors(images, labels), panel_size=4, class_names="abcdefghij", sinks=[sink])
    module = Leaning([5.0])
    _fit(tmp_path, alarm, module=module, logger=logger, max_epochs=2)
    assert len(drawn) == 3
    last = next(value for title, value in drawn.items() if "a" in title and "epoch 1" in title)
    shown = images[labels != 0][:4]
    assert torch.equal(last[0][0::2], shown)
    assert torch.equal(last[0][1::2], _with_corner(shown))
    names = ["abcdefghij"[label] for label in labels[labels != 0][:4]]
    assert [pair.name for pair in last[1]] == names
    with torch.no_grad():
        margins = [[_margin(row.numpy(), 0) for row in module(batch)] for batch in (shown, _with_corner(shown))]
    # The weights have not moved since the last validation.
    assert [pair.without for pair in last[1]] == pytest.approx(margins[0], abs=1e-4)
    assert [pair.with_cue for pair in last[1]] == pytest.approx(margins[1], abs=1e-4)
    assert [pair.flipped for pair in last[1]] == [a < 0 < b for a, b in zip(*margins, strict=True)]

    events = EventAccumulator(logger.log_dir, size_guidance={"images": 0}).Reload()
    assert events.Tags()["images"] == ["cue/patch/panel"]
    kept = events.Images("cue/patch/panel")
    assert len(kept) == len(sink.pictures) == 3
    for event, pictures in zip(kept, sink.pictures, strict=True):
        pixels = np.asarray(Image.open(io.BytesIO(event.encoded_image_string)).convert("RGB"))
        assert np.array_equal(pixels, pictures["cue/patch/panel"])


# --- when it goes on, and what happens then -------------------------------------------------------------------------


def _lit(alarm: CueAlarm) -> list[tuple[int, int]]:
    """Alarm on, and fired, of each evaluation of the training."""
    return [(int(one.alarm), int(one.fired)) for one in alarm.history if one.stage == "fit"]


@pytest.mark.parametrize(
    ("gains", "patience", "expected"),
    [
        ([9, 9, 9, 0, 9, 9], 2, [(0, 0), (1, 1), (1, 0), (0, 0), (0, 0), (1, 1)]),
        ([9, 0, 9, 0], 2, [(0, 0)] * 4),
        ([9, 0, 9], 1, [(1, 1), (0, 0), (1, 1)]),
        ([9, 9, 9], 3, [(0, 0), (0, 0), (1, 1)]),
        ([-9, -9], 1, [(0, 0), (0, 0)]),
        ([float("nan")] * 2, 1, [(0, 0), (0, 0)]),
        ([9, float("nan"), 9], 2, [(0, 0)] * 3),
    ],
    ids=["twice", "never in a row", "patience 1", "patience 3", "away from the class", "NaN", "NaN between"],
)
def test_it_goes_on_and_off(tmp_path: Path, gains: list[float], patience: int, expected: list[tuple[int, int]]) -> None:
    logger, sink = RecordingLogger(tmp_path), MemorySink()
    alarm = _alarm(patience=patience, on_alarm="warn", sinks=[sink])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        _fit(tmp_path, alarm, module=Leaning(gains), logger=logger, max_epochs=len(gains))
    assert _lit(alarm) == expected
    assert [value for _, value in logger.of("cue/patch/alarm")] == [0, *(lit for lit, _ in expected)]
    messages = [str(one.message) for one in caught if issubclass(one.category, CueAlarmWarning)]
    assert len(messages) == sum(fired for _, fired in expected), "once each time it goes on"
    assert all("'patch' as evidence for class 0" in message for message in messages)


def test_the_untrained_model_does_not_count(tmp_path: Path) -> None:
    alarm = _alarm(patience=2)
    _fit(tmp_path, alarm, module=Leaning([9]), max_epochs=1)
    assert [one.stage for one in alarm.history] == ["initial", "fit"]
    assert min(one.lower_bound for one in alarm.history) > 0.25
    assert _lit(alarm) == [(0, 0)]


def test_a_validation_on_its_own_does_not_count(tmp_path: Path) -> None:
    sink = MemorySink()
    alarm = _alarm(patience=1, on_alarm="warn", sinks=[sink])
    run = trainer(tmp_path, alarm)
    run.validate(Leaning([9]), val_loader(), verbose=False)
    run.validate(Leaning([9]), val_loader(), verbose=False)
    assert stages(sink) == [("validate", 0)] * 2
    assert sink.latest.scores["cue/patch/alarm"] == 0
    assert sink.latest.scores["cue/patch/lower_bound"] > 0.25
    assert alarm.history == ()


def test_a_validation_after_the_training_shows_the_alarm_that_is_on(tmp_path: Path) -> None:
    sink = MemorySink()
    alarm = _alarm(patience=1, sinks=[sink])
    run = _fit(tmp_path, alarm, module=Leaning([9]), max_epochs=2)
    run.validate(Leaning([9]), val_loader(), verbose=False)
    assert stages(sink)[-1][0] == "validate"
    assert sink.latest.scores["cue/patch/alarm"] == 1
    assert sink.latest.texts == {}, "it has not gone on now"
    assert len(alarm.history) == 3


def test_a_higher_threshold_is_quiet(tmp_path: Path) -> None:
    alarm = _alarm(patience=1, threshold=1e6)
    _fit(tmp_path, alarm, module=Leaning([9]))
    assert _lit(alarm) == [(0, 0), (0, 0)]


def test_a_surer_bound_is_lower(tmp_path: Path) -> None:
    alarms = [_alarm(confidence=confidence, namespace=f"at{n}") for n, confidence in enumerate((0.6, 0.95, 0.99))]
    _fit(tmp_path, *alarms, max_epochs=1)
    bounds = [alarm.history[-1].lower_bound for alarm in alarms]
    assert bounds == sorted(bounds, reverse=True)
    assert len(set(bounds)) == 3


def test_a_log_is_a_text_that_says_why(tmp_path: Path) -> None:
    logger, sink = TensorBoardLogger(tmp_path), MemorySink()
    alarm = _alarm(sinks=[sink], class_names=["zero", *"123456789"])
    _fit(tmp_path, alarm, module=Leaning([9]), logger=logger, max_epochs=4)
    assert _lit(alarm) == [(0, 0), (1, 1), (1, 0), (1, 0)]
    texts = [snapshot.texts for snapshot in sink.snapshots]
    assert [set(one) for one in texts] == [set(), set(), {"cue/patch/alarm"}, set(), set()]
    message = texts[2]["cue/patch/alarm"]
    fired = alarm.history[2]
    for part in (
        "'patch'",
        "class `zero`",
        f"{fired.mean:.2f} standard deviations",
        f"{fired.lower_bound:.2f} > threshold 0.25",
    ):
        assert part in message
    assert f"{sink.snapshots[2].scores['cue/patch/flip_rate']:.0%} of the predictions" in message
    events = EventAccumulator(logger.log_dir).Reload()
    (text,) = events.Tensors("cue/patch/alarm/text_summary")
    assert text.step == sink.snapshots[2].step
    assert text.tensor_proto.string_val[0].decode() == message


@pytest.mark.parametrize("actions", [(), "warn"], ids=["nothing", "warn"])
def test_without_log_there_is_no_text(tmp_path: Path, actions: Any) -> None:
    sink = MemorySink()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        _fit(tmp_path, _alarm(on_alarm=actions, sinks=[sink]), module=Leaning([9]), max_epochs=2)
    assert sink.latest.scores["cue/patch/alarm"] == 1
    assert sink.latest.texts == {}
    assert sum(issubclass(one.category, CueAlarmWarning) for one in caught) == (actions == "warn")


def test_stop_ends_the_training(tmp_path: Path) -> None:
    run = _fit(tmp_path, _alarm(on_alarm="stop"), module=Leaning([0, 9]), max_epochs=20)
    assert run.current_epoch == 3, "the epochs 1 and 2 were above"


@pytest.mark.parametrize("action", [note, f"{__name__}.note"], ids=["function", "path"])
def test_a_function_is_called_with_alarm_and_message(tmp_path: Path, action: Any) -> None:
    called.messages.clear()
    sink = MemorySink()
    alarm = _alarm(on_alarm=["log", action], sinks=[sink])
    _fit(tmp_path, alarm, module=Leaning([9]), max_epochs=3)
    assert called.messages == [(alarm, sink.snapshots[2].alerts["cue/patch/alarm"])]
    assert "class `0`" in sink.snapshots[2].texts["cue/patch/alarm"], "dashboards read it as Markdown"


def test_a_function_that_fails_does_not_end_the_training(tmp_path: Path) -> None:
    def fails(alarm: CueAlarm, message: str) -> None:
        raise RuntimeError("no telephone")

    alarm = _alarm(on_alarm=[fails, "stop"])
    with pytest.warns(SaliencyWarning, match=r"fails failed when the alarm fired \(RuntimeError: no telephone\)"):
        run = _fit(tmp_path, alarm, module=Leaning([9]), max_epochs=9)
    assert run.current_epoch == 2, "what else was asked for is done"
    with pytest.raises(RuntimeError, match="no telephone"):
        _fit(tmp_path, _alarm(on_alarm=fails, on_error="raise"), module=Leaning([9]), max_epochs=9)


def test_a_trained_shortcut_sets_it_off_and_an_honest_training_does_not(tmp_path: Path) -> None:
    images, labels = _samples(0, 400)
    marked = torch.where((labels == 0)[:, None, None, None], _with_corner(images), images)
    for training, fires in ((images, False), (marked, True)):
        alarm = _alarm(probe=32, groups_at_fit_end=fires)
        loader = DataLoader(TensorDataset(training, labels), 32)
        _fit(tmp_path, alarm, train=loader, val=DataLoader(digits(400, 500), 50), max_epochs=5)
        assert any(one.fired for one in alarm.history) == fires
    without, with_cue = alarm.groups.accuracy[1:].mean(dim=0).tolist()
    assert with_cue < without - 0.1, "the table confirms it"


def test_scores_can_be_monitored(tmp_path: Path) -> None:
    stopping = EarlyStopping("cue/patch/alarm", patience=50, stopping_threshold=0.5, mode="max")
    run = _fit(tmp_path, _alarm(), stopping, module=Leaning([9]), max_epochs=9)
    assert run.current_epoch == 2


# --- what is put in -------------------------------------------------------------------------------------------------


def test_a_cue_acts_on_the_image_behind_a_normalized_probe(tmp_path: Path) -> None:
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    images, labels = _samples()
    inputs = (images.expand(-1, 3, -1, -1) - mean) / std
    fed: list[Tensor] = []

    class Colored(Classifier):
        def __init__(self) -> None:
            super().__init__(nn.Sequential(nn.Flatten(), nn.Linear(192, 10)))

        def forward(self, batch: Tensor) -> Tensor:
            if not self.training and not torch.is_grad_enabled():
                fed.append(batch.clone())
            return super().forward(batch)

    cue = PatchCue((0, 0, 2, 2), value=[1.0, 0.5, 0.0])
    normalization = [mean.flatten().tolist(), std.flatten().tolist()]
    sink = MemorySink()
    alarm = _alarm(cue, probe=Probe.from_tensors(inputs, labels), normalization=normalization, sinks=[sink])
    loader = DataLoader(TensorDataset(inputs, labels), 10)
    _fit(tmp_path, alarm, module=Colored(), train=loader, val=loader, max_epochs=1, num_sanity_val_steps=0)
    # The first forward tells what the outputs are.
    clean, cued = fed[1], fed[2]
    assert torch.equal(clean, inputs)
    color = ((torch.tensor([1.0, 0.5, 0.0]).view(3, 1, 1) - mean) / std).expand(-1, 2, 2)
    torch.testing.assert_close(cued[:, :, :2, :2], color.expand(len(cued), -1, -1, -1))
    outside = torch.ones(8, 8, dtype=torch.bool)
    outside[:2, :2] = False
    assert torch.equal(cued[:, :, outside], inputs[:, :, outside]), "every other pixel keeps its bits"


def test_a_background_behind_the_masks_of_the_probe(tmp_path: Path) -> None:
    images, labels = _samples()
    masks = middle(images)
    sink = MemorySink()
    cue = BackgroundCue("probe", background=1.0)
    cued = torch.where(masks[:, None], images, 1.0)
    watch = Watch(images, cued, labels, suspect=0, n_shown=3)
    alarm = _alarm(cue, probe=Probe.from_tensors(images, labels, masks=masks), sinks=[sink], groups_at_fit_end=True)
    _fit(tmp_path, watch, alarm, max_epochs=1)
    assert stages(sink) == [("initial", 0), ("fit", 0), ("final", 0)]
    found = sink.snapshots[1]
    for name in ("effect", "contrast", "flip_rate"):
        assert found.scores[f"cue/background/{name}"] == pytest.approx(
            np.mean(watch.found[1][name]), rel=1e-4, abs=1e-5
        )
    assert found.metadata["statistic"] == "contrast", "three quarters of the image are changed"
    expected = np.nanmean(alarm.history[-1].values)
    assert expected == pytest.approx(np.mean(watch.found[1]["contrast"]), rel=1e-4, abs=1e-5)
    assert int(alarm.groups.count[:, 0].sum()) == len(images), "the validation set has no masks"


def test_a_background_in_the_whole_validation_set(tmp_path: Path) -> None:
    """Each piece of the validation set has masks of its own."""
    alarm = _alarm(BackgroundCue("probe", 1.0), probe=Probe(16, masks=middle), groups_at_fit_end=True)
    module = Classifier()
    _fit(tmp_path, alarm, module=module, max_epochs=1)
    images, labels = _samples(100, 140)
    _assert_groups(alarm, module, images, torch.where(middle(images)[:, None], images, 1.0), labels)


@pytest.mark.parametrize("cue", [PatchCue((0, 0, 8, 5)), BrightnessCue(0.3)], ids=lambda cue: cue.name)
def test_a_cue_of_most_of_the_image_is_judged_by_its_contrast(tmp_path: Path, cue: Any) -> None:
    sink = MemorySink()
    alarm = _alarm(cue, sinks=[sink])
    _fit(tmp_path, alarm, max_epochs=1)
    assert sink.latest.metadata["statistic"] == "contrast"
    assert np.nanmean(alarm.history[-1].values) == pytest.approx(sink.latest.scores[f"cue/{cue.name}/contrast"])
    chosen = _alarm(cue, statistic="effect")
    _fit(tmp_path, chosen, max_epochs=1)
    assert np.nanmean(chosen.history[-1].values) == pytest.approx(sink.latest.scores[f"cue/{cue.name}/effect"])


@pytest.mark.parametrize("fill", ["local_mean", "noise"])
def test_removal(tmp_path: Path, fill: str) -> None:
    images, labels = _samples()
    bearing = torch.arange(len(images)) % 2 == 0
    images = torch.where(bearing[:, None, None, None], _with_corner(images), images)
    masks = torch.zeros(len(images), 8, 8)
    masks[bearing, 6:, 6:] = 1
    sink = MemorySink()
    alarm = _alarm(PatchCue((0, 0, 2, 2)), probe=Probe.from_tensors(images, labels, masks=masks), removal=fill)
    alarm.sinks = (sink,)
    module = Leaning([7.0])
    _fit(tmp_path, alarm, module=module, max_epochs=1)
    values = sink.latest.sample_scores["cue/patch/removal_effect"]
    assert torch.equal(values.isfinite(), bearing)
    ring = torch.zeros(8, 8, dtype=torch.bool)
    ring[4:, 4:] = True
    ring[6:, 6:] = False
    if fill == "local_mean":
        painted = images.clone()
        painted[:, :, 6:, 6:] = images[:, :, ring].mean(dim=2)[:, :, None, None]
        painted = torch.where(bearing[:, None, None, None], painted, images)
        with torch.no_grad():
            clean, without = (module(batch).double().numpy() for batch in (images, painted))
        everyone = [-1] * len(labels)
        expected = -np.array(_twin(clean, without, everyone, 0)["effect"])
        assert values[bearing].tolist() == pytest.approx(expected[bearing.numpy()].tolist(), rel=1e-3, abs=1e-4)
    assert sink.latest.scores["cue/patch/removal_effect"] == pytest.approx(float(values[bearing].mean()), rel=1e-5)
    assert sink.latest.scores["cue/patch/removal_effect"] > 0.25, "the cue was what spoke for the class"


class OneLogit(Classifier):
    """Says whether a digit is at least 5."""

    def __init__(self) -> None:
        super().__init__(nn.Sequential(nn.Flatten(), nn.Linear(64, 1)))

    def loss(self, batch: Any) -> Tensor:
        return F.binary_cross_entropy_with_logits(self(batch[0])[:, 0], batch[1].float())


@pytest.mark.parametrize("suspect", [0, 1])
def test_one_logit_is_two_classes(tmp_path: Path, suspect: int) -> None:
    images, labels = _samples()
    labels = (labels >= 5).long()
    loader = DataLoader(TensorDataset(images, labels), 10)
    sink = MemorySink()
    module = OneLogit()
    alarm = _alarm(suspect_class=suspect, probe=30, sinks=[sink], groups_at_fit_end=True)
    _fit(tmp_path, alarm, module=module, train=loader, val=loader, max_epochs=2)
    order = torch.tensor(alarm.state.indices)
    with torch.no_grad():
        columns = [
            np.hstack([np.zeros((30, 1)), module(batch[order]).double().numpy()])
            for batch in (images, _with_corner(images))
        ]
    expected = _twin(*columns, labels[order].tolist(), suspect)
    scores = sink.snapshots[-2].scores
    for name in ("effect", "contrast", "flip_rate"):
        assert scores[f"cue/patch/{name}"] == pytest.approx(np.mean(expected[name]), rel=1e-4, abs=1e-5)
    weights = module.net[1].weight.detach().abs().reshape(8, 8)
    assert scores["cue/patch/mass"] == pytest.approx(float(weights[6:, 6:].sum() / weights.sum()), rel=1e-4)
    assert alarm.groups.count.tolist() == [[float((labels == c).sum())] * 2 for c in (0, 1)]


class TwoInputs(Classifier):
    """Takes images and a shift of each class for each sample, as two arguments or under two names."""

    def forward(self, images: Tensor, shifts: Tensor) -> Tensor:
        return self.net(images) + shifts

    def loss(self, batch: Any) -> Tensor:
        inputs, labels = batch
        logits = self(**inputs) if isinstance(inputs, dict) else self(*inputs)
        return F.cross_entropy(logits, labels)


@pytest.mark.parametrize(("as_dictionary", "attribute_to"), [(True, "images"), (False, 0), (False, None)])
def test_several_inputs(tmp_path: Path, as_dictionary: bool, attribute_to: Any) -> None:
    images, labels = _samples()
    shifts = torch.randn(len(images), 10)

    class Items(TensorDataset):
        def __getitem__(self, index: int) -> Any:
            image, shift, label = super().__getitem__(index)
            return {"images": image, "shifts": shift} if as_dictionary else (image, shift), label

    loader = DataLoader(Items(images, shifts, labels), 10)
    sink, module = MemorySink(), TwoInputs()
    alarm = _alarm(probe=12, attribute_to=attribute_to, sinks=[sink], groups_at_fit_end=True)
    _fit(tmp_path, alarm, module=module, train=loader, val=loader, max_epochs=1)
    order = torch.tensor(alarm.state.indices)
    with torch.no_grad():
        clean, cued = (module(batch[order], shifts[order]).double().numpy() for batch in (images, _with_corner(images)))
    expected = _twin(clean, cued, labels[order].tolist(), 0)
    assert sink.snapshots[-2].scores["cue/patch/effect"] == pytest.approx(
        np.mean(expected["effect"]), rel=1e-4, abs=1e-5
    )
    _assert_groups(alarm, lambda batch: module(batch, shifts), images, _with_corner(images), labels)


# --- groups ---------------------------------------------------------------------------------------------------------


def _assert_groups(
    alarm: CueAlarm, model: Callable[[Tensor], Tensor], images: Tensor, cued: Tensor, labels: Tensor
) -> None:
    with torch.no_grad():
        hits = [(model(batch).argmax(1) == labels).tolist() for batch in (images, cued)]
    accuracies = []
    for index in range(10):
        of_class = [position for position, label in enumerate(labels.tolist()) if label == index]
        assert alarm.groups.count[index].tolist() == [len(of_class)] * 2
        for column in range(2):
            right = sum(hits[column][position] for position in of_class)
            assert float(alarm.groups.correct[index, column]) == right
            accuracies += [right / len(of_class)] if of_class else []
    assert alarm.groups.worst == min(accuracies)
    assert alarm.groups.average == pytest.approx(np.mean(hits))


def test_groups_of_the_whole_validation_set(tmp_path: Path) -> None:
    module = Classifier()
    alarm = _alarm(groups_at_fit_end=True)
    images, labels = _samples(100, 400)
    _fit(tmp_path, alarm, module=module, val=DataLoader(TensorDataset(images, labels), 100), max_epochs=1)
    _assert_groups(alarm, module, images, _with_corner(images), labels)


def test_groups_of_what_the_sampler_can_draw(tmp_path: Path) -> None:
    module, chosen = Classifier(), [*range(30, 3, -1), 35]
    alarm = _alarm(groups_at_fit_end=True)
    _fit(tmp_path, alarm, module=module, val=val_loader(sampler=SubsetRandomSampler(chosen)), max_epochs=1)
    images, labels = (values[chosen] for values in _samples(100, 140))
    _assert_groups(alarm, module, images, _with_corner(images), labels)


def test_groups_beside_a_probe_of_ones_own(tmp_path: Path) -> None:
    module = Classifier()
    alarm = _alarm(probe=Probe.from_tensors(*_samples(500, 520)), groups_at_fit_end=True)
    _fit(tmp_path, alarm, module=module, max_epochs=1)
    images, labels = _samples(100, 140)
    _assert_groups(alarm, module, images, _with_corner(images), labels)


class SizedStream(Stream):
    """An iterable dataset that knows its length."""

    def __len__(self) -> int:
        return len(self.inner)


@pytest.mark.filterwarnings("ignore:Your `IterableDataset` has `__len__` defined")
@pytest.mark.parametrize("stream", [Stream, SizedStream])
def test_groups_of_a_stream_are_those_of_the_probe(tmp_path: Path, stream: type[Stream]) -> None:
    module = Classifier()
    alarm = _alarm(groups_at_fit_end=True)
    _fit(tmp_path, alarm, module=module, val=DataLoader(stream(digits(100, 140)), 20), max_epochs=1)
    images, labels = (values[torch.tensor(alarm.state.indices)] for values in _samples(100, 140))
    assert len(images) == 16
    _assert_groups(alarm, module, images, _with_corner(images), labels)


@pytest.mark.parametrize(
    ("every", "changes", "expected"),
    [
        (2, {}, [0, 2, 4]),
        (3, {}, [0, 3]),
        (2, {"check_val_every_n_epoch": 2}, [1, 3, 5]),
        (None, {}, []),
    ],
    ids=str,
)
def test_groups_during_the_training(
    tmp_path: Path, every: int | None, changes: dict[str, Any], expected: list[int]
) -> None:
    sink = MemorySink()
    alarm = _alarm(groups_every_n_epochs=every, sinks=[sink])
    for _ in range(2):  # a second training starts anew
        sink.snapshots.clear()
        _fit(tmp_path, alarm, max_epochs=6, **changes)
        measured = [one.epoch for one in sink.snapshots if "cue/patch/worst_group_accuracy" in one.scores]
        assert measured == expected


# --- beside others --------------------------------------------------------------------------------------------------


def test_two_alarms_and_a_monitor(tmp_path: Path) -> None:
    sinks = [MemorySink() for _ in range(3)]
    alarms = _alarm(sinks=[sinks[0]]), _alarm(PatchCue((0, 0, 2, 2), name="sticker"), 3, sinks=[sinks[1]])
    logger = RecordingLogger(tmp_path)
    _fit(tmp_path, *alarms, SaliencyMonitor("gradient", 4, sinks=[sinks[2]]), logger=logger, max_epochs=1)
    assert stages(sinks[0]) == stages(sinks[1]) == stages(sinks[2])
    assert alarms[0].state_key != alarms[1].state_key
    assert alarms[0].history != alarms[1].history
    for tag in ("cue/patch/effect", "cue/sticker/effect"):
        assert len(logger.of(tag)) == 2


def test_two_alarms_on_the_same_cue_need_two_names(tmp_path: Path) -> None:
    class BringsTwo(Classifier):
        def configure_callbacks(self) -> list[L.Callback]:
            return [_alarm(), _alarm(PatchCue((0, 0, 1, 1)))]

    with pytest.raises(ConfigurationError, match=r"CueAlarm and CueAlarm both write to 'cue/patch'.*`namespace=`"):
        _fit(tmp_path, module=BringsTwo())


def test_a_resumed_run_goes_on(tmp_path: Path) -> None:
    first = _alarm(patience=3)
    run = _fit(tmp_path, first, module=Leaning([9]), max_epochs=2)
    run.save_checkpoint(tmp_path / "run.ckpt")
    state = torch.load(tmp_path / "run.ckpt", weights_only=True)["callbacks"][first.state_key]
    assert state["streak"] == 2
    assert [one["epoch"] for one in state["history"]] == [0, 0, 1]
    sink = MemorySink()
    second = _alarm(patience=3, sinks=[sink])
    again = trainer(tmp_path, second, max_epochs=4)
    again.fit(Leaning([9]), train_loader(), val_loader(), ckpt_path=tmp_path / "run.ckpt", **WEIGHTS_ONLY)
    assert stages(sink) == [("fit", 2), ("fit", 3)]
    assert repr(second.history[:3]) == repr(first.history), "NaN compares by how it is written"
    assert _lit(second) == [(0, 0), (0, 0), (1, 1), (1, 0)], "the streak of the first run counts"
    assert second.state.indices == first.state.indices


def test_another_probe_starts_anew(tmp_path: Path) -> None:
    run = _fit(tmp_path, _alarm(patience=2), module=Leaning([9]), max_epochs=1)
    run.save_checkpoint(tmp_path / "run.ckpt")
    second = _alarm(patience=2, probe=20)
    again = trainer(tmp_path, second, max_epochs=2)
    with pytest.warns(SaliencyWarning, match="the probe differs from that of the checkpoint"):
        again.fit(Leaning([9]), train_loader(), val_loader(), ckpt_path=tmp_path / "run.ckpt")
    assert _lit(second) == [(0, 0)]
    assert second.state.streak == 1


def test_the_same_trainer_twice(tmp_path: Path) -> None:
    alarm = _alarm(patience=2)
    for _ in range(2):
        _fit(tmp_path, alarm, module=Leaning([9]), max_epochs=1)
    assert len(alarm.history) == 2, "another training, another history"


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    sink = MemorySink()
    alarm = CueAlarm(_CORNER, 0, probe=16, on_alarm="stop", sinks=[sink])
    _fit(tmp_path, alarm, module=Leaning([9]), fast_dev_run=True, logger=TensorBoardLogger(tmp_path))
    assert stages(sink)[-1] == ("final", 0)
    assert not list(tmp_path.rglob("*.json"))
    assert not list(tmp_path.rglob("events*"))
    assert int(alarm.groups.count[:, 0].sum()) == 16, "the whole validation set is not read"


def test_pickling() -> None:
    alarm = pickle.loads(pickle.dumps(_alarm(on_alarm=["warn", note])))
    assert alarm.history == ()
    assert alarm.groups is None
    assert alarm.cue == _CORNER
    assert alarm.on_alarm[0] == "warn"


# --- what cannot work -----------------------------------------------------------------------------------------------


class Untouched(Classifier):
    """Fails if it is trained."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        raise AssertionError("a training step was made")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"cue": PatchCue((0, 7, 2, 2))}, CueError, "extends beyond the images, which are 8 pixels high"),
        ({"cue": PatchCue((0, 0, 2, 2), value=[1.0, 0.0])}, CueError, "1 channel"),
        ({"cue": FunctionCue("torch.abs")}, CueError, "changes none of the probe's 16 samples"),
        ({"cue": BackgroundCue(torch.ones(16, 4, 4), 1.0)}, CueError, r"expected \[16, 8, 8\], one mask"),
        ({"cue": BackgroundCue("probe", 1.0)}, CueError, "the probe has none"),
        ({"cue": "patch"}, CueError, r"cue='patch' is of type str; expected a cue"),
        ({"cue": PatchCue}, CueError, "expected a cue of saliency_callbacks.probe"),
        ({"suspect_class": 10}, TargetError, "class 10 does not exist; expected an index from 0 to 9"),
        ({"suspect_class": -1}, ConfigurationError, "suspect_class=-1"),
        ({"suspect_class": "cat"}, ConfigurationError, "suspect_class='cat'"),
        ({"statistic": "efect"}, ConfigurationError, "did you mean 'effect'"),
        ({"removal": "local_maen"}, ConfigurationError, "did you mean 'local_mean'"),
        ({"removal": ""}, ConfigurationError, "removal=''"),
        ({"removal": "noise"}, CueError, "the probe has no masks"),
        ({"on_alarm": "warm"}, ConfigurationError, "did you mean 'warn'"),
        ({"on_alarm": ["log", "stpo"]}, ConfigurationError, "did you mean 'stop'"),
        ({"on_alarm": "no.such.function"}, ConfigurationError, "cannot be imported"),
        ({"on_alarm": [3]}, ConfigurationError, "on_alarm"),
        ({"on_alarm": 3}, ConfigurationError, "on_alarm=3"),
        ({"on_alarm": None}, ConfigurationError, "on_alarm has None; .*for no action"),
        ({"threshold": float("nan")}, ConfigurationError, "threshold=nan; expected a finite number"),
        ({"threshold": float("inf")}, ConfigurationError, "threshold=inf"),
        ({"threshold": "high"}, ConfigurationError, "threshold='high'"),
        ({"threshold": True}, ConfigurationError, "threshold=True"),
        ({"confidence": 0}, ConfigurationError, "confidence=0; expected a finite number between 0 and 1"),
        ({"confidence": 1.0}, ConfigurationError, "confidence=1.0"),
        ({"confidence": 95}, ConfigurationError, "confidence=95"),
        ({"patience": 0}, ConfigurationError, "patience=0"),
        ({"n_bootstrap": 0}, ConfigurationError, "n_bootstrap=0"),
        ({"panel_size": 0}, ConfigurationError, "panel_size=0"),
        ({"groups_every_n_epochs": 0}, ConfigurationError, "every_n_epochs=0"),
        ({"method": "gradientt"}, ConfigurationError, "did you mean 'gradient'"),
        ({"method": "grad_cam", "target_layers": "conv"}, ConfigurationError, "no layer 'conv'"),
        ({"normalization": [[0.5, 0.5], [1.0, 1.0]]}, CueError, "has 2 values"),
        ({"seed": -1}, ConfigurationError, "seed=-1"),
        ({"namespace": "a/b"}, ConfigurationError, "namespace='a/b'"),
    ],
    ids=str,
)
def test_mistakes_are_errors_before_the_training(
    tmp_path: Path, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        _fit(tmp_path, _alarm(**arguments), module=Untouched())


def test_a_probe_of_the_suspect_class_alone(tmp_path: Path) -> None:
    images, labels = _samples(0, 200)
    probe = Probe.from_tensors(images[labels == 0], labels[labels == 0])
    with pytest.raises(CueError, match=r"the probe has no sample outside class 0 .*labels \[0\]"):
        _fit(tmp_path, _alarm(probe=probe), module=Untouched())


def test_empty_masks_leave_nothing_to_remove(tmp_path: Path) -> None:
    images, labels = _samples()
    probe = Probe.from_tensors(images, labels, masks=torch.zeros(len(images), 8, 8))
    with pytest.raises(ConfigurationError, match="all masks of the probe are empty"):
        _fit(tmp_path, _alarm(probe=probe, removal="noise"), module=Untouched())


def test_few_samples_are_named(tmp_path: Path) -> None:
    images, labels = _samples()
    few = Probe.from_tensors(images[labels != 0][:5], labels[labels != 0][:5])
    with pytest.warns(SaliencyWarning, match="only 5 samples of the probe can be used.*the lower bound is unreliable"):
        _fit(tmp_path, _alarm(probe=few), max_epochs=1)


def test_a_probe_without_labels(tmp_path: Path) -> None:
    images, _ = _samples()
    sink = MemorySink()
    alarm = _alarm(probe=Probe.from_tensors(images), sinks=[sink])
    with pytest.warns(SaliencyWarning, match="the probe has no labels"):
        _fit(tmp_path, alarm, max_epochs=1)
    assert len(alarm.history[-1].values) == len(images)
    assert not np.isnan(alarm.history[-1].values).any()


def test_without_validation_it_says_that_it_sees_nothing(tmp_path: Path) -> None:
    alarm = _alarm(groups_at_fit_end=True)
    with pytest.warns(SaliencyWarning, match="CueAlarm observes nothing without validation"):
        _fit(tmp_path, alarm, limit_val_batches=0, max_epochs=1)
    assert alarm.history == ()
    assert alarm.groups is None


# --- configuration --------------------------------------------------------------------------------------------------

_EVERY_ARGUMENT = f"""
cue:
  class_path: saliency_callbacks.probe.PatchCue
  init_args: {{box: [-2, -2, 2, 2], value: [0.5], name: tag}}
suspect_class: 3
probe: {{class_path: saliency_callbacks.Probe, init_args: {{size: 24, masks: {__name__}.middle}}}}
rule: {{statistic: contrast, threshold: 0.5, patience: 3, confidence: 0.9, n_bootstrap: 50}}
on_alarm: [stop, tests.trainer.runs.image_mean]
confirmation:
  method: {{class_path: saliency_callbacks.methods.SmoothGrad, init_args: {{nt_samples: 2}}}}
  target_layers: [net.0]
  panel_size: 4
  removal: noise
  groups_at_fit_end: false
  groups_every_n_epochs: 2
every_n_epochs: 2
reading:
  module: net
  output_fn: torch.sigmoid
  attribute_to: x
  outputs: logits
  shared: [mask, 2]
  layout: NCHW
  reshape_transform: torch.relu
  embedding: net.words
  tokenizer: null
compute:
  internal_batch_size: 2
  precision: "32"
  max_seconds_per_observation: 2.5
  shard_probe: true
  seed: 7
appearance:
  style: heatmap
  color_scale: per_map
  bands: [2, 1, 0]
  axis_names: [depth, height, width]
  colormap: viridis
  alpha: 0.5
  contour: 0.1
  normalization: [[0.5], [0.2]]
  class_names: [a, b]
storage: {{save_maps: false, keep_maps: 5, directory: kept, scalars: all}}
sinks: []
on_error: raise
namespace: watch
"""


def _read(monkeypatch: pytest.MonkeyPatch, config: Path, *more: str) -> CueAlarm:
    monkeypatch.setattr(sys, "argv", ["train.py", "--config", str(config), *more])
    cli = LightningCLI(Classifier, run=False, save_config_callback=None, seed_everything_default=0)
    return next(one for one in cli.trainer.callbacks if isinstance(one, CueAlarm))


def _written(path: Path, arguments: dict[str, Any]) -> Path:
    callback = {"class_path": "saliency_callbacks.CueAlarm", "init_args": arguments}
    path.write_text(yaml.safe_dump({"trainer": {"callbacks": [callback], "accelerator": "cpu", "logger": False}}))
    return path


def test_every_argument_can_be_written_as_yaml(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = yaml.safe_load(_EVERY_ARGUMENT)
    assert settings_in(CueAlarm, arguments) == every_setting(CueAlarm), "none is forgotten"
    path = _written(tmp_path / "config.yaml", arguments)
    first = _read(monkeypatch, path)
    with pytest.raises(SystemExit):
        _read(monkeypatch, path, "--print_config")
    printed = tmp_path / "printed.yaml"
    printed.write_text(capsys.readouterr().out)
    for alarm in (first, _read(monkeypatch, printed)):
        assert alarm.cue == PatchCue((-2, -2, 2, 2), [0.5], name="tag")
        assert (alarm.suspect_class, alarm.probe.size, alarm.probe.masks is not None) == (3, 24, True)
        assert (alarm.rule.statistic, alarm.rule.threshold, alarm.rule.patience) == ("contrast", 0.5, 3)
        assert (alarm.rule.confidence, alarm.rule.n_bootstrap) == (0.9, 50)
        assert alarm.on_alarm[0] == "stop"
        assert alarm.on_alarm[1].__name__ == "image_mean"
        assert alarm.settings.methods == (SmoothGrad(nt_samples=2),)
        assert (alarm.confirmation.panel_size, alarm.confirmation.removal) == (4, "noise")
        assert (alarm.confirmation.groups_at_fit_end, alarm.confirmation.groups_every_n_epochs) == (False, 2)
        assert list(alarm.settings.target_layers) == ["net.0"]
        assert (alarm.settings.reshape_transform, alarm.settings.output_fn) == (torch.relu, torch.sigmoid)
        assert (alarm.settings.attribute_to, alarm.settings.internal_batch_size) == ("x", 2)
        assert (alarm.reading.module, alarm.every_n_epochs) == ("net", 2)
        assert alarm.appearance == Appearance(
            "heatmap",
            "per_map",
            "viridis",
            0.5,
            0.1,
            normalization=[[0.5], [0.2]],
            class_names=["a", "b"],
            bands=[2, 1, 0],
            axis_names=["depth", "height", "width"],
        )
        assert alarm.storage == Storage(save_maps=False, keep_maps=5, directory="kept", scalars="all")
        assert (alarm.sinks, alarm.on_error) == ((), "raise")
        assert (alarm.namespace, alarm.settings.seed) == ("watch", 7)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("BrightnessCue", {"delta": 0.25}),
        ("ChannelShiftCue", {"shift": [0.25]}),
        ("ChannelShiftCue", {"shift": {0: 0.25}}),
        ("BackgroundCue", {"masks": "probe", "background": 1.0}),
        ("BackgroundCue", {"masks": "torch.relu", "background": [0.5, 0.25, 0.0], "name": "water"}),
        ("FunctionCue", {"function": "torch.square"}),
        ("ImageCue", {"image": "mark.png", "box": [0, 0, 2, 2], "alpha": 0.5}),
    ],
)
def test_every_cue_can_be_written_as_yaml(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, given: Any
) -> None:
    Image.fromarray(np.full((2, 2), 200, dtype=np.uint8)).save("mark.png")
    from saliency_callbacks import probe

    cue = {"class_path": f"saliency_callbacks.probe.{name}", "init_args": given}
    path = _written(tmp_path / "config.yaml", {"cue": cue, "suspect_class": 1})
    alarms = [_read(monkeypatch, path)]
    with pytest.raises(SystemExit):
        _read(monkeypatch, path, "--print_config")
    printed = tmp_path / "printed.yaml"
    printed.write_text(capsys.readouterr().out)
    alarms.append(_read(monkeypatch, printed))
    # Older releases of jsonargparse hand functions over, newer ones their paths.
    functions = {key: torch.square for key, value in given.items() if value == "torch.square"}
    expected = {repr(getattr(probe, name)(**one)) for one in (given, given | functions)}
    assert {repr(alarm.cue) for alarm in alarms} <= expected
