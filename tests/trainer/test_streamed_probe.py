"""Probes of which most samples are not shown: what is kept of them is what all maps at once would tell."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy.stats import rankdata
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset

from benchmarks.cost.measure import peak_tensor_bytes
from saliency_callbacks import Probe, RandomizationTest, SaliencyMonitor
from saliency_callbacks.callbacks.randomization.settings import Cascade, Draws
from saliency_callbacks.callbacks.runtime import packages
from saliency_callbacks.callbacks.runtime.settings import Compute, Storage
from saliency_callbacks.callbacks.saliency.streaming.reduction import Reduction
from saliency_callbacks.callbacks.shared_pass import union
from saliency_callbacks.callbacks.streaming import capacity
from saliency_callbacks.callbacks.streaming import reading as streamed
from saliency_callbacks.dashboard.found_runs import FoundRun
from saliency_callbacks.dashboard.live_run import LiveRun
from saliency_callbacks.errors import ProbeError, SaliencyWarning, TargetError
from saliency_callbacks.rendering.statistics import statistics_drawings
from saliency_callbacks.report.media import Embedded
from saliency_callbacks.report.payload import payload_of
from saliency_callbacks.report.pictures.statistics import draw_class_picture
from saliency_callbacks.report.run_contents import read_contents
from saliency_callbacks.report.runs import read_run
from saliency_callbacks.sinks import MemorySink, read_index, read_maps
from saliency_callbacks.sinks.disk.statistics import read_statistics
from saliency_callbacks.targets import ContrastTarget, SimilarityTarget
from saliency_callbacks.types import ProbeStatistics, Snapshot
from tests.trainer import interference
from tests.trainer.runs import N_VAL, Augmented, Classifier, Stream, digits, small_net, train_loader, trainer

_METHODS = ("gradient", "grad_cam")
_SHOWN, _ROWS = 8, 16


@pytest.fixture(autouse=True)
def _few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamed, "_LEAST_ROWS", _ROWS)


def left_half(images: Tensor) -> Tensor:
    masks = torch.zeros(len(images), *images.shape[2:], dtype=torch.bool)
    masks[..., : images.shape[3] // 2] = True
    return masks


def by_parity(images: Tensor, labels: Tensor) -> list[str]:
    return ["odd" if label % 2 else "even" for label in labels.tolist()]


def _probe(size: int = N_VAL, shown: int = _SHOWN, **changes: Any) -> Probe:
    return Probe(size, shown=shown, **{"masks": left_half, "groups": by_parity, **changes})


def _observed(
    root: Path, probe: Probe, *, data: Any = None, workers: int = 0, epochs: int = 1, **changes: Any
) -> tuple[list[Snapshot], SaliencyMonitor]:
    sink = MemorySink()
    given = {"sinks": [sink], "storage": Storage(save_maps=False), "on_error": "raise", **changes}
    monitor = SaliencyMonitor(_METHODS, probe, **given)
    _fit(root, monitor, data=data, workers=workers, epochs=epochs)
    return sink.snapshots, monitor


def _fit(root: Path, *callbacks: L.Callback, data: Any = None, workers: int = 0, epochs: int = 1, **how: Any) -> Any:
    data = digits(100, 100 + N_VAL) if data is None else data
    settings = {"persistent_workers": True, "num_workers": workers} if workers else {}
    run = trainer(root, *callbacks, max_epochs=epochs, limit_val_batches=1)
    run.fit(Classifier(), train_loader(), DataLoader(data, 4, **settings), **how)
    return run


def _statistics(snapshot: Snapshot) -> ProbeStatistics:
    assert snapshot.statistics is not None
    return snapshot.statistics


def test_what_is_kept_is_what_all_maps_at_once_tell(tmp_path: Path) -> None:
    few, _ = _observed(tmp_path, _probe())
    whole, _ = _observed(tmp_path, _probe(shown=N_VAL))
    for one, all_shown in zip(few, whole, strict=True):
        assert all_shown.statistics is None
        found = _statistics(one)
        order = [all_shown.ids.index(str(position)) for position in found.positions.tolist()]
        assert sorted(order) == list(range(N_VAL))
        assert one.ids == tuple(map(str, found.positions[:_SHOWN].tolist()))
        assert all(len(attribution.values) == _SHOWN for attribution in one.attributions.values())
        labels = all_shown.labels[order]
        assert found.labels.tolist() == labels.tolist()
        assert found.predictions.tolist() == all_shown.predictions[order].tolist()
        assert found.classes == ("all", *map(str, range(10)))
        for method, maps in found.maps.items():
            _assert_means(maps, all_shown.attributions[method].magnitude[order], labels)
        _assert_scores(one, all_shown, found, order)


def _assert_means(maps: Any, magnitude: Tensor, labels: Tensor) -> None:
    ranks = np.stack([rankdata(each).reshape(each.shape) for each in magnitude.numpy()]) / magnitude[0].numel()
    for number, index in enumerate((None, *range(10))):
        own = (torch.ones(len(labels)) if index is None else labels == index).bool()
        assert int(maps.counts[number]) == int(own.sum())
        torch.testing.assert_close(maps.mean[number], magnitude[own].mean(0), rtol=1e-4, atol=1e-6)
        expected = torch.from_numpy(ranks[own.numpy()].mean(0)).float()
        # Maps of batches of another size may differ in the last digit, and with it the ranks of two pixels.
        torch.testing.assert_close(maps.mean_rank[number], expected, rtol=0, atol=2e-2)
        assert float((maps.mean_rank[number] - expected).abs().mean()) < 1e-3


def _assert_scores(one: Snapshot, all_shown: Snapshot, found: ProbeStatistics, order: list[int]) -> None:
    drifts = {tag for tag in one.scores if "drift" in tag}
    assert one.scores.keys() == all_shown.scores.keys()
    assert any(tag.endswith("region_mass/group_odd") for tag in one.scores)
    assert any(tag.endswith("region_mass/class_3") for tag in one.scores)
    for tag in one.scores.keys() - drifts:
        assert one.scores[tag] == pytest.approx(all_shown.scores[tag], rel=1e-3, abs=1e-4, nan_ok=True), tag
    for tag, values in found.sample_scores.items():
        expected = all_shown.sample_scores[tag][order].float()
        torch.testing.assert_close(values, expected, rtol=1e-3, atol=1e-3, equal_nan=True)
        finite = expected[expected.isfinite()].double().numpy()
        if len(finite):
            quantiles = found.quantiles(0, tag).numpy()
            np.testing.assert_allclose(quantiles, np.quantile(finite, (0.1, 0.5, 0.9)), rtol=1e-3, atol=1e-3)


def test_shown_samples_are_those_of_a_small_probe(tmp_path: Path) -> None:
    few, _ = _observed(tmp_path, _probe(), epochs=2)
    small, _ = _observed(tmp_path, _probe(size=_SHOWN), epochs=2)
    for one, other in zip(few, small, strict=True):
        assert one.ids == other.ids
        assert other.statistics is None
        for method in _METHODS:
            assert torch.equal(one.attributions[method].values, other.attributions[method].values)
        for tag in other.sample_scores:
            assert torch.equal(one.sample_scores[tag].nan_to_num(), other.sample_scores[tag].nan_to_num())
        drifts = [tag for tag in other.scores if "drift" in tag]
        assert [one.scores[tag] for tag in drifts] == [other.scores[tag] for tag in drifts]


def test_the_surest_mistakes_are_kept_with_their_maps(tmp_path: Path) -> None:
    (_, one), _ = _observed(tmp_path, _probe())
    found = _statistics(one)
    wrong = (found.predictions != found.labels).nonzero()[:, 0]
    surest = wrong[found.confidences[wrong].argsort(descending=True)][:16]
    assert found.mistakes.positions.tolist() == found.positions[surest].tolist()
    assert found.mistakes.confidences.tolist() == found.confidences[surest].tolist()
    assert found.mistakes.images.shape == (len(surest), 8, 8, 3)
    assert {name: len(maps) for name, maps in found.mistakes.maps.items()} == dict.fromkeys(_METHODS, len(surest))


def test_pictures_and_a_table_show_the_classes(tmp_path: Path) -> None:
    sink = MemorySink()
    monitor = SaliencyMonitor(_METHODS, _probe(), sinks=[sink], storage=Storage(save_maps=False), on_error="raise")
    _fit(tmp_path, monitor)
    tags = {f"saliency/{method}/{what}" for method in _METHODS for what in ("classes", "mistakes")}
    pictures = sink.pictures[-1]
    assert tags <= set(pictures)
    assert all(pictures[tag].dtype == np.uint8 for tag in tags)
    table = sink.latest.tables["saliency/classes"]
    assert {row[0].text for row in table.rows} == {"all", *map(str, range(10))}
    means = {row[2].text: row[3].text for row in table.rows if row[0].text == "all"}
    assert means["gradient/entropy"] == f"{sink.latest.scores['saliency/gradient/entropy']:.3f}"


class Broken(Dataset):
    """Items of which some cannot be read."""

    def __init__(self, inner: TensorDataset, broken: set[int]) -> None:
        self.inner, self.broken, self.targets = inner, broken, inner.tensors[1]
        self.n_read = Counter[int]()

    def __len__(self) -> int:
        return len(self.inner)

    def __getitem__(self, index: int) -> Any:
        self.n_read[index] += 1
        if index in self.broken:
            raise OSError(f"no file {index}")
        return self.inner[index]


def test_items_that_cannot_be_read_are_left_out_and_named(tmp_path: Path) -> None:
    inner = digits(100, 100 + N_VAL)
    whole, monitor = _observed(tmp_path, _probe(), data=inner)
    shown = next(index for index in monitor.state.indices if index >= 4)
    other = next(index for index in range(4, N_VAL) if index not in monitor.state.indices)
    with pytest.warns(SaliencyWarning, match=rf"of 40 samples of the probe cannot be read.*{other}.*no file"):
        found, _ = _observed(tmp_path, _probe(), data=Broken(inner, {shown, other}))
    for one, before in zip(found, whole, strict=True):
        kept = _statistics(one)
        assert set(range(N_VAL)) - set(kept.positions.tolist()) == {shown, other}
        assert len(one.ids) == _SHOWN
        assert kept.unreadable[str(other)] == f"OSError: no file {other}"
        assert str(other) in one.tables["saliency/classes"].note
        values = dict(zip(kept.positions.tolist(), kept.sample_scores["saliency/gradient/gini"].tolist(), strict=True))
        same = _statistics(before)
        for position, value in zip(
            same.positions.tolist(), same.sample_scores["saliency/gradient/gini"].tolist(), strict=True
        ):
            assert position in (shown, other) or values[position] == pytest.approx(value, abs=1e-4)


def test_a_dataset_that_cannot_be_read_at_all_is_an_error_before_the_training(tmp_path: Path) -> None:
    with pytest.raises(ProbeError, match="none of the probe's 46 items can be read"):
        _observed(tmp_path, _probe(indices=range(4, 50)), data=Broken(digits(100, 150), set(range(4, 50))))


def test_a_few_items_that_can_be_read_are_enough_and_none_is_read_again_and_again(tmp_path: Path) -> None:
    data = Broken(digits(100, 150), set(range(4, 50)))
    with pytest.warns(SaliencyWarning, match="46 of 50 samples of the probe cannot be read"):
        snapshots, _ = _observed(tmp_path, _probe(50), data=data)
    assert sorted(snapshots[0].ids) == ["0", "1", "2", "3"]
    assert max(data.n_read[index] for index in range(4, 50)) <= 5


def test_augmented_items_are_the_same_at_every_observation_and_by_workers(tmp_path: Path) -> None:
    data = Augmented(digits(100, 100 + N_VAL))
    probe = _probe(masks=None, groups=None)
    alone, _ = _observed(tmp_path, probe, data=data)
    found, _ = _observed(tmp_path, probe, data=data, workers=1, epochs=2)
    images = [_statistics(one).images for one in (*alone, *found)]
    assert all(torch.equal(images[0], each) for each in images[1:])
    assert _statistics(alone[0]).sample_scores["saliency/gradient/gini"].tolist() == (
        _statistics(found[0]).sample_scores["saliency/gradient/gini"].tolist()
    )


def _monitor(namespace: str = "saliency", **changes: Any) -> SaliencyMonitor:
    given = {"storage": Storage(save_maps=False), "on_error": "raise", **changes}
    return SaliencyMonitor(_METHODS, given.pop("probe", Probe(20, shown=4)), namespace=namespace, **given)


def _by_workers() -> tuple[DataLoader, list[DataLoader]]:
    train, (val,) = interference.digit_loaders()
    return train, [DataLoader(val.dataset, 8, num_workers=1)]


@pytest.mark.parametrize(
    "case",
    [
        interference.Case(),
        interference.Case(resumes=True),
        interference.Case(settings={"val_check_interval": 3, "accumulate_grad_batches": 2}),
        interference.Case(loaders=_by_workers),
    ],
    ids=["plain", "resumed", "in the middle of accumulation", "workers"],
)
def test_training_is_bit_identical(tmp_path: Path, case: interference.Case) -> None:
    sink = MemorySink()
    plain = case.final_state(tmp_path)
    observed = case.final_state(tmp_path, lambda: _monitor(sinks=[sink]))
    interference.assert_equal(plain, observed)
    assert len(_statistics(sink.latest).positions) == 20


def test_callbacks_do_not_change_what_another_finds(tmp_path: Path) -> None:
    alone, sinks = MemorySink(), [MemorySink(), MemorySink()]
    _fit(tmp_path, _monitor(sinks=[alone]))
    test = RandomizationTest(
        _METHODS, 6, draws=Draws(n_draws=2), cascade=Cascade(at_fit_end=False), storage=Storage(save_maps=False)
    )
    others = [_monitor(sinks=[sinks[0]]), _monitor("second", sinks=[sinks[1]])]
    _fit(tmp_path, *others, test)
    first, second = (sink.snapshots for sink in sinks)
    for one, two, three in zip(alone.snapshots, first, second, strict=True):
        assert repr(dict(one.scores)) == repr(dict(two.scores))
        assert repr(list(two.scores.values())) == repr(list(three.scores.values()))
        assert torch.equal(_statistics(one).positions, _statistics(three).positions)


def test_a_resumed_run_finds_what_a_whole_one_does(tmp_path: Path) -> None:
    sinks = [MemorySink(), MemorySink()]
    given = {"target": "initial_prediction"}
    _fit(tmp_path, _monitor(sinks=[sinks[0]], **given), epochs=3)
    half = _fit(tmp_path, _monitor(**given), epochs=2)
    half.save_checkpoint(tmp_path / "half.ckpt")
    resumed = _monitor(sinks=[sinks[1]], **given)
    _fit(tmp_path, resumed, epochs=3, ckpt_path=tmp_path / "half.ckpt")
    whole, second = (sink.latest for sink in sinks)
    assert sorted(resumed.state.others) == sorted(_statistics(whole).positions.tolist())
    assert repr(dict(whole.scores)) == repr(dict(second.scores))
    assert torch.equal(_statistics(whole).maps["gradient"].mean, _statistics(second).maps["gradient"].mean)


def test_memory_does_not_grow_with_the_number_of_samples(tmp_path: Path) -> None:
    peaks: dict[int, int] = {}

    class Measured(SaliencyMonitor):
        def _observe(self, *arguments: Any) -> Any:
            made: list[Any] = []
            peaks[self.probe.size] = peak_tensor_bytes(lambda: made.append(super(Measured, self)._observe(*arguments)))
            return made[0]

    images = torch.rand(250, 1, 24, 24, generator=torch.Generator().manual_seed(0))
    for size in (50, 250):
        monitor = Measured(_METHODS, Probe(size, shown=_SHOWN), storage=Storage(save_maps=False), on_error="raise")
        data = TensorDataset(images[:size], torch.arange(size) % 10)
        trainer(tmp_path, monitor, max_epochs=1, limit_val_batches=1).fit(
            Classifier(small_net()), DataLoader(data, 4), DataLoader(data, 4)
        )
    # Five times as many samples: their numbers alone are more.
    assert peaks[250] < 1.1 * peaks[50]


def test_statistics_are_kept_on_disk(tmp_path: Path) -> None:
    sink = MemorySink()
    storage = Storage(directory=tmp_path / "kept")
    monitor = SaliencyMonitor(_METHODS, _probe(), sinks=[sink], storage=storage, on_error="raise")
    _fit(tmp_path, monitor)
    directory = tmp_path / "kept" / "saliency"
    entry = read_index(directory)["observations"][-1]
    found, written = read_statistics(read_maps(directory, entry), entry), _statistics(sink.latest)
    assert found.classes == written.classes
    for name in ("positions", "class_indices", "images", "labels", "predictions", "confidences"):
        assert torch.equal(getattr(found, name), getattr(written, name))
    for method, maps in written.maps.items():
        assert torch.equal(found.maps[method].mean, maps.mean)
        assert torch.equal(found.mistakes.maps[method], written.mistakes.maps[method])
    assert found.sample_scores.keys() == written.sample_scores.keys()


def test_a_bar_shows_how_far_a_long_observation_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bars: list[Any] = []

    class Bar(streamed.tqdm):
        def __init__(self, **settings: Any) -> None:
            bars.append(settings)
            super().__init__(**settings)

    monkeypatch.setattr(streamed, "tqdm", Bar)
    _observed(tmp_path, _probe())
    settings = bars[0]
    assert settings["delay"] == 5
    assert settings["disable"], "the Trainer shows none"
    assert (settings["initial"], settings["total"]) == (_SHOWN, N_VAL)
    assert len(bars) == 2


def test_more_than_memory_or_disk_have_left_is_an_error_before_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    _observed(tmp_path, _probe(), storage=Storage(directory=tmp_path / "maps"))
    assert any("40 samples are explained 16 at a time, 8 of them are shown" in line for line in said)
    monkeypatch.setattr(capacity, "free_disk", lambda directory: 10)
    with pytest.raises(ProbeError, match=r"of disk in .*Show fewer than 8 samples"):
        _observed(tmp_path, _probe(), storage=Storage(directory=tmp_path / "maps"))
    monkeypatch.setattr(capacity, "available_memory", lambda: 10)
    with pytest.raises(ProbeError, match="of memory; expected at most the 0 KiB that are free"):
        _observed(tmp_path, _probe())


def test_a_target_of_each_samples_own_embedding_is_an_error_before_the_training(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match=r"Probe\(shown=40\)"):
        _observed(tmp_path, _probe(), target=SimilarityTarget())
    found, _ = _observed(tmp_path, _probe(), target=SimilarityTarget(torch.ones(10)))
    assert len(_statistics(found[-1]).positions) == N_VAL


def test_a_contrast_that_the_labels_tell_needs_nothing_stored(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="pins what the model answers to each"):
        _observed(tmp_path, _probe(), target=ContrastTarget("predicted", "second"))
    found, _ = _observed(tmp_path, _probe(), target=ContrastTarget("label", 0))
    assert len(_statistics(found[-1]).positions) == N_VAL


def test_larger_chunks_are_those_that_are_run_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    add = Reduction.add
    monkeypatch.setattr(Reduction, "add", lambda self, part: (sizes.append(part.probe.size), add(self, part)))
    _observed(tmp_path, _probe(), compute=Compute(internal_batch_size=20))
    assert sizes[:3] == [_SHOWN, 20, 12]


def test_a_stream_has_no_item_to_go_back_to(tmp_path: Path) -> None:
    found, _ = _observed(tmp_path, _probe(20), data=Stream(digits(100, 140)))
    assert found[-1].statistics is None
    assert len(found[-1].ids) == 20


def test_indices_say_what_is_streamed(tmp_path: Path) -> None:
    asked = list(range(39, 9, -1))
    found, _ = _observed(tmp_path, _probe(indices=asked))
    assert sorted(_statistics(found[-1]).positions.tolist()) == sorted(asked)
    assert len(found[-1].ids) == _SHOWN


def test_the_report_shows_the_classes(tmp_path: Path) -> None:
    storage = Storage(directory=tmp_path / "kept")
    monitor = SaliencyMonitor(_METHODS, _probe(), storage=storage, on_error="raise")
    _fit(tmp_path, monitor)
    payload = payload_of([read_contents(read_run(tmp_path / "kept"), 1e6)], Embedded(None))
    (run,) = payload["runs"]
    assert run["notes"] == []
    shown = {one["tag"]: one for one in run["pictures"]}
    assert {f"saliency/{method}/{what}" for method in _METHODS for what in ("classes", "mistakes")} == set(shown)
    assert all(one["moment"] == "epoch 0" for one in shown.values())
    assert "saliency/classes" in [document["tag"] for document in run["documents"]]
    assert ["samples explained", str(N_VAL)] in [row for fact in run["facts"] for row in fact["rows"]]


def test_the_page_draws_the_classes_as_the_callback_does(tmp_path: Path) -> None:
    storage = Storage(directory=tmp_path / "kept")
    _fit(tmp_path, SaliencyMonitor(_METHODS, _probe(), storage=storage, on_error="raise"))
    run = FoundRun("run", tmp_path / "kept", (tmp_path / "kept" / "saliency",))
    live = LiveRun(run).contents(run)[1]
    (monitor,) = live.monitors
    entry = monitor.observations[-1].entry
    statistics = read_statistics(read_maps(tmp_path / "kept" / "saliency", entry), entry)
    assert statistics is not None
    drawings = statistics_drawings(statistics, str, "epoch 0")
    assert {one["tag"] for one in live.class_pictures} == {f"saliency/{name}" for name in drawings}
    for name, draw in drawings.items():
        np.testing.assert_array_equal(draw_class_picture(monitor, name), draw())


def test_a_report_says_where_statistics_are_damaged(tmp_path: Path) -> None:
    storage = Storage(directory=tmp_path / "kept")
    _fit(tmp_path, SaliencyMonitor(_METHODS, _probe(), storage=storage, on_error="raise"))
    for path in (tmp_path / "kept" / "saliency" / "maps").iterdir():
        tensors = load_file(path)
        tensors.pop("statistics/class_indices", None)
        save_file(tensors, path)
    contents = read_contents(read_run(tmp_path / "kept"), 1e6)
    assert contents.class_pictures == ()
    (note,) = contents.notes
    assert "saliency: its class images cannot be drawn" in note
    assert "there is no statistics/class_indices in it" in note


def test_a_randomization_test_is_of_the_shown_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Says so, and shares the pass of a monitor that streams the others."""
    lines: list[str] = []
    monkeypatch.setattr(packages, "rank_zero_info", lines.append)
    sinks = [MemorySink(), MemorySink(), MemorySink()]

    def tested(probe: Probe, sink: MemorySink) -> RandomizationTest:
        how = {"draws": Draws(n_draws=2), "cascade": Cascade(at_fit_end=False), "on_error": "raise"}
        return RandomizationTest("gradient", probe, storage=Storage(save_maps=False), sinks=[sink], **how)

    _fit(tmp_path, tested(Probe(N_VAL, shown=4), sinks[0]))
    _fit(tmp_path, tested(Probe(4), sinks[1]))
    assert sinks[0].latest.ids == sinks[1].latest.ids
    assert repr(dict(sinks[0].latest.scores)) == repr(dict(sinks[1].latest.scores))
    (line,) = [one for one in lines if "are tested" in one]
    assert "the 4 samples that are shown of the 40 of the probe are tested" in line
    n_wanted: list[int] = []
    explained = union.run_together
    monkeypatch.setattr(union, "run_together", lambda *given: (n_wanted.append(len(given[-1])), explained(*given))[1])
    probe = Probe(N_VAL, shown=4)
    _fit(tmp_path, _monitor(probe=probe), tested(probe, sinks[2]))
    assert n_wanted[-1] == 2, "they explain the shown samples together"
    assert repr(dict(sinks[2].latest.scores)) == repr(dict(sinks[0].latest.scores))
