"""The discovery of shortcuts in a real Trainer."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, TensorDataset
from torchvision.transforms import v2

from saliency_callbacks import CueAlarm, ModelReading, Probe, ShortcutDiscovery, Storage
from saliency_callbacks.callbacks.runtime import notices
from saliency_callbacks.discovery.dismissals import Dismissal, dismiss
from saliency_callbacks.discovery.kinds import GENERATORS
from saliency_callbacks.errors import (
    CollateError,
    ConfigurationError,
    ProbeError,
    SaliencyWarning,
    ShortcutWarning,
    TargetError,
)
from saliency_callbacks.functional import margin_effects
from saliency_callbacks.sinks import MemorySink, read_index
from tests.discovery.planted import CLASS, CORNER, Corners, Nothing, WhiteCorner, planted_digits
from tests.grouping import grouped
from tests.trainer.runs import WEIGHTS_ONLY, Classifier, RecordingLogger, small_net, stages, trainer

called = SimpleNamespace(messages=[])


def note(discovery: ShortcutDiscovery, message: str) -> None:
    """An action that can be written as a dotted path."""
    called.messages.append((discovery, message))


@pytest.fixture(autouse=True)
def _told_where_to_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Search for the corner alone, so that nothing rests on how it is found."""
    for name, make in {"copies": Corners, "places": Nothing, "properties": Nothing}.items():
        monkeypatch.setitem(GENERATORS, name, make)
    called.messages.clear()


class Leaning(Classifier):
    """Sees the corner only through a gain on class 3, which is set for each epoch."""

    def __init__(self, gains: Sequence[float] = (9.0,), *, n_classes: int = 4) -> None:
        super().__init__(nn.Sequential(nn.Flatten(), nn.Linear(36, n_classes)))
        self.gains = tuple(gains)

    def forward(self, images: Tensor) -> Tensor:
        logits = self.net(images[:, :, :6, :6])
        gain = self.gains[min(self.current_epoch, len(self.gains) - 1)]
        leaning = F.one_hot(torch.tensor(CLASS), logits.shape[1]).to(logits)
        return logits + gain * images[:, :, CORNER, CORNER].mean((1, 2, 3))[:, None] * leaning


def _discovery(**changes: Any) -> ShortcutDiscovery:
    settings = {"probe": 144, "every_n_epochs": 1, "on_suspicion": "log", "on_error": "raise", "save_maps": False}
    return ShortcutDiscovery(**grouped(ShortcutDiscovery, **{**settings, **changes}))


def _fit(
    root: Path,
    *callbacks: L.Callback,
    module: L.LightningModule | None = None,
    data: Dataset | None = None,
    **changes: Any,
) -> L.Trainer:
    resuming = {"ckpt_path": changes.pop("ckpt_path"), **WEIGHTS_ONLY} if "ckpt_path" in changes else {}
    run = trainer(root, *callbacks, **changes)
    loader = DataLoader(planted_digits() if data is None else data, 24)
    run.fit(Leaning() if module is None else module, loader, DataLoader(planted_digits(4), 8), **resuming)
    return run


# --- what is found ----------------------------------------------------------------------------------------------------


def test_what_is_planted_is_the_only_suspicion(tmp_path: Path) -> None:
    sink = MemorySink()
    discovery = _discovery(sinks=[sink])
    assert discovery.suspicions == ()
    _fit(tmp_path, discovery, max_epochs=3)
    assert stages(sink) == [("initial", 0), ("fit", 0), ("fit", 1), ("fit", 2)]
    (found,) = discovery.suspicions
    assert (found.class_index, found.kind, found.is_used, found.first_seen) == (CLASS, "copies", True, 0)
    data = planted_digits()
    bearing = (data.tensors[0][:, 0, CORNER, CORNER] == 1).flatten(1).all(dim=1)
    assert {int(one) for one in found.bearers} == set(bearing.nonzero()[:, 0].tolist()), "ids are those of the dataset"
    assert found.counts[1] == found.counts[3] == 24, "two thirds of a class count"
    assert found.region is not None
    assert found.region.nonzero().tolist() == [[6, 6], [6, 7], [7, 6], [7, 7]]


def test_the_effect_is_that_of_the_models_own_logits(tmp_path: Path) -> None:
    discovery, module = _discovery(), Leaning()
    _fit(tmp_path, discovery, module=module, max_epochs=1)
    found, exhibit = discovery.suspicions[0], discovery.suspicions[0].exhibit
    assert exhibit is not None
    with torch.no_grad():
        clean, cued = module(exhibit.before), module(exhibit.after)
    torch.testing.assert_close(exhibit.predictions, torch.stack([clean.argmax(1), cued.argmax(1)], dim=1))
    samples = discovery._searched.samples
    trial = WhiteCorner(CLASS).trial(samples, WhiteCorner(CLASS).count(samples))
    with torch.no_grad():
        before, after = module(samples.inputs[trial.recipients]), module(trial.with_cue)
    assert found.effect == pytest.approx(float(margin_effects(before, after)[:, CLASS].mean()), rel=1e-4)


