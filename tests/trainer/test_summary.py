"""What the callbacks say when the training ends, and when they say nothing."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import pytest
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from saliency_callbacks import CueAlarm, Probe, RandomizationTest, SaliencyMonitor, randomization_test
from saliency_callbacks.errors import ConfigurationError, SaliencyWarning
from saliency_callbacks.probe import PatchCue
from saliency_callbacks.sinks import MemorySink, read_index
from tests.grouping import grouped
from tests.trainer.runs import (
    WEIGHTS_ONLY,
    Classifier,
    RecordingLogger,
    digits,
    stages,
    train_loader,
    trainer,
    val_loader,
)

WITH_SUMMARY = True


def _monitor(sink: MemorySink | None = None, **changes: Any) -> SaliencyMonitor:
    return SaliencyMonitor(
        **grouped(
            SaliencyMonitor, **{"methods": "gradient", "probe": 4, "sinks": [] if sink is None else [sink], **changes}
        )
    )


def _test(**changes: Any) -> RandomizationTest:
    return RandomizationTest(
        **grouped(RandomizationTest, **{"methods": "gradient", "probe": 4, "n_draws": 2, "cascade_draws": 2, **changes})
    )


def _fit(root: Path, *callbacks: L.Callback, ckpt_path: Path | None = None, **changes: Any) -> L.Trainer:
    run = trainer(root, *callbacks, **changes)
    run.fit(Classifier(), train_loader(), val_loader(), ckpt_path=ckpt_path)
    return run


def test_the_evolution_is_written_once_with_a_frame_an_observation(tmp_path: Path) -> None:
    sink, logger = MemorySink(), TensorBoardLogger(tmp_path)
    _fit(tmp_path, _monitor(sink, methods=["gradient", "grad_cam"]), max_epochs=3, logger=logger)
    assert stages(sink) == [("initial", 0), *(("fit", epoch) for epoch in range(3)), ("final", 2)]
    assert not any("evolution" in tag for pictures in sink.pictures[:-1] for tag in pictures)
    assert set(sink.pictures[-1]) == {"saliency/gradient/evolution", "saliency/grad_cam/evolution"}
    assert "saliency/methods" in sink.pictures[0]
    assert dict(sink.snapshots[-1].scores) == dict(sink.snapshots[-2].scores)
    story = sink.pictures[-1]["saliency/gradient/evolution"]
    assert (story.ndim, len(story)) == (4, 4)
    events = EventAccumulator(logger.log_dir, size_guidance={"images": 0}).Reload()
    (written,) = events.Images("saliency/gradient/evolution")
    image = Image.open(io.BytesIO(written.encoded_image_string))
    assert (image.format, image.n_frames) == ("GIF", 4)


def test_the_newest_observation_is_the_last_frame_of_a_long_run(tmp_path: Path) -> None:
    sink = MemorySink()
    monitor = _monitor(sink)
    _fit(tmp_path, monitor, max_epochs=17)
    frames = monitor.state.histories["gradient"].frames
    assert len(frames.kept) < 18
    assert [frame.moment for frame in frames.shown][:: len(frames.shown) - 1] == ["start", "epoch 16"]
    assert len(sink.pictures[-1]["saliency/gradient/evolution"]) == len(frames.shown)


def test_a_resumed_run_shows_all_of_it(tmp_path: Path) -> None:
    whole, second = MemorySink(), MemorySink()
    _fit(tmp_path / "whole", _monitor(whole), max_epochs=3)
    run = _fit(tmp_path / "parts", _monitor(), max_epochs=1)
    run.save_checkpoint(tmp_path / "run.ckpt")
    _fit(tmp_path / "parts", _monitor(second), max_epochs=3, ckpt_path=tmp_path / "run.ckpt")
    tag = "saliency/gradient/evolution"
    assert (whole.pictures[-1][tag] == second.pictures[-1][tag]).all()


def test_one_observation_is_no_evolution(tmp_path: Path) -> None:
    sink = MemorySink()
    _fit(tmp_path, _monitor(sink), max_steps=1)
    assert stages(sink) == [("initial", 0)]


def test_after_an_exception_there_is_no_summary_and_no_report(tmp_path: Path, reports: list[Any]) -> None:
    class Fails(L.Callback):
        def on_train_epoch_start(self, run: L.Trainer, module: L.LightningModule) -> None:
            if run.current_epoch == 1:
                raise ValueError("halted")

    sinks = [MemorySink(), MemorySink()]
    with pytest.raises(ValueError, match="halted"):
        _fit(tmp_path, _monitor(sinks[0], report=True), _test(sinks=[sinks[1]]), Fails())
    for sink in sinks:
        assert stages(sink) == [("initial", 0), ("fit", 0)]
    assert reports == []


def test_a_validation_on_its_own_has_no_summary(tmp_path: Path, reports: list[Any]) -> None:
    sink = MemorySink()
    trainer(tmp_path, _monitor(sink, report=True)).validate(Classifier(), val_loader(), verbose=False)
    assert stages(sink) == [("validate", 0)]
    assert reports == []


def test_a_dry_run_leaves_no_file(tmp_path: Path, reports: list[Any]) -> None:
    _fit(tmp_path, _monitor(report=True), _test(), fast_dev_run=True)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert reports == []


def test_a_cascade_that_fails_does_not_take_the_verdicts_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = MemorySink()
    test = _test(sinks=[sink])

    def fails(*args: Any) -> Any:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(test, "_randomize_layerwise", fails)
    with pytest.warns(SaliencyWarning, match=r"the cascade is skipped \(RuntimeError: out of memory\)"):
        _fit(tmp_path, test, max_epochs=1)
    assert sink.snapshots[-1].markdown == {"randomization/verdicts": test.result.table()}
    test.on_error = "raise"
    with pytest.raises(RuntimeError, match="out of memory"):
        _fit(tmp_path / "again", test, max_epochs=1)


@pytest.mark.filterwarnings("ignore:cue 'patch'. the probe has no labels")
def test_without_labels_an_alarm_has_no_groups_and_no_summary(tmp_path: Path) -> None:
    sink = MemorySink()
    images = digits(100, 116).tensors[0]
    alarm = CueAlarm(PatchCue(box=(0, 0, 2, 2)), 0, probe=Probe.from_tensors(images), sinks=[sink], on_alarm=())
    run = trainer(tmp_path, alarm, max_epochs=1, limit_val_batches=0)
    run.fit(Classifier(), train_loader())
    assert stages(sink) == [("initial", 0), ("fit", 0)]


def test_a_run_that_was_resumed_after_its_last_observation_tests_now(tmp_path: Path, said: list[str]) -> None:
    first = _test(every_n_epochs=2, cascade_at_fit_end=False)
    run = _fit(tmp_path, first, max_epochs=1)
    run.save_checkpoint(tmp_path / "run.ckpt")
    sink = MemorySink()
    second = _test(every_n_epochs=9, cascade_at_fit_end=False, sinks=[sink])
    _fit(tmp_path, second, max_epochs=2, ckpt_path=tmp_path / "run.ckpt")
    assert [stage for stage, _ in stages(sink)] == ["final"]
    assert sink.snapshots[-1].markdown["randomization/verdicts"] == second.result.table()
    assert any("the weights have changed since the last test" in message for message in said)


def test_the_verdicts_are_of_the_model_that_the_training_ends_with(tmp_path: Path, said: list[str]) -> None:
    """Not of that of the last scheduled test; and they are on the console, too."""
    sink, (images, labels) = MemorySink(), digits(100, 104).tensors
    probe = Probe.from_tensors(images, labels)
    test = _test(probe=probe, every_n_epochs=50, cascade_order="bottom_up", sinks=[sink])
    run = _fit(tmp_path, test, max_epochs=3)
    assert stages(sink) == [("initial", 0), ("fit", 0), ("final", 2)]
    expected = randomization_test(run.lightning_module, images, methods="gradient", target=labels, n_draws=2)
    similarity = expected.similarity("gradient").mean
    tag = "randomization/gradient/similarity"
    # Ranks of the copies that are kept are rounded.
    assert sink.snapshots[-1].scores[tag] == pytest.approx(similarity, abs=1e-5)
    assert sink.snapshots[1].scores[tag] != pytest.approx(similarity)
    assert f"randomization: gradient {expected.verdicts['gradient']}" in said
    assert (test.cascade.order, test.cascade.steps) == ("bottom_up", ("net.0", "net.2", "net.6"))


def test_a_training_that_had_ended_is_named(tmp_path: Path, said: list[str]) -> None:
    run = _fit(tmp_path, _test(), max_epochs=1)
    run.save_checkpoint(tmp_path / "run.ckpt")
    said.clear()
    sink = MemorySink()
    _fit(tmp_path, _test(sinks=[sink]), max_epochs=1, ckpt_path=tmp_path / "run.ckpt")
    assert sink.snapshots == []
    expected = "RandomizationTest (randomization): nothing is observed"
    assert any(message.startswith(expected) for message in said)


def test_pictures_that_no_map_leads_back_to_are_kept_beside_a_logger(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path)
    cue = CueAlarm(PatchCue(box=(0, 0, 2, 2)), 0, probe=16, on_alarm=())
    _fit(tmp_path, _monitor(), _test(), cue, max_epochs=1, logger=logger)
    kept = {}
    for name in ("saliency", "randomization", "cue/patch"):
        directory = Path(logger.log_dir) / name
        kept[name] = {tag for entry in read_index(directory)["observations"] for tag in entry["pictures"]}
    assert kept["saliency"] == set()
    assert kept["randomization"] == {"randomization/cascade"}
    assert kept["cue/patch"] == {"cue/patch/panel"}


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A stand-in for the report, which notes what is on disk when it is called."""
    calls: list[Any] = []

    def write_report(runs: list[Path]) -> Path:
        (run,) = runs
        found = {str(path.parent.relative_to(run)): read_index(path.parent) for path in run.rglob("index.json")}
        calls.append({name: [entry["stage"] for entry in index["observations"]] for name, index in found.items()})
        return run / "report.html"

    monkeypatch.setitem(sys.modules, "saliency_callbacks.report", SimpleNamespace(write_report=write_report))
    return calls


