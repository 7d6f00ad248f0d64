from types import SimpleNamespace

import pytest

from saliency_callbacks.callbacks.outlets import Outlets, open_outlets
from saliency_callbacks.errors import SaliencyWarning
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


def test_one_that_fails_is_reported_once_and_the_others_go_on():
    failing, before, after = Failing(), MemorySink(), MemorySink()
    outlets = Outlets([before, failing, after])
    with pytest.warns(SaliencyWarning, match=r"Failing failed and is left out from now on \(ValueError: no\)"):
        outlets.write(_SNAPSHOT, {})
    outlets.write(_SNAPSHOT, {})
    assert failing.calls == 1
    assert [len(sink.snapshots) for sink in (before, after)] == [2, 2]


def test_an_interrupt_is_no_failure():
    class Interrupted:
        def write(self, snapshot, pictures):
            raise KeyboardInterrupt

    outlets = Outlets([Interrupted()])
    with pytest.raises(KeyboardInterrupt):
        outlets.write(_SNAPSHOT, {})
    assert len(outlets.sinks) == 1


def test_the_users_own_and_the_disk(tmp_path):
    own = MemorySink()
    trainer = _trainer(tmp_path)
    outlets = open_outlets(trainer, [own], namespace="n", save_maps=True, resumed=False)
    assert outlets.trainer is trainer
    assert outlets.sinks[0] is own
    (disk,) = outlets.sinks[1:]
    assert isinstance(disk, DiskSink)
    assert disk.directory == tmp_path / "n"
    assert disk.keeps_pictures


def test_only_rank_zero_writes(tmp_path):
    trainer = _trainer(tmp_path, is_global_zero=False)
    assert open_outlets(trainer, [MemorySink()], namespace="n", save_maps=True, resumed=False).sinks == []


@pytest.mark.parametrize(("resumed", "name"), [(True, "n"), (False, "n-2")])
def test_a_used_directory_is_continued_only_by_a_resumed_run(tmp_path, resumed, name):
    for used in ("n", "n-1"):
        (tmp_path / used).mkdir()
        (tmp_path / used / "index.json").write_text("{}")
    (sink,) = open_outlets(_trainer(tmp_path), [], namespace="n", save_maps=True, resumed=resumed).sinks
    assert sink.directory == tmp_path / name


def test_a_dry_run_keeps_the_users_own_only(tmp_path):
    own = MemorySink()
    trainer = _trainer(tmp_path, fast_dev_run=1)
    assert open_outlets(trainer, [own], namespace="n", save_maps=True, resumed=False).sinks == [own]
