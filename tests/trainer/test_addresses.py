"""What a training keeps is copied to an address, and read back from there."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from threading import Event
from unittest.mock import Mock

import fsspec
import lightning as L
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from saliency_callbacks import SaliencyMonitor, Storage
from saliency_callbacks.cli import main
from saliency_callbacks.errors import ConfigurationError, SaliencyWarning
from saliency_callbacks.sinks import patient_thread, read_index, read_maps, read_probe
from saliency_callbacks.sinks.disk import mirror, remote_copy
from tests.trainer.runs import WEIGHTS_ONLY, Classifier, train_loader, trainer, val_loader

N_OBSERVATIONS = 3


class UnreliableFileSystem(MemoryFileSystem):
    """A file system in memory that fails, or hangs, as long as it is told to."""

    protocol = "unreliable"
    store = {}  # noqa: RUF012 (as in the base)
    pseudo_dirs = [""]  # noqa: RUF012
    is_away = False
    takes_no = ""
    answers = Event()

    def _check(self, path):
        self.answers.wait(100)
        if self.takes_no and self.takes_no in path:
            raise OSError("quota exceeded")
        if self.is_away:
            raise ConnectionError("ftp://me:secret@host does not answer")

    def info(self, path, **kwargs):
        self._check(path)
        return super().info(path, **kwargs)

    def cat_file(self, path, *args, **kwargs):
        self._check(path)
        return super().cat_file(path, *args, **kwargs)

    def pipe_file(self, path, *args, **kwargs):
        self._check(path)
        return super().pipe_file(path, *args, **kwargs)

    def put_file(self, lpath, rpath, **kwargs):
        self._check(rpath)
        return super().put_file(lpath, rpath, **kwargs)


@pytest.fixture
def unreliable():
    fsspec.register_implementation("unreliable", UnreliableFileSystem, clobber=True)
    UnreliableFileSystem.answers.set()
    UnreliableFileSystem.is_away, UnreliableFileSystem.takes_no = False, ""
    yield UnreliableFileSystem
    UnreliableFileSystem.answers.set()
    UnreliableFileSystem.store.clear()


@pytest.fixture(params=["memory", "file"])
def address(request, tmp_path):
    yield f"file://{tmp_path}/bucket" if request.param == "file" else "memory://bucket"
    MemoryFileSystem.store.clear()


def monitor(address, **storage):
    return SaliencyMonitor("gradient", probe=4, report=True, storage=Storage(directory=address, **storage))


def fit(root, callback, model=None, **changes):
    ckpt_path = changes.pop("ckpt_path", None)
    run = trainer(root, callback, **changes)
    weights_only = WEIGHTS_ONLY if ckpt_path else {}
    run.fit(Classifier() if model is None else model, train_loader(), val_loader(), ckpt_path=ckpt_path, **weights_only)
    return run


def names_at(address):
    system, root = fsspec.core.url_to_fs(address)
    return sorted(path.removeprefix(root).lstrip("/") for path in system.find(root))


def runs_at(address):
    return [f"{address}/{name}" for name in sorted({name.partition("/")[0] for name in names_at(address)})]


def fitted_epochs(directory):
    return [one["epoch"] for one in read_index(directory)["observations"] if one["stage"] == "fit"]


def messages_of(seen):
    return [str(one.message) for one in seen if issubclass(one.category, SaliencyWarning)]


def test_everything_is_read_back_from_the_address(tmp_path, address, monkeypatch, capsys):
    fit(tmp_path / "run", monitor(address))
    here = tmp_path / "run" / "saliency"
    (run,) = runs_at(address)
    index = read_index(f"{run}/saliency")
    assert index == read_index(here)
    for entry in index["observations"]:
        there, local = read_maps(f"{run}/saliency", entry), read_maps(here, entry)
        assert all(np.array_equal(there[name], local[name]) for name in local)
    assert read_probe(f"{run}/saliency", index["probe"]).fingerprint == index["probe"]["fingerprint"]
    assert "report.html" in names_at(run)
    monkeypatch.chdir(tmp_path)
    shutil.rmtree(tmp_path / "run")
    assert main(["report", run]) in (None, 0)
    assert Path("report.html").read_bytes().lower().startswith(b"<!doctype html>")


def test_what_is_not_kept_here_is_not_kept_there(tmp_path, address):
    fit(tmp_path / "run", monitor(address, keep_maps=1), max_epochs=4)
    (run,) = runs_at(address)
    here = sorted(path.relative_to(tmp_path / "run").as_posix() for path in (tmp_path / "run").rglob("*.safetensors"))
    assert [name for name in names_at(run) if name.endswith(".safetensors")] == here
    assert len([name for name in here if "/maps/" in name]) == 2, "the first and the last"


def test_runs_that_begin_at_once_replace_nothing_of_each_other(tmp_path, address):
    class Meanwhile(L.Callback):
        def on_train_start(self, *_):
            fit(tmp_path / "b" / "run", monitor(address), max_epochs=1)

    run = trainer(tmp_path / "a" / "run", monitor(address), Meanwhile())
    run.fit(Classifier(), train_loader(), val_loader())
    assert sorted(map(fitted_epochs, (f"{run}/saliency" for run in runs_at(address)))) == [[0], [0, 1]]
    assert len([name for name in names_at(address) if name.endswith("report.html")]) == 2


@pytest.mark.parametrize("machine", ["same", "other"])
def test_a_resumed_run_goes_on_where_it_was(tmp_path, address, machine):
    first = fit(tmp_path / "a", monitor(address, keep_maps=1))
    first.save_checkpoint(tmp_path / "first.ckpt")
    (run,) = runs_at(address)
    fit(tmp_path / "b", monitor(address))
    root = tmp_path / ("a" if machine == "same" else "c")
    fit(root, monitor(address, keep_maps=1), max_epochs=4, ckpt_path=tmp_path / "first.ckpt")
    assert len(runs_at(address)) == 2
    assert fitted_epochs(f"{run}/saliency") == [0, 1, 2, 3]
    assert read_index(root / "saliency") == read_index(f"{run}/saliency")
    kept = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.safetensors"))
    assert [name for name in names_at(run) if name.endswith(".safetensors")] == kept, "nothing that is not listed"


def test_what_was_fetched_is_not_copied_again(tmp_path, unreliable, monkeypatch):
    run = fit(tmp_path / "a", monitor("unreliable://bucket"))
    run.save_checkpoint(tmp_path / "first.ckpt")
    former, put = {path.rpartition("/")[2] for path in unreliable.store}, Mock(wraps=unreliable().put_file)
    monkeypatch.setattr(unreliable, "put_file", put)
    fit(tmp_path / "b", monitor("unreliable://bucket"), max_epochs=3, ckpt_path=tmp_path / "first.ckpt")
    copied = {call.args[1].rpartition("/")[2] for call in put.call_args_list}
    assert copied & former == {"report.html"}
    assert copied - former, "the new maps"


def test_all_callbacks_of_a_run_share_its_place(tmp_path, address):
    storage = Storage(directory=address)
    callbacks = [SaliencyMonitor("gradient", probe=4, storage=storage, namespace=name) for name in ("a", "b")]
    run = trainer(tmp_path, *callbacks)
    run.fit(Classifier(), train_loader(), val_loader())
    (there,) = runs_at(address)
    assert {name.partition("/")[0] for name in names_at(there)} == {"a", "b"}


def test_a_new_run_looks_at_nothing_that_is_there(tmp_path, unreliable, monkeypatch):
    """Where an address can only be written to, too; and what cannot be seen is replaced by none."""
    denied = Mock(side_effect=PermissionError("denied"))
    for name in ("info", "exists", "cat_file", "ls", "find"):
        monkeypatch.setattr(unreliable, name, denied)
    fit(tmp_path / "a" / "run", monitor("unreliable://bucket"))
    former = dict(unreliable.store)
    fit(tmp_path / "b" / "run", monitor("unreliable://bucket"))
    monkeypatch.undo()
    assert all(unreliable.store[path] is content for path, content in former.items())
    assert len(unreliable.store) == 2 * len(former)


def test_a_network_that_is_away_is_told_of_and_tried_again(tmp_path, unreliable):
    class Back(SaliencyMonitor):
        def on_train_epoch_end(self, run, module):
            super().on_train_epoch_end(run, module)
            unreliable.is_away = run.current_epoch < 1

    unreliable.is_away = True
    callback = Back("gradient", probe=4, storage=Storage(directory="unreliable://bucket"))
    with pytest.warns(SaliencyWarning) as seen:
        fit(tmp_path, callback, max_epochs=2)
    (told,) = messages_of(seen)
    assert told.startswith(f"copying to 'unreliable://bucket/{tmp_path.name}-")
    assert "failed (ConnectionError: ftp://***@host does not answer); it will be tried again" in told
    (run,) = runs_at("unreliable://bucket")
    assert read_index(f"{run}/saliency") == read_index(tmp_path / "saliency")
    assert len(read_index(tmp_path / "saliency")["observations"]) == N_OBSERVATIONS


def test_a_network_that_is_away_until_the_end_costs_nothing_else(tmp_path, unreliable):
    unreliable.is_away = True
    model, plain = Classifier(), Classifier()
    with pytest.warns(SaliencyWarning) as seen:
        fit(tmp_path / "watched", monitor("unreliable://bucket"), model)
    again, lost = messages_of(seen)
    assert "it will be tried again" in again
    assert "complete on this machine" in lost
    assert not any("secret" in message for message in (again, lost))
    trainer(tmp_path / "plain").fit(plain, train_loader(), val_loader())
    for name, weights in plain.state_dict().items():
        assert weights.equal(model.state_dict()[name])
    assert len(read_index(tmp_path / "watched" / "saliency")["observations"]) == N_OBSERVATIONS
    assert (tmp_path / "watched" / "report.html").exists()


def test_what_was_not_copied_in_the_end_is_named(tmp_path, unreliable):
    unreliable.takes_no = "/b/"
    storage = Storage(directory="unreliable://bucket")
    callbacks = [SaliencyMonitor("gradient", probe=4, storage=storage, namespace=name) for name in ("a", "b", "c")]
    with pytest.warns(SaliencyWarning) as seen:
        trainer(tmp_path, *callbacks).fit(Classifier(), train_loader(), val_loader())
    (lost,) = [message for message in messages_of(seen) if "not copied" in message]
    assert lost.startswith(f"{str(tmp_path / 'b')!r} was not copied to 'unreliable://bucket/")
    assert "(OSError: quota exceeded); it is complete on this machine" in lost
    copied = {path.split("/")[-2] for path in unreliable.store if path.endswith("observations.jsonl")}
    assert copied == {"a", "c"}


def test_a_network_that_hangs_is_waited_for_once_by_all_callbacks(tmp_path, unreliable, monkeypatch):
    monkeypatch.setattr(remote_copy, "_PATIENCE", 0.05)
    unreliable.answers.clear()
    storage = Storage(directory="unreliable://bucket")
    callbacks = [SaliencyMonitor("gradient", probe=4, storage=storage, namespace=name) for name in ("a", "b")]
    threads = threading.active_count()
    with pytest.warns(SaliencyWarning) as seen:
        trainer(tmp_path, *callbacks).fit(Classifier(), train_loader(), val_loader())
    (lost,) = messages_of(seen)
    assert lost.startswith(f"{str(tmp_path / 'a')!r} and {str(tmp_path / 'b')!r} were not copied")
    assert "nothing was copied for 0 s" in lost
    assert threading.active_count() == threads + 1
    assert len(read_index(tmp_path / "b")["observations"]) == N_OBSERVATIONS


def test_after_ctrl_c_nobody_waits_long_for_a_network_that_hangs(tmp_path, unreliable, monkeypatch):
    class Interrupted(L.Callback):
        def on_train_epoch_end(self, *_):
            raise KeyboardInterrupt

    monkeypatch.setattr(patient_thread, "_BRIEFLY", 0.05)
    unreliable.answers.clear()
    run = trainer(tmp_path, monitor("unreliable://bucket"), Interrupted())
    with pytest.warns(SaliencyWarning, match="interrupted before all was copied"), pytest.raises(BaseException):  # noqa: B017, PT011
        run.fit(Classifier(), train_loader(), val_loader())


def test_lines_at_the_address_stay_where_this_machine_has_not_got_them(tmp_path, address, monkeypatch):
    run = fit(tmp_path / "a", monitor(address))
    run.save_checkpoint(tmp_path / "first.ckpt")
    (there,) = runs_at(address)
    monkeypatch.setattr(mirror, "fetch", Mock(side_effect=ConnectionError("away")))
    with pytest.warns(SaliencyWarning) as seen:
        fit(tmp_path / "b", monitor(address), max_epochs=3, ckpt_path=tmp_path / "first.ckpt")
    assert "earlier observations are not on this machine and could not be fetched" in messages_of(seen)[0]
    assert fitted_epochs(f"{there}/saliency") == [0, 1, 2]


@pytest.mark.parametrize("directory", ["nosuch://bucket", Path("s3://bucket")])
def test_an_address_that_cannot_be_used_is_refused(directory):
    with pytest.raises(ConfigurationError, match="address"):
        Storage(directory=directory)


def test_secrets_are_not_shown():
    with pytest.raises(ConfigurationError) as caught:
        Storage(directory="nosuch://me:password@host/runs?token=abc")
    assert "password" not in str(caught.value)
    assert "abc" not in str(caught.value)
    with pytest.raises(ConfigurationError, match="cannot be read") as caught:
        read_index("ftp://me:password@127.0.0.1:9/runs")
    assert "password" not in str(caught.value)


def test_an_address_is_no_directory_to_be_viewed(capsys):
    assert main(["view", "s3://bucket/runs"]) != 0
    assert "copy the address to this machine" in capsys.readouterr().err
