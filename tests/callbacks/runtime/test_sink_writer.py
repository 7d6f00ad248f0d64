import threading
from types import SimpleNamespace

import numpy as np
import pytest

from saliency_callbacks.callbacks.places import open_sinks
from saliency_callbacks.callbacks.runtime import notices
from saliency_callbacks.callbacks.runtime.ranks import Ranks
from saliency_callbacks.callbacks.runtime.settings import Storage
from saliency_callbacks.callbacks.runtime.sink_writer import SinkWriter
from saliency_callbacks.errors import PictureError, SaliencyWarning, each_kind_once
from saliency_callbacks.sinks import DiskSink, MemorySink, read_index
from saliency_callbacks.sinks.background import BackgroundQueue
from saliency_callbacks.types import Snapshot
from tests.callbacks.plain_host import PlainHost

_SNAPSHOT = Snapshot(epoch=0, step=1, stage="fit", attributions={})
# Long enough for a loaded machine; never waited for where the code is right.
_LONG = 30


class Failing:
    calls = 0

    def write(self, snapshot, pictures):
        self.calls += 1
        raise ValueError("no")


def _opened(host, own=(), **changes):
    settings = {"storage": Storage(), "resumed": False, "on_error": "warn", **changes}
    return open_sinks(host, own, namespace="n", **settings)


class FailingAt(Failing):
    def __init__(self, *failures):
        self.failures = failures

    def write(self, snapshot, pictures):
        self.calls += 1
        if self.calls in self.failures:
            raise OSError("no space")


def write_times(writer, count, pictures=()):
    for _ in range(count):
        writer.write(_SNAPSHOT, dict(pictures) if isinstance(pictures, tuple) else pictures)
    writer.close()


def test_a_failure_is_reported_and_the_others_go_on():
    failing, before, after = FailingAt(1), MemorySink(), MemorySink()
    writer = SinkWriter([before, failing, after])
    with pytest.warns(SaliencyWarning, match="FailingAt failed: OSError: no space; training continues"):
        write_times(writer, 1)
    write_times(writer, 1)
    assert failing.calls == 2
    assert [len(sink.snapshots) for sink in (before, after)] == [2, 2]


@pytest.mark.parametrize(("failures", "calls"), [((1, 2, 3), 3), ((1, 2, 4, 5), 6)], ids=["in a row", "with a pause"])
def test_only_one_that_fails_three_times_in_a_row_is_left_out(failures, calls):
    failing = FailingAt(*failures)
    writer = SinkWriter([failing])
    with pytest.warns(SaliencyWarning):
        write_times(writer, 6)
    assert failing.calls == calls


def test_a_picture_that_cannot_be_drawn_is_no_fault_of_the_sink():
    class Broken(dict):
        def __getitem__(self, tag):
            raise PictureError("the picture 'saliency/gradient' cannot be drawn")

    writer = SinkWriter([MemorySink()])
    with pytest.warns(SaliencyWarning, match=r"^PictureError: the picture 'saliency/gradient'"):
        write_times(writer, 4, Broken({"saliency/gradient": None}))
    write_times(writer, 1)
    assert len(writer.sinks[0].snapshots) == 1


def test_a_message_does_not_tell_the_password_in_an_address():
    class Unreachable:
        def write(self, snapshot, pictures):
            raise ConnectionError("https://me:secret@host:5000/api/2.0/mlflow failed, see https://docs.host/a@b")

    expected = r"Unreachable failed: ConnectionError: https://\*\*\*@host:5000/api/2.0/mlflow failed, see https://docs"
    with pytest.warns(SaliencyWarning, match=expected) as seen:
        write_times(SinkWriter([Unreachable()]), 1)
    assert "secret" not in str(seen[0].message)


def test_failures_pass_through_if_they_are_to_be_raised():
    with pytest.raises(ValueError, match="no"):
        SinkWriter([Failing()], on_error="raise").write(_SNAPSHOT, {})


def test_an_interrupt_is_no_failure():
    class Interrupted:
        def write(self, snapshot, pictures):
            raise KeyboardInterrupt

    writer = SinkWriter([Interrupted()])
    with pytest.raises(KeyboardInterrupt):
        write_times(writer, 1)
    assert len(writer.sinks) == 1


class Reported(Failing):
    """A sink that cannot be reached, neither with observations nor with a report."""

    n_reports = 0

    def add_report(self, path, title):
        self.n_reports += 1
        raise OSError("https://me:secret@host/ is down")


def test_a_report_that_a_sink_does_not_take_is_told_without_its_password(tmp_path):
    sink = Reported()
    with pytest.warns(SaliencyWarning, match=r"Reported did not accept the report \(OSError: https://\*\*\*@host/ is"):
        SinkWriter([MemorySink(), sink]).add_report(tmp_path / "report.html", "saliency/report")
    with pytest.raises(OSError, match="is down"):
        SinkWriter([sink], "raise").add_report(tmp_path / "report.html", "saliency/report")
    assert sink.n_reports == 2


@pytest.mark.filterwarnings("ignore::saliency_callbacks.errors.SaliencyWarning")
def test_a_sink_that_is_left_out_gets_no_report(tmp_path):
    sink = Reported()
    writer = SinkWriter([sink])
    write_times(writer, 3)
    writer.drain()
    writer.add_report(tmp_path / "report.html", "saliency/report")
    assert sink.n_reports == 0


