"""What is copied, in which order, and what is not copied whole."""

from threading import Event
from unittest.mock import Mock

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from saliency_callbacks.sinks.disk.mirror import Mirror
from saliency_callbacks.sinks.disk.remote_copy import RemoteCopy, new_run_name

_LONG = 100
_ADDRESS = "memory://bucket/run/saliency"


@pytest.fixture
def system():
    yield fsspec.filesystem("memory")
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


@pytest.fixture
def kept(tmp_path):
    kept = tmp_path / "saliency"
    (kept / "maps").mkdir(parents=True)
    (kept / "index.json").write_text("{}")
    (kept / "observations.jsonl").write_text('{"step": 2}\n')
    (kept / "maps" / "2").write_text("maps")
    return kept


def _mirror(kept, on_progress=lambda: None, *, is_resumed=False):
    return Mirror(kept, _ADDRESS, on_progress, is_resumed=is_resumed)


def test_what_lists_others_comes_last(system, kept, monkeypatch):
    order = []
    for name, place in (("put_file", 1), ("pipe_file", 0)):
        write = getattr(MemoryFileSystem, name)

        def noted(self, *args, write=write, place=place, **kwargs):
            order.append(args[place].rpartition("/")[2])
            return write(self, *args, **kwargs)

        monkeypatch.setattr(MemoryFileSystem, name, noted)
    _mirror(kept).update()
    assert order == ["2", "observations.jsonl", "index.json"]


def test_nothing_is_copied_before_it_is_listed_nor_removed_because_all_is_gone(system, kept):
    mirror = _mirror(kept)
    mirror.update()
    former = set(system.find("/bucket"))
    for name in ("index.json", "observations.jsonl"):
        (kept / name).unlink()
    (kept / "maps" / "3").write_text("maps")
    mirror.update()
    assert set(system.find("/bucket")) == former


def test_a_line_that_is_being_written_is_not_copied_by_half(system, kept):
    system.pipe_file(f"{_ADDRESS}/observations.jsonl", b'{"step": 1}\n{"ste')
    with (kept / "observations.jsonl").open("a") as journal:
        journal.write('{"step": 3')
    mirror = _mirror(kept, is_resumed=True)
    mirror.update()
    assert system.cat_file(f"{_ADDRESS}/observations.jsonl") == b'{"step": 1}\n{"step": 2}\n'
    with (kept / "observations.jsonl").open("a") as journal:
        journal.write("}\n")
    mirror.update()
    assert system.cat_file(f"{_ADDRESS}/observations.jsonl") == b'{"step": 1}\n{"step": 2}\n{"step": 3}\n'


def test_lines_that_cannot_be_read_for_a_moment_are_not_replaced(system, kept, monkeypatch):
    system.pipe_file(f"{_ADDRESS}/observations.jsonl", b'{"step": 1}\n')
    mirror = _mirror(kept, is_resumed=True)
    with monkeypatch.context() as away:
        for name in ("info", "cat_file"):
            away.setattr(MemoryFileSystem, name, Mock(side_effect=ConnectionError("away")))
        with pytest.raises(ConnectionError):
            mirror.update()
    assert system.cat_file(f"{_ADDRESS}/observations.jsonl") == b'{"step": 1}\n'
    mirror.update()
    assert system.cat_file(f"{_ADDRESS}/observations.jsonl") == b'{"step": 1}\n{"step": 2}\n'


def test_a_large_file_makes_progress_before_it_is_copied(system, kept):
    with (kept / "maps" / "large").open("wb") as large:
        large.truncate(3 * MemoryFileSystem.blocksize)
    few, many = Mock(), Mock()
    _mirror(kept, many).update()
    (kept / "maps" / "large").unlink()
    _mirror(kept, few).update()
    assert many.call_count >= few.call_count + 4, "one for each block, and one for the file"


def test_what_comes_after_it_was_given_up_is_not_put_where_the_run_writes(system, kept, tmp_path, monkeypatch):
    _mirror(kept).update()
    answers, asked = Event(), Event()
    read = MemoryFileSystem.cat_file

    def cat_file(self, *args, **kwargs):
        asked.set()
        answers.wait(_LONG)
        return read(self, *args, **kwargs)

    monkeypatch.setattr(MemoryFileSystem, "cat_file", cat_file)
    copy = RemoteCopy(tmp_path / "other", "memory://bucket", "run")
    copy._thread.patience = 0.01
    copy.begin("saliency", is_resumed=True)
    with pytest.raises(TimeoutError, match="no answer within"):
        copy.fetch("saliency")
    assert asked.wait(_LONG)
    own = tmp_path / "other" / "saliency" / "observations.jsonl"
    own.parent.mkdir(parents=True)
    own.write_text('{"step": 9}\n')
    copy._thread.patience = _LONG
    copy._thread.beat()
    answers.set()
    assert copy._thread.wait()
    assert own.read_text() == '{"step": 9}\n'
    assert [path.name for path in own.parent.iterdir()] == [own.name]


def test_each_run_has_a_name_of_its_own_that_can_be_recognized(tmp_path):
    one, other = (new_run_name(tmp_path / "version 3") for _ in range(2))
    assert one != other
    assert one.startswith("version_3-")


def test_the_last_one_of_a_run_tells_of_all(kept, tmp_path, system, monkeypatch):
    copy = RemoteCopy(tmp_path, "memory://bucket", "run")
    for name in ("saliency", "cue"):
        copy.begin(name, is_resumed=False)
    monkeypatch.setattr(MemoryFileSystem, "put_file", Mock(side_effect=OSError("quota exceeded")))
    assert copy.finish("saliency") is None
    assert "saliency' was not copied" in (copy.finish("cue") or "")
