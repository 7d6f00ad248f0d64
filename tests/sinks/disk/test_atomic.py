import os
import stat

import pytest

from saliency_callbacks.sinks.disk import atomic
from saliency_callbacks.sinks.disk.atomic import replace_file, replacing
from tests.faults.full_disk import no_space, taking_half


def test_makes_the_directory_and_replaces_the_content(tmp_path):
    path = tmp_path / "deep" / "file"
    replace_file(path, b"old")
    replace_file(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, failure):
    path = tmp_path / "file"
    replace_file(path, b"old")

    def fail(*_):
        raise failure

    monkeypatch.setattr(atomic.os, "replace", fail)
    with pytest.raises(type(failure)):
        replace_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_cut_short_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "file"
    replace_file(path, b"old")
    monkeypatch.setattr(atomic.Path, "open", taking_half([1], no_space))
    with pytest.raises(OSError, match="No space left"):
        replace_file(path, b"something new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("failure", [ValueError("no such type"), KeyboardInterrupt()])
def test_what_is_interrupted_between_two_pieces_leaves_the_old_file_and_nothing_else(tmp_path, failure):
    path = tmp_path / "file"
    replace_file(path, b"old")

    def write():
        with replacing(path) as file:
            file.write(b"first")
            assert path.read_bytes() == b"old"
            raise failure

    with pytest.raises(type(failure)):
        write()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_permissions_follow_the_umask(tmp_path):
    previous = os.umask(0o027)
    try:
        replace_file(tmp_path / "file", b"content")
    finally:
        os.umask(previous)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640
