"""``precision="fast"`` in a training: chosen once, kept, told, and without a trace in the training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from saliency_callbacks import (
    Compute,
    CueAlarm,
    Probe,
    RandomizationTest,
    SaliencyMonitor,
    Storage,
    TokenSaliencyMonitor,
)
from saliency_callbacks.callbacks import fast_precision
from saliency_callbacks.callbacks.runtime import packages
from saliency_callbacks.callbacks.shared_pass import union
from saliency_callbacks.errors import SaliencyWarning
from saliency_callbacks.functional.similarity import spearman
from saliency_callbacks.methods import Gradient, IntegratedGradients, SmoothGrad
from saliency_callbacks.probe import PatchCue
from saliency_callbacks.sinks import MemorySink
from tests.engine.priced import PRICES, Clock, Priced
from tests.grouping import grouped
from tests.trainer import text_runs
from tests.trainer.runs import WEIGHTS_ONLY, Classifier, digits, trainer

_METHODS = ["gradient", IntegratedGradients(6), SmoothGrad(4)]
_TAKEN = "bfloat16, channels last"
_SLOW = {**PRICES, _TAKEN: 3.0, "bfloat16": 3.0, "channels last": 3.0}


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(fast_precision, "perf_counter", found)
    return found


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was said of the choice."""
    found: list[str] = []
    monkeypatch.setattr(packages, "rank_zero_info", found.append)
    return found


def _monitor(sink: MemorySink, **changes: Any) -> SaliencyMonitor:
    settings = {"methods": _METHODS, "probe": 6, "precision": "fast", "save_maps": False, "on_error": "raise"}
    return SaliencyMonitor(**grouped(SaliencyMonitor, **{**settings, "sinks": [sink], **changes}))


def _randomization(sink: MemorySink, **changes: Any) -> RandomizationTest:
    settings = {"probe": 6, "n_draws": 2, "cascade_draws": 2, "precision": "fast", "save_maps": False}
    changes = {**settings, "on_error": "raise", "sinks": [sink], **changes}
    return RandomizationTest(["gradient", SmoothGrad(4)], **grouped(RandomizationTest, **changes))


def _alarm(sink: MemorySink, **changes: Any) -> CueAlarm:
    settings = {"probe": 12, "on_alarm": "log", "precision": "fast", "save_maps": False, "on_error": "raise"}
    return CueAlarm(PatchCue((0, 0, 2, 2)), 0, **grouped(CueAlarm, **{**settings, "sinks": [sink], **changes}))


_BUILDS = [_monitor, _randomization, _alarm]


def _module(clock: Clock, prices: Mapping[str, float] = PRICES, **changes: Any) -> Classifier:
    return Classifier(Priced(clock, prices, **changes), optimizer="adam")


def _fit(root: Path, module: Classifier, *callbacks: L.Callback, **changes: Any) -> L.Trainer:
    torch.manual_seed(1)
    ckpt_path = changes.pop("ckpt_path", None)
    run = trainer(root, *callbacks, **{"max_epochs": 2, "num_sanity_val_steps": 0, **changes})
    loaders = DataLoader(digits(0, 40), 8, shuffle=True), DataLoader(digits(100, 120), 8)
    run.fit(module, *loaders, ckpt_path=ckpt_path, **(WEIGHTS_ONLY if ckpt_path else {}))
    return run


def _arithmetics(sink: MemorySink) -> list[str | None]:
    return [one.metadata.get("arithmetic") for one in sink.snapshots if one.stage != "final"]


class Strides(L.Callback):
    """Compares what lies where in memory before and after the callbacks of a validation."""

    def __init__(self) -> None:
        self.n_compared = 0

    def _now(self, module: L.LightningModule) -> list[Any]:
        tensors = module.state_dict(keep_vars=True).values()
        return [(id(one), one.stride(), one.data_ptr(), one.dtype) for one in tensors]

    def on_validation_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.before = self._now(pl_module)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert self._now(pl_module) == self.before
        assert not torch.is_autocast_enabled("cpu")
        self.n_compared += 1