def test_a_report_is_made_of_all_that_was_written(tmp_path: Path, reports: list[Any], said: list[str]) -> None:
    _fit(tmp_path, _monitor(report=True), _test(), max_epochs=1)
    assert reports == [{name: ["initial", "fit", "final"] for name in ("saliency", "randomization")}]
    assert f"the report of this run is {tmp_path / 'report.html'}" in said


@pytest.mark.parametrize("on_error", ["warn", "raise"])
def test_a_report_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_error: Any) -> None:
    def fails(runs: list[Path]) -> Path:
        raise OSError("disk full")

    monkeypatch.setitem(sys.modules, "saliency_callbacks.report", SimpleNamespace(write_report=fails))
    expected = pytest.raises(OSError, match="disk full") if on_error == "raise" else pytest.warns(SaliencyWarning)
    with expected:
        _fit(tmp_path, _monitor(report=True, on_error=on_error), max_epochs=1)


def test_a_report_needs_maps_on_disk() -> None:
    with pytest.raises(ConfigurationError, match=r"report=True with storage\.save_maps=False"):
        _monitor(report=True, save_maps=False)


class _Elsewhere(RecordingLogger):
    """A logger that keeps nothing on this disk, as MLflow's on a server."""

    save_dir = None
    name = "digits"
    version = "3fa9"