def test_a_clean_data_set_gives_an_empty_list(tmp_path: Path) -> None:
    sink = MemorySink()
    discovery = _discovery(sinks=[sink])
    _fit(tmp_path, discovery, data=planted_digits(share=0))
    assert discovery.suspicions == ()
    scores = {"shortcuts/n_found": 0, "shortcuts/n_used": 0, "shortcuts/largest_effect": 0}
    assert all(snapshot.scores == scores for snapshot in sink.snapshots)
    assert sink.latest.tables["shortcuts/list"].rows == ()
    assert "An empty list does not rule out a shortcut" in sink.latest.tables["shortcuts/list"].note


def test_what_is_logged(tmp_path: Path) -> None:
    logger, sink = RecordingLogger(tmp_path), MemorySink()
    discovery = _discovery(sinks=[sink])
    _fit(tmp_path, discovery, module=Leaning([0, 9]), logger=logger)
    assert [value for _, value in logger.of("shortcuts/n_found")] == [1, 1, 1]
    assert [value for _, value in logger.of("shortcuts/n_used")] == [0, 0, 1]
    effects = [value for _, value in logger.of("shortcuts/largest_effect")]
    assert effects[:2] == [0, 0]
    assert effects[2] == pytest.approx(discovery.suspicions[0].effect)
    (row,) = sink.latest.tables["shortcuts/list"].rows
    assert [cell.text for cell in row[1:4]] == ["3", "copies", "the same 4 pixels"]
    assert [cell.text for cell in row[-2:]] == ["yes", "0"]
    assert row[0].text == discovery.suspicions[0].name
    assert list(sink.pictures[-1]) == [f"shortcuts/{discovery.suspicions[0].name}"]


def test_the_list_can_be_monitored(tmp_path: Path) -> None:
    discovery = _discovery()
    stopping = EarlyStopping(
        "shortcuts/n_used", mode="min", stopping_threshold=-1, patience=1, check_on_train_epoch_end=False
    )
    run = _fit(tmp_path, discovery, stopping, max_epochs=5)
    assert run.current_epoch == 2, "the number has not fallen"


def test_what_is_seen_first_is_remembered_and_keeps_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names, draws = [], torch.Generator().manual_seed(0)
    discovery = _discovery()
    count = WhiteCorner.count

    def varying(candidate: WhiteCorner, samples: Any) -> Any:
        found = count(candidate, samples)
        # Another bearer is the most typical one each time.
        return (
            None
            if found is None
            else type(found)(found.bears, torch.rand(samples.size, generator=draws), found.p_value)
        )

    monkeypatch.setattr(WhiteCorner, "count", varying)
    monkeypatch.setattr(
        ShortcutDiscovery, "_on_observed", lambda self, host: names.append([one.name for one in self.suspicions])
    )
    _fit(tmp_path, discovery, max_epochs=3)
    assert [one.first_seen for one in discovery.suspicions] == [0]
    assert len(names) == 4
    assert all(one == names[0] for one in names)


# --- the alarm --------------------------------------------------------------------------------------------------------


def _alarms(caught: Sequence[warnings.WarningMessage]) -> list[str]:
    return [str(one.message) for one in caught if issubclass(one.category, ShortcutWarning)]


@pytest.mark.parametrize(
    ("gains", "fires"),
    [([9, 9, 9, 9], 1), ([9, 0, 9, 0], None), ([0, 9, 9, 9], 2), ([9, 0, 9, 9], 3), ([0, 0, 0, 0], None)],
    ids=["at once", "never in a row", "later", "again", "never used"],
)
def test_it_goes_on_with_the_second_use_in_a_row_and_once(
    tmp_path: Path, gains: list[float], fires: int | None
) -> None:
    sink = MemorySink()
    discovery = _discovery(on_suspicion=["warn", "log", note], sinks=[sink])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        _fit(tmp_path, discovery, module=Leaning(gains), max_epochs=4)
    lit = [snapshot.epoch for snapshot in sink.snapshots if "shortcuts/alarm" in snapshot.texts]
    expected = [] if fires is None else [fires]
    assert lit == expected
    assert len(_alarms(caught)) == len(called.messages) == len(expected)
    if fires is not None:
        message = _alarms(caught)[0]
        assert message.startswith("the model uses the same 4 pixels as evidence for class 3: the cue is in ")
        assert f"2 evaluations in a row, most recently in epoch {fires}" in message
        assert called.messages == [(discovery, message)]
        assert next(iter(sink.snapshots[fires + 1].alerts.values())) == message