@pytest.mark.parametrize(
    ("precision", "taken"),
    [
        ("32-true", _TAKEN),
        ("bf16-mixed", "channels last"),
        ("bf16-true", "channels last"),
        ("64-true", "channels last"),
    ],
)
@pytest.mark.parametrize("build", _BUILDS)
def test_training_is_bit_identical(
    tmp_path: Path, clock: Clock, build: Callable[..., L.Callback], precision: str, taken: str
) -> None:
    """Whatever the model is trained in; that is what another type or format has to beat."""
    final, strides, sink = [], Strides(), MemorySink()
    # Channels last is the faster one by far where bfloat16 is the training's own, as it is then of any forward.
    prices = PRICES if precision == "32-true" else {**PRICES, "channels last": 0.5, _TAKEN: 0.2}
    for callbacks in ((), (strides, build(sink))):
        torch.manual_seed(0)
        module = _module(clock, prices)
        run = _fit(tmp_path, module, *callbacks, precision=precision)
        moments = [state["exp_avg"] for state in run.optimizers[0].state.values()]
        final.append([*module.state_dict().values(), *moments, torch.get_rng_state()])
    assert strides.n_compared == 2
    assert _arithmetics(sink) == [taken] * 3
    for plain, observed in zip(*final, strict=True):
        assert plain.dtype == observed.dtype
        assert torch.equal(plain, observed)


@pytest.mark.parametrize("build", _BUILDS)
def test_the_choice_is_made_once_and_kept(
    tmp_path: Path, clock: Clock, lines: list[str], build: Callable[..., L.Callback]
) -> None:
    class Slower(L.Callback):
        """From the first step on, what was fast is slow."""

        def on_train_start(self, trainer: L.Trainer, pl_module: Classifier) -> None:
            pl_module.net.prices = _SLOW
            assert pl_module.net.last == _TAKEN, "the first observation is what it was chosen for"
            tried.update(pl_module.net.runs)
            pl_module.net.runs.clear()

    tried: dict[str, int] = {}
    sink, module = MemorySink(), _module(clock)
    _fit(tmp_path, module, build(sink), Slower(), max_epochs=3)
    assert set(tried) == set(PRICES)
    assert _arithmetics(sink) == [_TAKEN] * 4
    assert set(module.net.runs) == {_TAKEN}
    (line,) = [one for one in lines if "precision='fast'" in one]
    assert "explains in bfloat16, channels last: 2.5 times as fast" in line
    assert "rank correlations of at least 0.999" in line


@pytest.mark.parametrize("build", _BUILDS)
def test_a_resumed_run_keeps_it_on_any_machine(tmp_path: Path, clock: Clock, build: Callable[..., L.Callback]) -> None:
    first, second = MemorySink(), MemorySink()
    run = _fit(tmp_path, _module(clock), build(first), max_epochs=1)
    run.save_checkpoint(tmp_path / "one.ckpt")
    module = _module(clock, _SLOW)
    _fit(tmp_path, module, build(second), max_epochs=3, ckpt_path=tmp_path / "one.ckpt")
    assert _arithmetics(second) == [_TAKEN] * 2
    assert set(module.net.runs) == {_TAKEN}


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """For how many callbacks the engine ran, each time that one of them explained the trained model."""
    found: list[int] = []
    explained = union.run_together

    def counted(model: Any, inputs: Any, settings: Any, targets: Any, wants: Any) -> Any:
        found.append(len(wants))
        return explained(model, inputs, settings, targets, wants)

    monkeypatch.setattr(union, "run_together", counted)
    return found