def test_the_users_own_and_the_disk(tmp_path):
    own = MemorySink()
    writer = _opened(PlainHost(directory=tmp_path), [own])
    assert writer.run_directory == tmp_path
    assert writer.sinks[0] is own
    (disk,) = writer.sinks[1:]
    assert isinstance(disk, DiskSink)
    assert disk.directory == tmp_path / "n"
    assert disk.keeps_pictures


def test_only_rank_zero_writes(tmp_path):
    host = PlainHost(directory=tmp_path, ranks=Ranks(SimpleNamespace(size=2, number=1)))
    writer = _opened(host, [MemorySink()])
    assert writer.sinks == []
    assert writer.run_directory is None


@pytest.mark.parametrize(("resumed", "name"), [(True, "n"), (False, "n-2")])
def test_a_used_directory_is_continued_only_by_a_resumed_run(tmp_path, resumed, name):
    for used in ("n", "n-1"):
        (tmp_path / used).mkdir()
        (tmp_path / used / "index.json").write_text("{}")
    (sink,) = _opened(PlainHost(directory=tmp_path), resumed=resumed).sinks
    assert sink.directory == tmp_path / name


def test_a_dry_run_keeps_the_users_own_only(tmp_path):
    own = MemorySink()
    assert _opened(PlainHost(directory=tmp_path, is_dry_run=True), [own]).sinks == [own]


def test_a_directory_of_the_users_choice(tmp_path):
    writer = _opened(PlainHost(directory=tmp_path / "run"), storage=Storage(directory=str(tmp_path / "mine")))
    assert writer.run_directory == tmp_path / "mine"
    assert writer.sinks[0].directory == tmp_path / "mine" / "n"


def test_nothing_is_kept_where_that_was_asked_for(tmp_path):
    writer = _opened(PlainHost(directory=tmp_path), storage=Storage(save_maps=False))
    assert (writer.sinks, writer.run_directory) == ([], None)


def test_where_maps_are_is_said_once_if_the_logger_keeps_nothing_on_this_disk(tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(notices, "tell", told.append)
    elsewhere, here = SimpleNamespace(save_dir=None, name="n", version="v"), SimpleNamespace(save_dir=str(tmp_path))
    with each_kind_once(set()):
        for _ in range(2):
            assert len(_opened(PlainHost(directory=tmp_path, loggers=[elsewhere])).sinks) == 1
    assert told == [f"SimpleNamespace stores nothing on the local disk; the raw maps of this run are in {tmp_path}"]
    here.name = here.version = "v"
    _opened(PlainHost(directory=tmp_path, loggers=[here]))
    assert len(told) == 1


@pytest.mark.parametrize("save_pictures", [True, False])
def test_pictures_that_a_logger_shows_are_kept_on_disk_only_if_asked_for(tmp_path, monkeypatch, save_pictures):
    monkeypatch.setattr("saliency_callbacks.callbacks.places.sink_for_logger", lambda logger: MemorySink())
    of_logger, disk = _opened(PlainHost(directory=tmp_path, loggers=[object()]), save_pictures=save_pictures).sinks
    assert isinstance(of_logger, MemorySink)
    assert disk.keeps_pictures == save_pictures


def test_files_stand_in_for_a_sink_only_while_it_fails(tmp_path):
    writer = SinkWriter([DiskSink(tmp_path, pictures=False), FailingAt(1)])

    def write_three():
        for epoch in range(3):
            picture = np.zeros((4, 6, 3), np.uint8)
            writer.write(Snapshot(epoch=epoch, step=epoch, stage="fit", attributions={}), {"n/panel": picture})
        writer.close()

    with pytest.warns(SaliencyWarning, match="no space"):
        write_three()
    kept = [entry["epoch"] for entry in read_index(tmp_path)["observations"] if entry["pictures"]]
    assert kept == [0]


@pytest.fixture
def queue():
    queue = BackgroundQueue()
    yield queue
    queue.close()


def test_tasks_run_in_order_on_one_other_thread(queue):
    seen = []
    for number in range(8):
        queue.submit(lambda number=number: seen.append((number, threading.get_ident())))
    queue.drain()
    assert [number for number, _ in seen] == list(range(8))
    threads = {thread for _, thread in seen}
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_submitting_does_not_wait_but_a_full_queue_does(queue):
    gate, fourth = threading.Event(), threading.Event()
    for _ in range(3):
        # One runs and two wait; were this to wait for them, it would never end.
        queue.submit(lambda: None if gate.wait(_LONG) else pytest.fail("never opened"))

    def submit_more():
        queue.submit(lambda: None)
        fourth.set()

    other = threading.Thread(target=submit_more)
    other.start()
    assert not fourth.wait(0.05), "a fourth task went in while three were not done"
    gate.set()
    other.join(_LONG)
    assert fourth.is_set()


def test_an_error_is_raised_where_the_tasks_are_waited_for(queue):
    done = []

    def fail():
        raise ValueError("no")

    queue.submit(fail)
    queue.submit(lambda: done.append(1))
    with pytest.raises(ValueError, match="no"):
        queue.drain()
    queue.drain()
    assert done == [1]


def test_closing_ends_the_thread_and_a_later_task_starts_another():
    queue = BackgroundQueue()
    before = threading.active_count()
    for _ in range(3):
        done = []
        queue.submit(lambda done=done: done.append(1))
        queue.close()
        assert done == [1]
    assert threading.active_count() == before