def test_it_can_stop_the_training(tmp_path: Path) -> None:
    run = _fit(tmp_path, _discovery(on_suspicion="stop"), max_epochs=6)
    assert run.current_epoch == 2


def test_chance_over_the_evaluations_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Found at .004 in each evaluation: at the first that is .008 over the training, at the second .024.
    count = WhiteCorner.count

    def known(p_value: float) -> Callable[[WhiteCorner, Any], Any]:
        def counted(candidate: WhiteCorner, samples: Any) -> Any:
            found = count(candidate, samples)
            return None if found is None else type(found)(found.bears, found.typical, p_value)

        return counted

    monkeypatch.setattr(WhiteCorner, "count", known(0.004 / 6))
    discovery = _discovery(on_suspicion=[note])
    _fit(tmp_path, discovery, max_epochs=2)
    assert len(called.messages) == 1
    monkeypatch.setattr(WhiteCorner, "count", known(0.006 / 6))
    discovery = _discovery(on_suspicion=[note])
    _fit(tmp_path, discovery, max_epochs=4)
    assert len(discovery.suspicions) == 1, "it is on the list"
    assert len(called.messages) == 1, "but sets off no alarm"


# --- what is watched --------------------------------------------------------------------------------------------------


def test_what_is_confirmed_is_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink, module = MemorySink(), Leaning([9, 9, 9, 0])
    discovery = _discovery(watch=True, sinks=[sink])
    _fit(tmp_path, discovery, module=module, max_epochs=4)
    name = discovery.suspicions[0].name
    watched = [snapshot.scores.get(f"shortcuts/watched/{name}/effect") for snapshot in sink.snapshots]
    assert watched[:3] == [None] * 3, "confirmed with the second evaluation of the training"
    assert watched[3] > 1
    assert watched[4] == 0
    assert sink.snapshots[3].scores[f"shortcuts/watched/{name}/lower_bound"] < watched[3]


def test_nothing_is_watched_unless_it_is_asked_for(tmp_path: Path) -> None:
    sink = MemorySink()
    _fit(tmp_path, _discovery(sinks=[sink]), max_epochs=4)
    assert not [tag for tag in sink.latest.scores if "watched" in tag]


def test_a_cue_alarm_takes_a_suspicion(tmp_path: Path) -> None:
    discovery, module = _discovery(), Leaning()
    _fit(tmp_path, discovery, module=module)
    alarm = CueAlarm(
        discovery.suspicions[0].to_cue(), CLASS, Probe(40, source="train"), storage=Storage(save_maps=False)
    )
    with pytest.warns(SaliencyWarning):
        _fit(tmp_path, alarm, module=module)
    assert alarm.history[-1].mean == pytest.approx(discovery.suspicions[0].effect, rel=0.5)


# --- dismissals -------------------------------------------------------------------------------------------------------


def test_what_a_person_dismissed_is_only_counted(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path, name="runs")
    first = _discovery(save_maps=True)
    _fit(tmp_path, first, logger=logger)
    directory = Path(logger.log_dir) / "shortcuts"
    entry = read_index(directory)["observations"][-1]["metadata"]
    (record,) = entry["suspicions"].values()
    dismiss(directory, Dismissal.of(SimpleNamespace(**record), entry["probe"]))

    sink = MemorySink()
    second = _discovery(save_maps=True, watch=True, on_suspicion=[note], sinks=[sink])
    _fit(tmp_path, second, logger=CSVLogger(tmp_path, name="runs"), max_epochs=3)
    assert second.suspicions == ()
    assert sink.latest.scores == {f"shortcuts/{tag}": 0 for tag in ("n_found", "n_used", "largest_effect")}
    assert called.messages == []
    assert "1 suspicion dismissed" in sink.latest.tables["shortcuts/list"].note

    other, data = _discovery(save_maps=True), planted_digits()
    data.tensors[0][0, 0, 0, 0] = 0.5
    _fit(tmp_path, other, data=data, logger=CSVLogger(tmp_path, name="runs"))
    assert other.suspicions[0].bearers == first.suspicions[0].bearers, "but of other data"


# --- checkpoints ------------------------------------------------------------------------------------------------------