@pytest.mark.parametrize("is_first", [True, False])
def test_callbacks_choose_once_and_are_explained_together(
    tmp_path: Path, clock: Clock, lines: list[str], runs: list[int], is_first: bool
) -> None:
    """In every order of the list, with the numbers of each alone."""
    alone, together = [MemorySink(), MemorySink()], [MemorySink(), MemorySink()]
    measured: dict[str, int] = {}
    for number, build in enumerate((_monitor, _randomization)):
        module = _module(clock)
        _fit(tmp_path, module, build(alone[number]))
        measured[build.__name__] = module.net.runs["channels last"]
    runs.clear()
    lines.clear()
    both, module = [_monitor(together[0]), _randomization(together[1])], _module(clock)
    _fit(tmp_path, module, *(both if is_first else both[::-1]))
    assert module.net.runs["channels last"] == max(measured.values())
    (line,) = [one for one in lines if "precision='fast'" in one]
    assert line.startswith("saliency, randomization:" if is_first else "randomization, saliency:")
    # At the first moment the second finds what the first has explained, if the first has all of it.
    assert runs[-2:] == [2, 2]
    for one, other in zip(alone, together, strict=True):
        assert _arithmetics(one) == _arithmetics(other) == [_TAKEN] * 3
        assert [repr(dict(each.scores)) for each in one.snapshots] == [
            repr(dict(each.scores)) for each in other.snapshots
        ]


def test_what_is_too_rough_for_one_is_so_for_all(tmp_path: Path, clock: Clock) -> None:
    """As the methods of all are compared, by whoever comes first."""

    class RoughFor(Gradient):
        """Is another map wherever it is computed in bfloat16."""

        def attribute(self, evidence: Any) -> Any:
            found = super().attribute(evidence)
            return replace(found, values=-found.values) if module.net.last == _TAKEN else found

    for is_first in (True, False):
        sinks, module = [MemorySink(), MemorySink()], _module(clock)
        both = [_monitor(sinks[0]), _monitor(sinks[1], methods=[RoughFor()], namespace="rough")]
        _fit(tmp_path, module, *(both if is_first else both[::-1]), max_epochs=1)
        assert [_arithmetics(sink) for sink in sinks] == [["channels last"] * 2] * 2


def test_resumed_callbacks_keep_what_each_has_chosen(tmp_path: Path, clock: Clock, lines: list[str]) -> None:
    """As in a checkpoint of runs in which each chose alone; a new one takes what they agree on."""

    def resumed(chosen: Mapping[str, str], ckpt: str) -> dict[str, list[str | None]]:
        first = {name: _monitor(MemorySink(), namespace=name) for name in ("one", "two")}
        run = _fit(tmp_path, _module(clock), *first.values(), max_epochs=1)
        for name, one in first.items():
            one.state = replace(one.state, arithmetic=chosen[name])
        run.save_checkpoint(tmp_path / ckpt)
        lines.clear()
        sinks = {name: MemorySink() for name in ("new", "one", "two")}
        second = [_monitor(sink, namespace=name) for name, sink in sinks.items()]
        _fit(tmp_path, _module(clock), *second, ckpt_path=tmp_path / ckpt)
        return {name: _arithmetics(sink) for name, sink in sinks.items()}

    found = resumed({"one": "bfloat16", "two": "bfloat16"}, "agree.ckpt")
    assert {name: set(one) for name, one in found.items()} == {name: {"bfloat16"} for name in found}
    assert not [one for one in lines if "precision='fast'" in one]
    found = resumed({"one": "bfloat16", "two": "unchanged"}, "differ.ckpt")
    assert {name: set(one) for name, one in found.items()} == {
        "new": {_TAKEN},
        "one": {"bfloat16"},
        "two": {"unchanged"},
    }


def test_a_run_that_goes_on_without_it_forgets_it(tmp_path: Path, clock: Clock) -> None:
    _fit(tmp_path, _module(clock), _monitor(MemorySink()), max_epochs=1).save_checkpoint(tmp_path / "one.ckpt")
    sink, module = MemorySink(), _module(clock)
    monitor = _monitor(sink, precision="trainer")
    _fit(tmp_path, module, monitor, ckpt_path=tmp_path / "one.ckpt")
    assert not any("arithmetic" in one.metadata for one in sink.snapshots)
    assert set(module.net.runs) == {"unchanged"}
    assert "arithmetic" not in monitor.state_dict()


