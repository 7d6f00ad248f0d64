"""Thousands of text inputs: what is kept of those that are not shown is what a probe held whole would tell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from benchmarks.cost.measure import peak_tensor_bytes
from saliency_callbacks import Probe, Storage, TokenSaliencyMonitor
from saliency_callbacks.callbacks.streaming import capacity, reading
from saliency_callbacks.errors import ProbeError, SaliencyWarning
from saliency_callbacks.report.media import Embedded
from saliency_callbacks.report.payload import payload_of
from saliency_callbacks.report.run_contents import read_contents
from saliency_callbacks.report.runs import read_run
from saliency_callbacks.sinks import MemorySink, read_index, read_maps
from saliency_callbacks.sinks.disk.statistics import read_statistics
from saliency_callbacks.types import Snapshot
from tests.trainer import interference, text_runs
from tests.trainer.runs import trainer

_METHODS = ("gradient_norm", "input_x_gradient")
_TEXTS = text_runs.items()
_SHOWN, _ROWS = 4, 5


@pytest.fixture(autouse=True)
def _few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_LEAST_ROWS", _ROWS)


def of_one_length(rows: list[dict[str, Any]]) -> tuple[Tensor, Tensor]:
    padded = [(row["input_ids"] + [0] * 10)[:10] for row in rows]
    return torch.tensor(padded), torch.tensor([row["labels"] for row in rows])


class Texts(list):
    """Text inputs of which some cannot be read."""

    broken: frozenset[int] = frozenset()

    def __getitem__(self, index: int) -> Any:
        if index in self.broken:
            raise OSError(f"no text {index}")
        return super().__getitem__(index)


def _monitor(probe: Probe, sink: MemorySink | None = None, **changes: Any) -> TokenSaliencyMonitor:
    given = {"tokenizer": text_runs.WORDS, "storage": Storage(save_maps=False), "on_error": "raise", **changes}
    return TokenSaliencyMonitor(_METHODS, probe, sinks=[] if sink is None else [sink], **given)


def _fit(root: Path, monitor: TokenSaliencyMonitor, texts: Any = _TEXTS, **how: Any) -> None:
    torch.manual_seed(0)
    run = trainer(root, monitor, max_epochs=how.pop("epochs", 1), limit_val_batches=1)
    train = DataLoader(_TEXTS, 4, collate_fn=of_one_length)
    run.fit(text_runs.LstmClassifier(), train, DataLoader(texts, 2, collate_fn=of_one_length), **how)


def _found(root: Path, shown: int, **changes: Any) -> list[Snapshot]:
    sink = MemorySink()
    _fit(root, _monitor(Probe(len(_TEXTS), shown=shown), sink, **changes))
    return sink.observations


@pytest.mark.parametrize("tokenizer", [text_runs.WORDS, None], ids=["tokenizer", "numbers"])
def test_scores_are_those_of_all_texts_at_once(tmp_path: Path, tokenizer: Any) -> None:
    few, whole = (_found(tmp_path, shown, tokenizer=tokenizer) for shown in (_SHOWN, 64))
    assert len(few) == len(whole) == 2
    for one, other in zip(few, whole, strict=True):
        assert len(one.ids) == _SHOWN
        found = one.statistics
        assert found is not None
        assert sorted(found.positions.tolist()) == list(range(len(_TEXTS)))
        order = [other.ids.index(str(position)) for position in found.positions.tolist()]
        assert {tag.rsplit("/", 1)[-1] for tag in found.sample_scores} >= {"entropy", "gini", "probe_accuracy"}
        for tag, values in found.sample_scores.items():
            expected = other.sample_scores[tag][order].float()
            torch.testing.assert_close(values, expected, rtol=1e-4, atol=1e-5, equal_nan=True)
            assert one.scores[tag] == pytest.approx(other.scores[tag], rel=1e-4)
        assert (found.maps, found.images, found.mistakes) == ({}, None, None)
        assert found.classes == ("all", "0", "1")
        assert {row[0].text for row in one.tables["tokens/classes"].rows} == {"all", "0", "1"}
        assert "tokens/input_x_gradient/top_tokens" in one.tables


def test_shown_texts_are_those_of_a_small_probe(tmp_path: Path) -> None:
    sinks = [MemorySink(), MemorySink()]
    for size, sink in zip((len(_TEXTS), _SHOWN), sinks, strict=True):
        _fit(tmp_path, _monitor(Probe(size, shown=_SHOWN), sink), epochs=2)
    for one, other in zip(*(sink.observations for sink in sinks), strict=True):
        assert one.ids == other.ids
        for name in _METHODS:
            assert torch.equal(one.attributions[name].values, other.attributions[name].values)
        drifts = [tag for tag in one.scores if "drift" in tag]
        assert repr([one.scores[tag] for tag in drifts]) == repr([other.scores[tag] for tag in drifts])
        assert one.texts == other.texts


def test_a_text_that_cannot_be_read_is_left_out_and_named(tmp_path: Path) -> None:
    sink = MemorySink()
    texts = Texts(_TEXTS)
    monitor = _monitor(Probe(len(_TEXTS), shown=_SHOWN), sink)
    _fit(tmp_path, monitor, texts)
    texts.broken = frozenset({next(one for one in range(2, len(_TEXTS)) if one not in monitor.state.indices)})
    (broken,) = texts.broken
    with pytest.warns(SaliencyWarning, match=rf"1 of {len(_TEXTS)} samples of the probe cannot be read.*no text"):
        _fit(tmp_path, _monitor(Probe(len(_TEXTS), shown=_SHOWN), sink), texts)
    assert broken not in sink.latest.statistics.positions.tolist()
    assert sink.latest.statistics.unreadable == {str(broken): f"OSError: no text {broken}"}


def test_they_are_kept_on_disk_and_in_the_report(tmp_path: Path) -> None:
    sink = MemorySink()
    _fit(tmp_path, _monitor(Probe(len(_TEXTS), shown=_SHOWN), sink, storage=Storage(directory=tmp_path / "kept")))
    directory = tmp_path / "kept" / "tokens"
    entry = read_index(directory)["observations"][-1]
    found = read_statistics(read_maps(directory, entry), entry)
    assert found is not None
    assert found.images is None
    for tag, values in sink.latest.statistics.sample_scores.items():
        assert torch.equal(found.sample_scores[tag].nan_to_num(), values.nan_to_num())
    contents = read_contents(read_run(tmp_path / "kept"), 1e6)
    (run,) = payload_of([contents], Embedded(None))["runs"]
    assert (contents.class_pictures, run["notes"]) == ((), [])
    assert "tokens/classes" in [document["tag"] for document in run["documents"]]


def test_training_is_bit_identical(tmp_path: Path) -> None:
    case = interference.Case(
        module=text_runs.LstmClassifier,
        loaders=lambda: (
            DataLoader(_TEXTS, 4, collate_fn=of_one_length),
            [DataLoader(_TEXTS, 4, collate_fn=of_one_length, num_workers=1)],
        ),
    )
    sink = MemorySink()
    plain = case.final_state(tmp_path)
    observed = case.final_state(tmp_path, lambda: _monitor(Probe(len(_TEXTS), shown=_SHOWN), sink))
    interference.assert_equal(plain, observed)
    assert len(sink.latest.statistics.positions) == len(_TEXTS)


def test_memory_does_not_grow_with_the_number_of_texts(tmp_path: Path) -> None:
    peaks: dict[int, int] = {}

    class Measured(TokenSaliencyMonitor):
        def _observe(self, *arguments: Any) -> Any:
            made: list[Any] = []
            if self.probe.size in peaks:
                return super()._observe(*arguments)
            peaks[self.probe.size] = peak_tensor_bytes(lambda: made.append(super(Measured, self)._observe(*arguments)))
            return made[0]

    for repeat in (2, 10):
        texts = text_runs.items(repeat)
        given = {"tokenizer": text_runs.WORDS, "storage": Storage(save_maps=False), "on_error": "raise"}
        _fit(tmp_path, Measured("gradient_norm", Probe(len(texts), shown=_SHOWN), **given), texts)
    few, many = sorted(peaks)
    assert many == 5 * few
    assert peaks[many] < 1.1 * peaks[few]


def test_what_does_not_fit_is_an_error_before_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "available_memory", lambda: 10)
    with pytest.raises(ProbeError, match=r"16 samples of 0 KiB, 4 of them shown.* of memory"):
        _fit(tmp_path, _monitor(Probe(len(_TEXTS), shown=_SHOWN)))