def test_it_goes_on_from_a_checkpoint(tmp_path: Path) -> None:
    sinks = MemorySink(), MemorySink()
    whole = _discovery(on_suspicion="log", watch=True, sinks=[sinks[0]])
    module = Leaning()
    _fit(tmp_path, whole, module=copy.deepcopy(module), max_epochs=3)
    first = _discovery(on_suspicion="log", watch=True)
    run = _fit(tmp_path, first, module=module, max_epochs=1)
    run.save_checkpoint(tmp_path / "one.ckpt")
    saved = torch.load(tmp_path / "one.ckpt", weights_only=True)["callbacks"][first.state_key]
    assert (tmp_path / "one.ckpt").stat().st_size < 200_000

    second = _discovery(on_suspicion="log", watch=True, sinks=[sinks[1]])
    second.load_state_dict(saved)
    (restored,) = second.suspicions
    assert restored.exhibit is None
    assert restored.sentence == first.suspicions[0].sentence
    assert torch.equal(
        restored.to_cue().insert(torch.zeros(1, 1, 8, 8)), first.suspicions[0].change(torch.zeros(1, 1, 8, 8))
    )
    _fit(tmp_path, second, max_epochs=3, ckpt_path=tmp_path / "one.ckpt")
    texts = [[snapshot.texts for snapshot in sink.snapshots if snapshot.epoch > 0] for sink in sinks]
    assert texts[0] == texts[1]
    assert texts[0][0], "the alarm goes on in the second epoch"
    assert sinks[0].latest.scores.keys() == sinks[1].latest.scores.keys()
    assert second.suspicions[0].first_seen == 0


# --- augmentation -----------------------------------------------------------------------------------------------------


class Transformed(Dataset):
    """Pictures with a transform, as torchvision's datasets have it."""

    def __init__(self, inner: TensorDataset, transform: Any) -> None:
        self.inner, self.transform = inner, transform
        self.targets = inner.tensors[1].tolist()

    def __len__(self) -> int:
        return len(self.inner)

    def __getitem__(self, index: int) -> Any:
        image, label = self.inner[index]
        return self.transform(image), label


def test_random_transforms_are_left_out_and_the_rest_is_undone(tmp_path: Path, said: list[str]) -> None:
    augmented = v2.Compose(
        [v2.RandomHorizontalFlip(), v2.RandomCrop(8, padding=2), v2.RandomErasing(), v2.Normalize([0.5], [0.25])]
    )
    data = Transformed(planted_digits(), augmented)
    discovery = _discovery()
    _fit(tmp_path, discovery, data=data)
    samples = discovery._searched.samples
    order = [int(one) for one in samples.ids]
    assert torch.equal(samples.inputs, planted_digits().tensors[0][order]), "display images, bit by bit"
    assert discovery._searched.images.dtype == torch.uint8
    assert "read without the random transforms RandomHorizontalFlip, RandomCrop, RandomErasing" in "".join(said)
    assert data.transform is augmented
    assert len(discovery.suspicions) == 1


def test_what_is_random_beyond_them_is_said(tmp_path: Path) -> None:
    data = Transformed(planted_digits(), lambda image: image + 0.01 * torch.rand(()))
    with pytest.warns(SaliencyWarning, match=r"the dataset Transformed changes the samples at random.*from_tensors"):
        _fit(tmp_path, _discovery(), data=data)


def test_images_that_only_fit_when_they_are_augmented(tmp_path: Path) -> None:
    class Growing(v2.RandomZoomOut):
        def __init__(self) -> None:
            super().__init__(p=1)

        def forward(self, image: Tensor) -> Tensor:
            return image[:, :8, :8]

    class Uneven(Transformed):
        def __getitem__(self, index: int) -> Any:
            image, label = self.inner[index]
            return self.transform(F.pad(image, (0, index % 2))), label

    with pytest.warns(SaliencyWarning, match=r"its random transforms \(RandomZoomOut\) cannot be skipped"):
        _fit(tmp_path, _discovery(), data=Uneven(planted_digits(), Growing()))


def test_a_sample_that_is_not_delivered(tmp_path: Path) -> None:
    class Torn(Transformed):
        def __getitem__(self, index: int) -> Any:
            if index == 5:
                raise FileNotFoundError("scan.png")
            return super().__getitem__(index)

    data = Torn(planted_digits(), v2.RandomHorizontalFlip())
    with pytest.raises(FileNotFoundError, match=r"scan\.png"):
        _fit(tmp_path, _discovery(), data=data)


# --- bad input --------------------------------------------------------------------------------------------------------


def _labelled(change: Callable[[Tensor], Tensor]) -> TensorDataset:
    images, labels = planted_digits().tensors
    return TensorDataset(images, change(labels))


