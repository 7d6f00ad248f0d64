"""What an observation costs is told once, and a training that waits too long is observed less often."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from saliency_callbacks import Cascade, Confirmation, CueAlarm, Draws, RandomizationTest, SaliencyMonitor, Storage
from saliency_callbacks.errors import SaliencyWarning
from saliency_callbacks.probe import PatchCue
from saliency_callbacks.sinks import MemorySink
from tests.grouping import grouped
from tests.trainer.runs import Classifier, stages, train_loader, trainer, val_loader

_CHANGES = pytest.mark.filterwarnings("ignore:.*from now on, only 1 in:saliency_callbacks.errors.SaliencyWarning")


def _ticking(monitor: Any, seconds: float) -> Any:
    """Give a callback a clock that goes on by ``seconds`` whenever it is looked at."""
    ticks = iter(range(1_000_000))
    monitor.cost.clock = lambda: seconds * next(ticks)
    return monitor


def _monitor(sink: MemorySink, **changes: Any) -> SaliencyMonitor:
    return SaliencyMonitor("gradient", **grouped(SaliencyMonitor, probe=4, sinks=[sink], save_maps=False, **changes))


def _fit(root: Path, *callbacks: Any, ckpt_path: Path | None = None, **changes: Any) -> Any:
    run = trainer(root, *callbacks, **changes)
    run.fit(Classifier(), train_loader(), val_loader(), ckpt_path=ckpt_path)
    return run


def _observed(sink: MemorySink) -> list[int]:
    return [epoch for stage, epoch in stages(sink) if stage == "fit"]


def test_a_slow_observation_is_made_less_often(tmp_path: Path) -> None:
    sink = MemorySink()
    monitor = _ticking(_monitor(sink, max_seconds_per_observation=2.0), 5.0)
    with pytest.warns(SaliencyWarning, match="from now on, only 1 in") as seen:
        _fit(tmp_path, monitor, max_epochs=12)
    # The one before the training warms up, the first of the training is judged.
    assert _observed(sink) == [0, 2, 6, 10]
    assert len([one for one in seen if "from now on, only 1 in" in str(one.message)]) == 2


def test_without_a_limit_all_are_made(tmp_path: Path) -> None:
    sink = MemorySink()
    _fit(tmp_path, _ticking(_monitor(sink), 1e6), max_epochs=4)
    assert _observed(sink) == [0, 1, 2, 3]


@_CHANGES
def test_it_goes_together_with_the_other_schedule(tmp_path: Path) -> None:
    sink = MemorySink()
    _fit(tmp_path, _ticking(_monitor(sink, max_seconds_per_observation=3.0, every_n_epochs=2), 5.0), max_epochs=14)
    assert _observed(sink) == [0, 4, 8, 12]


@_CHANGES
def test_validations_within_an_epoch_are_thinned_too(tmp_path: Path) -> None:
    sink = MemorySink()
    monitor = _ticking(_monitor(sink, max_seconds_per_observation=3.0), 5.0)
    _fit(tmp_path, monitor, max_epochs=2, val_check_interval=1)
    assert len(_observed(sink)) == 4
    assert monitor.state.thinning == 2


@_CHANGES
def test_a_resumed_run_goes_on_at_the_same_pace(tmp_path: Path) -> None:
    whole, first, second = MemorySink(), MemorySink(), MemorySink()
    _fit(tmp_path / "whole", _ticking(_monitor(whole, max_seconds_per_observation=2.0), 5.0), max_epochs=12)
    run = _fit(tmp_path, _ticking(_monitor(first, max_seconds_per_observation=2.0), 5.0), max_epochs=5)
    run.save_checkpoint(tmp_path / "run.ckpt")
    resumed = _ticking(_monitor(second, max_seconds_per_observation=2.0), 5.0)
    _fit(tmp_path, resumed, max_epochs=12, ckpt_path=tmp_path / "run.ckpt")
    assert _observed(first) + _observed(second) == _observed(whole)


def test_the_last_scores_are_there_for_monitoring_all_the_same(tmp_path: Path) -> None:
    sink = MemorySink()
    monitor = _ticking(_monitor(sink, max_seconds_per_observation=2.0), 5.0)
    with pytest.warns(SaliencyWarning, match="from now on"):
        run = _fit(tmp_path, monitor, max_epochs=2)
    assert _observed(sink) == [0]
    tag = "saliency/gradient/entropy"
    assert float(run.callback_metrics[tag]) == pytest.approx(sink.latest.scores[tag])


@pytest.mark.parametrize("on_error", ["warn", "raise"])
def test_the_cost_is_told_once(tmp_path: Path, said: list[str], on_error: Any) -> None:
    monitor = SaliencyMonitor(
        ["gradient", "input_x_gradient", "grad_cam"], probe=4, sinks=[MemorySink()], on_error=on_error
    )
    _fit(tmp_path, _ticking(monitor, 0.5), max_epochs=3)
    (line,) = (message for message in said if "an observation takes" in message)
    assert line.startswith(
        "SaliencyMonitor (saliency): an observation takes 0.5 s (50% of the validation epoch, including the "
        "observation); 1 pass shared by 3 methods; "
    )
    assert line.endswith("s of processor time)" if on_error == "warn" else "writing included in that time")


def test_every_callback_tells(tmp_path: Path, said: list[str]) -> None:
    cue = PatchCue((0, 0, 3, 3), value=1.0, name="corner")
    alarm = CueAlarm(
        cue, 3, probe=20, storage=Storage(save_maps=False), confirmation=Confirmation(groups_at_fit_end=False)
    )
    random = RandomizationTest(
        ["gradient", "grad_cam"],
        probe=4,
        draws=Draws(n_draws=2),
        cascade=Cascade(at_fit_end=False),
        storage=Storage(save_maps=False),
    )
    _fit(tmp_path, _ticking(alarm, 0.5), _ticking(random, 0.5), max_epochs=2)
    told = [message for message in said if "an observation takes" in message]
    at_start = re.compile(r"; [0-9.]+ s of delay before the first step")
    assert all(at_start.search(message) for message in told)
    told = [at_start.sub("", message) for message in told]
    taken = "an observation takes 0.5 s (50% of the validation epoch, including the observation)"
    assert told == [
        f"CueAlarm (cue/corner): {taken}; 1 pass for one method; 2 forward passes without maps",
        f"RandomizationTest (randomization): {taken}; 1 pass shared by 2 methods",
    ]
