"""What is written in the background is written when it has to be."""

from __future__ import annotations

import pickle
import threading
from pathlib import Path
from typing import Any

import lightning as L
import pytest
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from saliency_callbacks import SaliencyMonitor
from saliency_callbacks.callbacks.runtime.sink_writer import SinkWriter
from saliency_callbacks.errors import SaliencyWarning
from saliency_callbacks.sinks import DiskSink, MemorySink, read_index, read_maps
from saliency_callbacks.sinks.background import BackgroundQueue
from tests.trainer.runs import Classifier, stages, train_loader, trainer, val_loader

# Long enough for a loaded machine; never waited for where the code is right.
_LONG = 30


class Gated(MemorySink):
    """Writes only once its gate is open."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()

    def write(self, snapshot: Any, pictures: Any) -> None:
        assert self.gate.wait(_LONG), "the training waited for the sink"
        super().write(snapshot, pictures)


def test_the_training_does_not_wait_for_a_sink_but_the_end_of_fit_does(tmp_path: Path) -> None:
    class Opens(L.Callback):
        def on_train_batch_start(self, *args: Any) -> None:
            written.append(len(sink.snapshots))
            sink.gate.set()

    written: list[int] = []
    sink = Gated()
    run = trainer(tmp_path, SaliencyMonitor("gradient", probe=4, sinks=[sink]), Opens(), max_epochs=1)
    run.fit(Classifier(), train_loader(), val_loader())
    assert written[0] == 0
    assert stages(sink) == [("initial", 0), ("fit", 0)]


def test_a_checkpoint_waits_for_what_it_refers_to(tmp_path: Path) -> None:
    class Saves(L.Callback):
        def on_train_batch_start(self, run: L.Trainer, *args: Any) -> None:
            if not saved:
                threading.Timer(0.05, sink.gate.set).start()
                run.save_checkpoint(tmp_path / "run.ckpt")
                saved.append(len(sink.snapshots))

    saved: list[int] = []
    sink = Gated()
    run = trainer(tmp_path, SaliencyMonitor("gradient", probe=4, sinks=[sink]), Saves(), max_epochs=1)
    run.fit(Classifier(), train_loader(), val_loader())
    assert saved == [1]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_in_the_training_loses_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    class Fails(L.Callback):
        def on_train_batch_start(self, *args: Any) -> None:
            threading.Timer(0.05, sink.gate.set).start()
            raise error

    sink = Gated()
    before = threading.active_count()
    run = trainer(tmp_path, SaliencyMonitor("gradient", probe=4, sinks=[sink]), Fails(), max_epochs=1)
    with pytest.raises(SystemExit if error is KeyboardInterrupt else error):
        run.fit(Classifier(), train_loader(), val_loader())
    assert stages(sink) == [("initial", 0)]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("saliency-writer")]
    assert threading.active_count() <= before + 1, "the timer may still end"


class Looks(MemorySink):
    """Looks at one picture, and at the others once nobody waits for them, or has seen all that there are."""

    def __init__(self, abandoned: threading.Event, *, waits: bool) -> None:
        super().__init__()
        self.abandoned, self.waits = abandoned, waits
        self.drawn: list[str] = []
        self.began = threading.Event()

    def write(self, snapshot: Any, pictures: Any) -> None:
        for number, tag in enumerate(pictures):
            self.drawn += [tag] if pictures.get(tag) is not None else []
            self.began.set()
            if self.waits and number == 0:
                assert self.abandoned.wait(_LONG), "nobody gave up the pictures"
        self.snapshots.append(snapshot)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError])
def test_after_ctrl_c_what_was_found_is_written_and_no_more_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    class Fails(L.Callback):
        def on_train_batch_start(self, *args: Any) -> None:
            assert looks.began.wait(_LONG), "nothing was drawn"
            raise error

    def abandon(writer: SinkWriter) -> None:
        give_up(writer)
        abandoned.set()

    give_up, abandoned = SinkWriter.abandon_pictures, threading.Event()
    monkeypatch.setattr(SinkWriter, "abandon_pictures", abandon)
    ends_at_once = error is not ValueError
    looks, disk = Looks(abandoned, waits=ends_at_once), DiskSink(tmp_path / "own", pictures=True)
    run = trainer(tmp_path, SaliencyMonitor("gradient", probe=4, sinks=[looks, disk]), Fails(), max_epochs=1)
    with pytest.raises(SystemExit if ends_at_once else error):
        run.fit(Classifier(), train_loader(), val_loader())
    pictures = ["saliency/gradient", "saliency/gradient/filmstrip"]
    assert looks.drawn == (pictures[:1] if ends_at_once else pictures)
    assert stages(looks) == [("initial", 0)]
    (entry,) = read_index(disk.directory)["observations"]
    assert list(entry["pictures"]) == ([] if ends_at_once else pictures)
    assert read_maps(disk.directory, entry)["gradient/values"].shape[0] == 4
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("saliency-writer")]


def test_ctrl_c_while_the_end_of_fit_waits_for_pictures_ends_the_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drain(queue: BackgroundQueue) -> None:
        # As of a signal that arrives while the queue is waited for; the handler of Lightning closes again.
        if not interrupted.is_set():
            assert looks.began.wait(_LONG), "nothing was drawn"
            interrupted.set()
            raise KeyboardInterrupt
        wait(queue)

    def abandon(writer: SinkWriter) -> None:
        give_up(writer)
        abandoned.set()

    wait, give_up = BackgroundQueue.drain, SinkWriter.abandon_pictures
    interrupted, abandoned = threading.Event(), threading.Event()
    monkeypatch.setattr(BackgroundQueue, "drain", drain)
    monkeypatch.setattr(SinkWriter, "abandon_pictures", abandon)
    looks = Looks(abandoned, waits=True)
    monitor = SaliencyMonitor("gradient", probe=4, sinks=[looks])
    run = trainer(tmp_path, monitor, max_epochs=1, num_sanity_val_steps=1)
    with pytest.raises(SystemExit):
        run.fit(Classifier(), train_loader(), val_loader())
    assert looks.drawn == ["saliency/gradient"]
    assert stages(looks) == [("initial", 0), ("fit", 0)]


def test_a_failure_on_the_other_thread_is_a_warning_on_this_one(tmp_path: Path) -> None:
    class Fails(MemorySink):
        def write(self, snapshot: Any, pictures: Any) -> None:
            raise OSError("disk full")

    run = trainer(tmp_path, SaliencyMonitor("gradient", probe=4, sinks=[Fails()]), max_epochs=1)
    with pytest.warns(SaliencyWarning, match="Fails failed: OSError: disk full; training continues"):
        run.fit(Classifier(), train_loader(), val_loader())


def _pictures(logger: TensorBoardLogger) -> list[int]:
    events = EventAccumulator(logger.log_dir, size_guidance={"images": 0}).Reload()
    return [event.step for event in events.Images("saliency/gradient")]


def test_a_trainer_that_is_used_again_writes_again(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path)
    monitor = SaliencyMonitor("gradient", probe=4, on_error="raise")
    run = trainer(tmp_path, monitor, max_epochs=1, logger=logger)
    module = Classifier()
    run.fit(module, train_loader(), val_loader())
    assert len(_pictures(logger)) == 2
    run.validate(module, val_loader(), verbose=False)
    assert len(_pictures(logger)) == 3
    run.fit_loop.max_epochs = 2
    run.fit(module, train_loader(), val_loader())
    assert len(_pictures(logger)) == 4


def test_a_callback_can_be_copied_after_a_run(tmp_path: Path) -> None:
    monitor = SaliencyMonitor("gradient", probe=4)
    run = trainer(tmp_path, monitor, max_epochs=1, logger=TensorBoardLogger(tmp_path))
    run.fit(Classifier(), train_loader(), val_loader())
    copied = pickle.loads(pickle.dumps(monitor))
    assert copied.state.n_observations == monitor.state.n_observations
