"""Methods of attention in parts, streamed, and in another precision: the same numbers as at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.sanity import SmallViT
from saliency_callbacks import (
    CueAlarm,
    FaithfulnessTest,
    Probe,
    RandomizationTest,
    SaliencyMonitor,
    TokenSaliencyMonitor,
)
from saliency_callbacks.callbacks import fast_precision
from saliency_callbacks.callbacks.cue.confirmation import Confirmation
from saliency_callbacks.callbacks.randomization.settings import Cascade, Draws
from saliency_callbacks.callbacks.runtime.settings import Compute, Storage
from saliency_callbacks.callbacks.streaming import reading
from saliency_callbacks.functional import spearman
from saliency_callbacks.probe import PatchCue
from saliency_callbacks.sinks import MemorySink
from tests.engine.priced import Clock
from tests.trainer import text_runs
from tests.trainer.runs import train_loader, trainer, val_loader
from tests.trainer.test_attention import METHODS, OF_ATTENTION, classifier

_STORAGE = Storage(save_maps=False)
_CHUNKS = Compute(internal_batch_size=3)


def _fit(root: Path, kind: Any, *given: Any, of_texts: bool = False, **changes: Any) -> list[Any]:
    """Train for an epoch, and return what the callback wrote while it did."""
    sink = MemorySink()
    callback = kind(*given, sinks=[sink], storage=_STORAGE, **changes)
    run = trainer(root, callback, max_epochs=1)
    if of_texts:
        run.fit(text_runs.BertClassifier(), text_runs.loader(), text_runs.loader())
    else:
        run.fit(classifier(), train_loader(), val_loader())
    return sink.snapshots[:2]


def _assert_same_scores(first: list[Any], second: list[Any]) -> None:
    for one, other in zip(first, second, strict=True):
        # Of a streamed probe, the drift is that of the samples that are shown.
        left_out = ("/alarm", "/threshold", *(("/drift_previous", "/drift_initial") if one.statistics else ()))
        tags = [tag for tag in one.scores if not tag.endswith(left_out)]
        assert any("legrad" in tag for tag in tags) or "cue" in tags[0]
        assert {tag: one.scores[tag] for tag in tags} == pytest.approx(
            {tag: other.scores[tag] for tag in tags}, abs=2e-4, nan_ok=True
        )


@pytest.fixture
def _few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_LEAST_ROWS", 8)


@pytest.mark.usefixtures("_few_at_a_time")
def test_a_streamed_probe(tmp_path: Path) -> None:
    few, whole = (
        _fit(tmp_path, SaliencyMonitor, METHODS, Probe(20, shown=shown), on_error="raise") for shown in (4, 20)
    )
    assert all(one.statistics is not None for one in few)
    assert all(one.statistics is None for one in whole)
    _assert_same_scores(few, whole)
    for one, other in zip(few, whole, strict=True):
        for name in OF_ATTENTION:
            found = one.attributions[name].values
            rows = [other.ids.index(sample) for sample in one.ids]
            torch.testing.assert_close(found, other.attributions[name].values[rows], rtol=1e-3, atol=1e-6)


@pytest.mark.usefixtures("_few_at_a_time")
def test_streamed_texts(tmp_path: Path) -> None:
    given = {"tokenizer": text_runs.tokenizer(), "on_error": "raise", "of_texts": True}
    methods = ["gradient_norm", *OF_ATTENTION]
    few, whole = (_fit(tmp_path, TokenSaliencyMonitor, methods, Probe(12, shown=shown), **given) for shown in (3, 12))
    assert all(one.statistics is not None for one in few)
    _assert_same_scores(few, whole)


_TESTS = {
    "monitor": (SaliencyMonitor, (METHODS, 4), {"on_error": "raise"}),
    "randomization": (
        RandomizationTest,
        (METHODS, 4),
        {"draws": Draws(n_draws=2), "cascade": Cascade(at_fit_end=False), "on_error": "raise"},
    ),
    "faithfulness": (FaithfulnessTest, ("legrad", 4), {"on_error": "raise"}),
    "alarm": (
        CueAlarm,
        (PatchCue((0, 0, 2, 2)), 0),
        {"confirmation": Confirmation("legrad"), "probe": 8, "on_alarm": "log", "on_error": "raise"},
    ),
    "texts": (
        TokenSaliencyMonitor,
        (["gradient_norm", *OF_ATTENTION], 4),
        {"tokenizer": text_runs.tokenizer(), "on_error": "raise", "of_texts": True},
    ),
}


@pytest.mark.filterwarnings("ignore::saliency_callbacks.errors.SaliencyWarning")
@pytest.mark.parametrize("name", _TESTS)
def test_in_parts(tmp_path: Path, name: str) -> None:
    kind, given, settings = _TESTS[name]
    whole, parts = (_fit(tmp_path, kind, *given, **settings, **more) for more in ({}, {"compute": _CHUNKS}))
    _assert_same_scores(whole, parts)
    if name.startswith("alarm"):
        assert all(any(tag.endswith("/lift") for tag in one.scores) for one in whole)


@pytest.mark.filterwarnings("ignore::saliency_callbacks.errors.SaliencyWarning")
def test_the_fastest_precision(tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(fast_precision, "perf_counter", clock)
    forward = SmallViT.forward

    def priced(self: SmallViT, images: Tensor) -> Tensor:
        is_fast = torch.is_autocast_enabled("cpu") or next(self.parameters()).dtype == torch.bfloat16
        clock.now += 0.5 if is_fast else 1.0
        return forward(self, images)

    monkeypatch.setattr(SmallViT, "forward", priced)
    kind, given, settings = _TESTS["monitor"]
    plain, fast = (
        _fit(tmp_path, kind, *given, **settings, compute=Compute(precision=precision))
        for precision in ("trainer", "fast")
    )
    assert any("precision='fast' explains in bfloat16" in line for line in said), said
    for one, other in zip(plain, fast, strict=True):
        for method in OF_ATTENTION:
            found = spearman(one.attributions[method].values, other.attributions[method].values)
            assert float(found.nan_to_num(1.0).min()) > 0.95, method
