"""A cue is put into samples of which few are shown: what is found is what a probe held whole would tell."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset

from benchmarks.cost.measure import peak_tensor_bytes
from saliency_callbacks import AlarmRule, CueAlarm, Probe
from saliency_callbacks.callbacks.cue import group_accuracy
from saliency_callbacks.callbacks.cue.confirmation import Confirmation
from saliency_callbacks.callbacks.runtime.settings import Storage
from saliency_callbacks.callbacks.streaming import capacity, reading
from saliency_callbacks.errors import CueError, ProbeError, SaliencyWarning
from saliency_callbacks.probe import BackgroundCue, PatchCue, TokenCue
from saliency_callbacks.probe.selection import random_sample
from saliency_callbacks.sinks import MemorySink
from tests.trainer import interference, text_runs
from tests.trainer.runs import N_VAL, Augmented, Classifier, digits, train_loader, trainer

_SHOWN, _ROWS = 8, 16
_CORNER = PatchCue((-2, -2, 2, 2))


@pytest.fixture(autouse=True)
def _few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_LEAST_ROWS", _ROWS)


def middle(images: Tensor) -> Tensor:
    masks = torch.zeros(len(images), *images.shape[2:], dtype=torch.bool)
    # Of every second digit; the others bear nothing.
    masks[:, 2:6, 2:6] = (images[:, 0, 4, 4] > 0.3)[:, None, None]
    return masks


def _alarm(probe: Probe, sink: MemorySink | None = None, *, cue: Any = _CORNER, **changes: Any) -> CueAlarm:
    given = {"on_alarm": "log", "storage": Storage(save_maps=False), "on_error": "raise", **changes}
    return CueAlarm(cue, 3, probe, sinks=[] if sink is None else [sink], **given)


def _fit(root: Path, *callbacks: L.Callback, data: Any = None, workers: int = 0, epochs: int = 1, **how: Any) -> Any:
    data = digits(100, 100 + N_VAL) if data is None else data
    run = trainer(root, *callbacks, max_epochs=epochs, limit_val_batches=1)
    run.fit(Classifier(), train_loader(), DataLoader(data, 4, num_workers=workers), **how)
    return run


@pytest.mark.parametrize("cue", [_CORNER, BackgroundCue(masks=middle, background=0.0)], ids=["patch", "background"])
def test_what_is_found_is_what_a_probe_held_whole_tells(tmp_path: Path, cue: Any) -> None:
    sinks, alarms = [MemorySink(), MemorySink()], []
    for shown, sink in zip((_SHOWN, N_VAL), sinks, strict=True):
        how = Confirmation(removal="local_mean")
        alarms.append(_alarm(Probe(N_VAL, shown=shown, masks=middle), sink, cue=cue, confirmation=how))
        _fit(tmp_path, alarms[-1])
    streamed, whole = alarms
    assert len(streamed.history) == len(whole.history) == 2
    for one, other in zip(streamed.history, whole.history, strict=True):
        for few, all_ in ((one.effects, other.effects), (one.contrasts, other.contrasts)):
            torch.testing.assert_close(torch.tensor(few), torch.tensor(all_), rtol=1e-4, atol=1e-5, equal_nan=True)
            assert bool(torch.tensor(all_).isnan().any() and torch.tensor(all_).isfinite().any())
        assert one.flip_rate == pytest.approx(other.flip_rate)
        assert one.lower_bound == pytest.approx(other.lower_bound, rel=1e-4)
    for one, other in zip(*(sink.snapshots for sink in sinks), strict=True):
        assert one.scores.keys() == other.scores.keys()
        tags = [tag for tag in one.scores if tag.rsplit("/", 1)[-1] not in ("mass", "lift")]
        assert any("removal_effect" in tag for tag in tags) or one.stage == "final"
        for tag in tags:
            assert one.scores[tag] == pytest.approx(other.scores[tag], rel=1e-4, abs=1e-5, nan_ok=True), tag
        if one.stage != "final":
            assert {len(values) for values in one.sample_scores.values()} == {len(one.ids)} == {_SHOWN}
            assert one.metadata["samples"] == N_VAL


def test_the_picture_is_that_of_a_small_probe(tmp_path: Path) -> None:
    sinks = [MemorySink(), MemorySink()]
    for size, sink in zip((N_VAL, 12), sinks, strict=True):
        _fit(tmp_path, _alarm(Probe(size, shown=12), sink))
    one, other = (sink.latest for sink in sinks)
    assert one.ids == other.ids
    for tag in ("cue/patch/mass", "cue/patch/lift"):
        assert one.scores[tag] == other.scores[tag]


def of_one_length(rows: list[dict[str, Any]]) -> tuple[Tensor, Tensor]:
    """Text inputs with padding for a word, which is the same however many are read at a time."""
    padded = [(row["input_ids"] + [0] * 12)[:12] for row in rows]
    return torch.tensor(padded), torch.tensor([row["labels"] for row in rows])


def test_a_word_is_put_into_texts_that_are_not_shown(tmp_path: Path) -> None:
    alarms, n_texts = [], len(text_runs.items())
    for shown in (4, 64):
        cue, how = TokenCue("film", tokenizer=text_runs.WORDS), {"on_alarm": "log", "on_error": "raise"}
        alarms.append(CueAlarm(cue, 1, Probe(n_texts, shown=shown), storage=Storage(save_maps=False), **how))
        run = trainer(tmp_path, alarms[-1], max_epochs=1, limit_val_batches=1)
        loader = text_runs.loader(collate_fn=of_one_length)
        torch.manual_seed(0)
        run.fit(text_runs.LstmClassifier(), loader, loader)
    few, whole = (torch.tensor(one.history[-1].effects) for one in alarms)
    assert len(few) == len(whole) == n_texts > 4
    torch.testing.assert_close(few.sort().values, whole.sort().values, rtol=1e-4, atol=1e-5, equal_nan=True)


class Broken(Dataset):
    """Items of which some cannot be read."""

    def __init__(self, inner: TensorDataset, broken: set[int]) -> None:
        self.inner, self.broken, self.targets = inner, broken, inner.tensors[1]

    def __len__(self) -> int:
        return len(self.inner)

    def __getitem__(self, index: int) -> Any:
        if index in self.broken:
            raise OSError(f"no file {index}")
        return self.inner[index]


def test_items_that_cannot_be_read_are_left_out_and_named(tmp_path: Path) -> None:
    inner, confirmation = digits(100, 100 + N_VAL), Confirmation(groups_at_fit_end=False)
    whole = _alarm(Probe(N_VAL, shown=_SHOWN), confirmation=confirmation)
    _fit(tmp_path, whole, data=inner)
    broken = next(index for index in range(4, N_VAL) if index not in whole.state.indices)
    sink = MemorySink()
    alarm = _alarm(Probe(N_VAL, shown=_SHOWN), sink, confirmation=confirmation)
    with pytest.warns(SaliencyWarning, match=rf"1 of 40 samples of the probe cannot be read.*items {broken} of"):
        _fit(tmp_path, alarm, data=Broken(inner, {broken}))
    assert sink.latest.metadata["samples"] == N_VAL - 1
    assert sink.latest.metadata["unreadable"] == 1
    assert len(alarm.history[-1].effects) == len(whole.history[-1].effects) - 1


@pytest.mark.parametrize("broken", [{5, 17}, {5, *range(8, 16)}], ids=["some", "a whole piece"])
def test_accuracy_by_class_leaves_out_what_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: set[int]
) -> None:
    monkeypatch.setattr(group_accuracy, "_READ_AT_ONCE", 8)
    inner, found = digits(100, 100 + N_VAL), []
    left = [index for index in range(N_VAL) if index not in broken]
    for data in (Broken(inner, broken), TensorDataset(*(tensor[left] for tensor in inner.tensors))):
        alarm = _alarm(Probe.from_tensors(*inner[:12]))
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            _fit(tmp_path, alarm, data=data)
        assert alarm.groups is not None
        found.append((alarm.groups.count.tolist(), alarm.groups.correct.tolist()))
        told = [str(one.message) for one in said if "accuracy by class" in str(one.message)]
        assert len(told) == isinstance(data, Broken)
        assert all(f"{len(broken)} of 40 items" in one and "item 5 of the dataset" in one for one in told)
    assert found[0] == found[1]


def test_augmented_items_are_the_same_at_every_evaluation_and_by_workers(tmp_path: Path) -> None:
    data, found = Augmented(digits(100, 100 + N_VAL)), []
    for workers in (0, 1):
        alarm = _alarm(Probe(N_VAL, shown=_SHOWN), confirmation=Confirmation(groups_at_fit_end=False))
        _fit(tmp_path, alarm, data=data, workers=workers)
        found.append(repr([one.effects for one in alarm.history]))
    assert found[0] == found[1]


def _by_workers() -> tuple[DataLoader, list[DataLoader]]:
    train, (val,) = interference.digit_loaders()
    return train, [DataLoader(val.dataset, 8, num_workers=1)]


@pytest.mark.parametrize(
    "case",
    [interference.Case(), interference.Case(resumes=True), interference.Case(loaders=_by_workers)],
    ids=["plain", "resumed", "workers"],
)
def test_training_is_bit_identical(tmp_path: Path, case: interference.Case) -> None:
    sink = MemorySink()
    plain = case.final_state(tmp_path)
    observed = case.final_state(tmp_path, lambda: _alarm(Probe(20, shown=4), sink))
    interference.assert_equal(plain, observed)
    assert {one.metadata["samples"] for one in sink.snapshots if one.stage != "final"} == {20}


def test_a_resumed_run_finds_what_a_whole_one_does(tmp_path: Path) -> None:
    whole, half, resumed = (_alarm(Probe(20, shown=4)) for _ in range(3))
    _fit(tmp_path, whole, epochs=3)
    _fit(tmp_path, half, epochs=2).save_checkpoint(tmp_path / "half.ckpt")
    _fit(tmp_path, resumed, epochs=3, ckpt_path=tmp_path / "half.ckpt")
    assert repr(whole.history) == repr(resumed.history)


def test_memory_does_not_grow_with_the_number_of_samples(tmp_path: Path) -> None:
    peaks: dict[int, int] = {}

    class Measured(CueAlarm):
        def _observe(self, *arguments: Any) -> Any:
            made: list[Any] = []
            peaks[self.probe.size] = peak_tensor_bytes(lambda: made.append(super(Measured, self)._observe(*arguments)))
            return made[0]

    images = torch.rand(250, 1, 48, 48, generator=torch.Generator().manual_seed(0))
    for size in (50, 250):
        quick = {"storage": Storage(save_maps=False), "confirmation": Confirmation(groups_at_fit_end=False)}
        rule = AlarmRule(n_bootstrap=50)
        alarm = Measured(_CORNER, 3, Probe(size, shown=_SHOWN), rule=rule, on_error="raise", **quick)
        data = TensorDataset(images[:size], torch.arange(size) % 10)
        trainer(tmp_path, alarm, max_epochs=1, limit_val_batches=1).fit(
            Classifier(), DataLoader(data, 4), DataLoader(data, 4)
        )
    assert peaks[250] < 1.1 * peaks[50]


def test_what_does_not_fit_is_an_error_before_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "available_memory", lambda: 10)
    with pytest.raises(ProbeError, match=r"40 samples of 0 KiB, 8 of them.* of memory.*smaller Compute"):
        _fit(tmp_path, _alarm(Probe(N_VAL, shown=_SHOWN)))


def test_a_cue_that_fits_its_own_samples_alone_is_put_into_all_at_once(tmp_path: Path) -> None:
    masks = torch.ones(N_VAL, 8, 8, dtype=torch.bool)
    masks[:, :2] = False
    sink = MemorySink()
    alarm = _alarm(Probe(N_VAL, shown=_SHOWN), sink, cue=BackgroundCue(masks=masks, background=1.0))
    _fit(tmp_path, alarm)
    assert len(sink.latest.ids) == N_VAL
    assert "samples" not in sink.latest.metadata


def _not_normalized() -> TensorDataset:
    """Images by class, of which some are bright: only all of them tell the range of values."""
    images, labels = digits(100, 100 + N_VAL).tensors
    scale = torch.linspace(0.2, 3, N_VAL)[torch.randperm(N_VAL, generator=torch.Generator().manual_seed(0))]
    order = labels.argsort(stable=True)
    return TensorDataset((images * scale[:, None, None, None] - 0.5)[order], labels[order])


def dim(images: Tensor) -> Tensor:
    """Say that the dim images, less than half of them, are one object and have no background."""
    return (images.amax(dim=(1, 2, 3)) < 0.5)[:, None, None].expand(len(images), *images.shape[2:])


@pytest.mark.parametrize(
    ("cue", "size", "statistic"),
    [(_CORNER, N_VAL, "effect"), (_CORNER, 21, "effect"), (BackgroundCue(dim, background=1.0), N_VAL, "contrast")],
)
def test_what_is_found_does_not_depend_on_how_many_are_shown(
    tmp_path: Path, cue: Any, size: int, statistic: str
) -> None:
    found, quick = [], Confirmation(groups_at_fit_end=False)
    for shown in (2, _SHOWN, 64):
        alarm = _alarm(Probe(size, shown=shown), cue=cue, confirmation=quick)
        _fit(tmp_path, alarm, data=_not_normalized())
        one = alarm.history[-1]
        assert one.statistic == statistic
        found.append(torch.tensor([one.lower_bound, one.mean, *one.effects]))
    for few in found[:2]:
        torch.testing.assert_close(few, found[2], rtol=1e-4, atol=1e-5, equal_nan=True)


def test_shown_samples_need_not_tell_anything_where_others_do(tmp_path: Path) -> None:
    data, sink, quick = digits(100, 100 + N_VAL), MemorySink(), Confirmation(groups_at_fit_end=False)
    labels = data.tensors[1]
    own, others = (labels == 3).nonzero()[:, 0].tolist(), (labels != 3).nonzero()[:, 0].tolist()
    seed = next(seed for seed in range(100) if random_sample(N_VAL, 1, seed)[0] < len(own))
    alarm = _alarm(Probe(indices=[*own, *others], shown=1, stratify=False, seed=seed), sink, confirmation=quick)
    with warnings.catch_warnings():
        warnings.simplefilter("error", SaliencyWarning)
        _fit(tmp_path, alarm, data=data)
    assert sink.latest.labels.tolist() == [3]
    assert not any(sink.pictures)
    assert torch.tensor(alarm.history[-1].effects).isfinite().sum() == len(others)
    with pytest.raises(CueError, match="the probe has no sample outside class 3"):
        _fit(tmp_path, _alarm(Probe(indices=own[:2], shown=1)), data=data)
