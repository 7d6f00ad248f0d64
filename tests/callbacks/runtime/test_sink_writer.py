from types import SimpleNamespace

import pytest

from saliency_callbacks.callbacks.runtime.sink_writer import Outlets, open_outlets
from saliency_callbacks.errors import PictureError, SaliencyWarning
from saliency_callbacks.sinks import DiskSink, MemorySink
from saliency_callbacks.types import Snapshot

_SNAPSHOT = Snapshot(epoch=0, step=1, stage="fit", attributions={})


class Failing:
    calls = 0

    def write(self, snapshot, pictures):
        self.calls += 1
        raise ValueError("no")


def _trainer(directory, **changes):
    strategy = SimpleNamespace(broadcast=lambda value: value)
    facts = {"loggers": [], "default_root_dir": str(directory), "strategy": strategy, "is_global_zero": True}
    return SimpleNamespace(**{**facts, **changes})


class FailingAt(Failing):
    def __init__(self, *failures):
        self.failures = failures

    def write(self, snapshot, pictures):
        self.calls += 1
        if self.calls in self.failures:
            raise OSError("no space")


def write_times(outlets, count, pictures=()):
    for _ in range(count):
        outlets.write(_SNAPSHOT, dict(pictures) if isinstance(pictures, tuple) else pictures)
    outlets.close()


def test_a_failure_is_reported_and_the_others_go_on():
    failing, before, after = FailingAt(1), MemorySink(), MemorySink()
    outlets = Outlets([before, failing, after])
    with pytest.warns(SaliencyWarning, match="FailingAt failed: OSError: no space; the training goes on"):
        write_times(outlets, 1)
    write_times(outlets, 1)
    assert failing.calls == 2
    assert [len(sink.snapshots) for sink in (before, after)] == [2, 2]


@pytest.mark.parametrize(("failures", "calls"), [((1, 2, 3), 3), ((1, 2, 4, 5), 6)], ids=["in a row", "with a pause"])
def test_only_one_that_fails_three_times_in_a_row_is_left_out(failures, calls):
    failing = FailingAt(*failures)
    outlets = Outlets([failing])
    with pytest.warns(SaliencyWarning):
        write_times(outlets, 6)
    assert failing.calls == calls


def test_a_picture_that_cannot_be_drawn_is_no_fault_of_the_sink():
    class Broken(dict):
        def items(self):
            raise PictureError("the picture 'saliency/gradient' cannot be drawn")

    outlets = Outlets([MemorySink()])
    with pytest.warns(SaliencyWarning, match=r"^PictureError: the picture 'saliency/gradient'"):
        write_times(outlets, 4, Broken())
    write_times(outlets, 1)
    assert len(outlets.sinks[0].snapshots) == 1


def test_a_message_does_not_tell_the_password_in_an_address():
    class Unreachable:
        def write(self, snapshot, pictures):
            raise ConnectionError("https://me:secret@host:5000/api/2.0/mlflow failed, see https://docs.host/a@b")

    expected = r"Unreachable failed: ConnectionError: https://\*\*\*@host:5000/api/2.0/mlflow failed, see https://docs"
    with pytest.warns(SaliencyWarning, match=expected) as seen:
        write_times(Outlets([Unreachable()]), 1)
    assert "secret" not in str(seen[0].message)


def test_failures_pass_through_if_they_are_to_be_raised():
    with pytest.raises(ValueError, match="no"):
        Outlets([Failing()], on_error="raise").write(_SNAPSHOT, {})


def test_an_interrupt_is_no_failure():
    class Interrupted:
        def write(self, snapshot, pictures):
            raise KeyboardInterrupt

    outlets = Outlets([Interrupted()])
    with pytest.raises(KeyboardInterrupt):
        write_times(outlets, 1)
    assert len(outlets.sinks) == 1


def test_the_users_own_and_the_disk(tmp_path):
    own = MemorySink()
    trainer = _trainer(tmp_path)
    outlets = open_outlets(trainer, [own], namespace="n", save_maps=True, resumed=False, on_error="warn")
    assert outlets.trainer is trainer
    assert outlets.sinks[0] is own
    (disk,) = outlets.sinks[1:]
    assert isinstance(disk, DiskSink)
    assert disk.directory == tmp_path / "n"
    assert disk.keeps_pictures


def test_only_rank_zero_writes(tmp_path):
    trainer = _trainer(tmp_path, is_global_zero=False)
    assert (
        open_outlets(trainer, [MemorySink()], namespace="n", save_maps=True, resumed=False, on_error="warn").sinks == []
    )


@pytest.mark.parametrize(("resumed", "name"), [(True, "n"), (False, "n-2")])
def test_a_used_directory_is_continued_only_by_a_resumed_run(tmp_path, resumed, name):
    for used in ("n", "n-1"):
        (tmp_path / used).mkdir()
        (tmp_path / used / "index.json").write_text("{}")
    (sink,) = open_outlets(
        _trainer(tmp_path), [], namespace="n", save_maps=True, resumed=resumed, on_error="warn"
    ).sinks
    assert sink.directory == tmp_path / name


def test_a_dry_run_keeps_the_users_own_only(tmp_path):
    own = MemorySink()
    trainer = _trainer(tmp_path, fast_dev_run=1)
    assert open_outlets(trainer, [own], namespace="n", save_maps=True, resumed=False, on_error="warn").sinks == [own]