def test_a_head_that_starts_at_zero_is_measured_once_it_has_learned(
    tmp_path: Path, clock: Clock, lines: list[str]
) -> None:
    sink, module = MemorySink(), _module(clock)
    torch.nn.init.zeros_(module.net[-1].weight)
    with pytest.warns(SaliencyWarning) as said:
        _fit(tmp_path, module, _monitor(sink))
    assert _arithmetics(sink) == [None, _TAKEN, _TAKEN]
    assert len([one for one in said if "postpones its choice to a later observation" in str(one.message)]) == 1
    assert len([one for one in lines if "precision='fast'" in one]) == 1


def test_where_nothing_is_both_faster_and_exact_one_line_says_why(
    tmp_path: Path, clock: Clock, lines: list[str]
) -> None:
    sink = MemorySink()
    prices = {**PRICES, "channels last": 1.0, "bfloat16": 20.0}
    module = _module(clock, prices, rough=(_TAKEN,))
    _fit(tmp_path, module, _monitor(sink))
    assert _arithmetics(sink) == ["unchanged"] * 3
    (line,) = [one for one in lines if "precision='fast'" in one]
    assert "in the Trainer's precision: no alternative is both faster and accurate enough" in line
    assert "bfloat16, channels last 2.5 times as fast, rank correlation" in line
    assert "channels last 1.0 times as fast;" in line
    assert "bfloat16 failed, or was too slow" in line


@pytest.mark.parametrize("size", [6, 12])
def test_maps_are_those_of_the_trainers_precision(tmp_path: Path, clock: Clock, size: int) -> None:
    """Also of a probe that is streamed."""
    found = []
    for precision in ("trainer", "fast"):
        sink, module = MemorySink(), _module(clock)
        monitor = _monitor(sink, precision=precision, probe=Probe(size, shown=6), target="label")
        _fit(tmp_path / precision, module, monitor)
        found.append(sink.snapshots)
    assert module.net.runs[_TAKEN] > 6
    for exact, other in zip(*found, strict=True):
        assert exact.scores["saliency/probe_accuracy"] == other.scores["saliency/probe_accuracy"]
        for name, one in exact.attributions.items():
            assert other.attributions[name].values.dtype == torch.float32
            assert spearman(*(each.values[:, 0].flatten(1) for each in (one, other.attributions[name]))).min() > 0.99


def test_effects_of_a_cue_are_those_of_the_model_as_it_is(tmp_path: Path, clock: Clock) -> None:
    found = []
    for precision in ("trainer", "fast"):
        alarm = _alarm(MemorySink(), precision=precision)
        _fit(tmp_path, _module(clock), alarm)
        # NaN, of samples that cannot tell, is not equal to itself.
        found.append(repr([one.effects for one in alarm.history]))
    assert found[0] == found[1]


def test_texts_are_explained_fast(tmp_path: Path, clock: Clock) -> None:
    class Timed(text_runs.LstmClassifier):
        def forward(self, *args: Any, **kwargs: Any) -> Tensor:
            clock.now += 0.5 if torch.is_autocast_enabled("cpu") else 1.0
            found: Tensor = super().forward(*args, **kwargs)
            return found

    sink = MemorySink()
    monitor = TokenSaliencyMonitor(
        ["gradient_norm", SmoothGrad(4)],
        4,
        text_runs.WORDS,
        compute=Compute(precision="fast"),
        storage=Storage(save_maps=False),
        sinks=[sink],
        on_error="raise",
    )
    trainer(tmp_path, monitor).fit(Timed(), text_runs.pairs(), text_runs.pairs())
    assert _arithmetics(sink) == ["bfloat16"] * 3


def test_an_explanation_that_fails_leaves_the_weights_where_they_are(tmp_path: Path, clock: Clock) -> None:
    class Fails(Priced):
        def forward(self, images: Tensor) -> Tensor:
            found = super().forward(images)
            if torch.is_autocast_enabled("cpu") and self.runs[_TAKEN] > 40:
                raise RuntimeError("as if out of memory")
            return found

    strides, module = Strides(), Classifier(Fails(clock))
    with pytest.warns(UserWarning, match="as if out of memory"):
        _fit(tmp_path, module, strides, _monitor(MemorySink(), on_error="warn"), max_epochs=3)
    assert strides.n_compared == 3