def test_with_a_logger_elsewhere_maps_and_report_are_below_the_root_and_found_again(tmp_path: Path) -> None:
    run = tmp_path / "_elsewhere" / "digits" / "3fa9"
    checkpoint = tmp_path / "last.ckpt"
    first = _fit(tmp_path, _monitor(report=True), max_epochs=1, logger=_Elsewhere(tmp_path))
    first.save_checkpoint(checkpoint)
    assert (run / "report.html").stat().st_size > 10_000
    again = trainer(tmp_path, _monitor(report=True), max_epochs=2, logger=_Elsewhere(tmp_path))
    again.fit(Classifier(), train_loader(), val_loader(), ckpt_path=checkpoint, **WEIGHTS_ONLY)
    stages = [entry["stage"] for entry in read_index(run / "saliency")["observations"]]
    assert stages == ["initial", "fit", "final", "fit", "final"]


def test_what_the_cascade_will_cost_is_said_once_before_the_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    said: list[int] = []

    class Notes(L.Callback):
        def on_train_epoch_start(self, run: L.Trainer, module: L.LightningModule) -> None:
            said.append(sum("the cascade at the end of training will" in record.message for record in caplog.records))

    with caplog.at_level("INFO"):
        _fit(tmp_path, _test(cascade_draws=3), Notes(), max_epochs=2)
    assert said == [1, 1]
    (told,) = [
        record.message for record in caplog.records if "the cascade at the end of training will" in record.message
    ]
    assert re.search(r"about \S+ s \(3 layers, 3 draws\); limit it with Cascade\(max_seconds=…\)", told)


def test_a_training_without_a_cascade_foretells_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        _fit(tmp_path, _test(cascade_at_fit_end=False), max_epochs=1)
    assert not any("the cascade" in record.message for record in caplog.records)


def test_a_cascade_without_time_says_which_layers_it_did(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sink = MemorySink()
    test = _test(sinks=[sink], max_seconds=1e-9)
    with caplog.at_level("INFO"):
        _fit(tmp_path, test, max_epochs=1)
    assert test.cascade is not None
    assert (test.cascade.steps, test.cascade.left_out) == (("net.6",), ("net.2", "net.0"))
    (told,) = [record.message for record in caplog.records if "not randomized" in record.message]
    assert "1 of 3 layers" in told
    assert "not randomized: 'net.2', 'net.0'" in told
    assert (
        "1 of 3 layers randomized; max_seconds was reached before the others"
        in sink.snapshots[-1].markdown["randomization/cascade"]
    )
    assert "net.6" in sink.snapshots[-1].markdown["randomization/cascade"]


@pytest.mark.parametrize("enable_progress_bar", [True, False])
def test_the_cascade_shows_a_bar_where_the_trainer_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], enable_progress_bar: bool
) -> None:
    _fit(tmp_path, _test(), max_epochs=1, enable_progress_bar=enable_progress_bar)
    assert ("randomization: cascade" in capsys.readouterr().err) is enable_progress_bar