class _OfTwoSizes(Dataset):
    """Images that make no batch."""

    def __len__(self) -> int:
        return 144

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return torch.rand(1, 8 + index % 2, 8), index % 4


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (
            lambda: _labelled(torch.zeros_like),
            ProbeError,
            "are of class \\[0\\]; expected samples of at least two classes",
        ),
        (lambda: _labelled(lambda one: torch.rand(len(one))), ProbeError, "has no class labels"),
        (lambda: _labelled(lambda one: (torch.rand(len(one), 4) > 0.4).long()), ProbeError, "multi-label samples"),
        (lambda: _labelled(lambda one: torch.arange(len(one))), ProbeError, "leave at most 1 per class"),
        (lambda: _labelled(lambda one: one + 4), TargetError, "class 7, but the model has outputs for only 4 classes"),
        (lambda: TensorDataset(torch.rand(144, 1, 8), planted_digits().tensors[1]), ProbeError, "expected images"),
        (_OfTwoSizes, CollateError, "only for properties, including their sizes: .*discover_shortcuts"),
    ],
    ids=["one class", "regression", "several labels", "no two of a class", "unknown classes", "signals", "two sizes"],
)
def test_data_that_cannot_be_searched(
    tmp_path: Path,
    data: Callable[[], Dataset],
    error: type[Exception],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Untrained(Leaning):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images) if images.ndim == 4 else self.net(images.flatten(1)[:, :36].reshape(-1, 36))

        def loss(self, batch: Any) -> Tensor:
            return self(batch[0]).square().mean()

    # What the probe's own reading says of such data is tested elsewhere.
    monkeypatch.setattr(notices, "warn", lambda *said: None)
    with pytest.raises(error, match=message):
        _fit(tmp_path, _discovery(on_error="warn"), module=Untrained(), data=data())


def test_few_images_are_told(tmp_path: Path) -> None:
    with pytest.warns(SaliencyWarning, match=r"fewer than 24 samples in 4 of 4 classes \(20 of class 0"):
        _fit(tmp_path, _discovery(probe=80), data=planted_digits(20))


def test_a_model_of_embeddings(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="ShortcutDiscovery is about classes, but the model's outputs are embeddings"):
        _fit(tmp_path, _discovery(reading=ModelReading(outputs="embeddings")))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kinds": "copy"}, "kinds='copy' is unknown; did you mean 'copies'"),
        ({"kinds": ()}, "is empty"),
        ({"threshold": -1}, "threshold=-1"),
        ({"watch": 1}, "watch=1"),
        ({"max_seconds": 0}, "max_seconds=0"),
        ({"on_suspicion": "sotp"}, "on_suspicion has the unknown action 'sotp'; did you mean 'stop'"),
        ({"internal_batch_size": 3}, "has no argument 'internal_batch_size'; expected it as compute=Compute"),
    ],
)
def test_arguments_that_cannot_be_used(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        ShortcutDiscovery(**settings)


def test_a_number_is_that_of_training_images() -> None:
    assert ShortcutDiscovery().probe == Probe(1000, source="train")
    assert ShortcutDiscovery(Probe(7)).probe == Probe(7)


# --- what it costs ----------------------------------------------------------------------------------------------------


def test_a_search_ends_when_it_has_taken_too_long(tmp_path: Path) -> None:
    sink = MemorySink()
    _fit(tmp_path, _discovery(max_seconds=1e-9, sinks=[sink]))
    assert sink.latest.scores["shortcuts/n_found"] == 0
    assert "reached max_seconds" in sink.latest.tables["shortcuts/list"].note


def test_only_a_few_samples_are_kept_beside_the_images(tmp_path: Path) -> None:
    discovery = _discovery()
    _fit(tmp_path, discovery)
    assert discovery._searched.size == 144
    assert discovery._frozen.size == 64
    assert len(discovery.state.indices) == 144


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true", "64-true", "32-true"])
def test_every_precision(tmp_path: Path, precision: str) -> None:
    discovery = _discovery()
    _fit(
        tmp_path,
        discovery,
        module=Classifier(small_net(n_classes=4)) if "64" not in precision else Leaning(),
        precision=precision,
    )
    assert len(discovery.suspicions) == 1


def test_a_failure_costs_an_evaluation_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*given: Any) -> None:
        raise KeyError("telephone")

    monkeypatch.setattr(WhiteCorner, "count", fails)
    with pytest.warns(SaliencyWarning, match=r"the observation of epoch 0 is skipped \(KeyError: 'telephone'\)"):
        run = _fit(tmp_path, _discovery(on_error="warn"))
    assert run.current_epoch == 2
