"""What a training keeps is copied to an address, and read back from there."""

from __future__ import annotations

import shutil
from pathlib import Path
from threading import Event
from unittest.mock import Mock

import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from saliency_callbacks import SaliencyMonitor, Storage
from saliency_callbacks.cli import main
from saliency_callbacks.errors import ConfigurationError, SaliencyWarning
from saliency_callbacks.sinks import read_index, read_maps, read_probe
from saliency_callbacks.sinks.disk import remote_copy
from tests.trainer.runs import WEIGHTS_ONLY, Classifier, train_loader, trainer, val_loader

N_OBSERVATIONS = 3


class UnreliableFileSystem(MemoryFileSystem):
    """A file system in memory that fails, or hangs, as long as it is told to."""

    protocol = "unreliable"
    store = {}  # noqa: RUF012 (as in the base)
    pseudo_dirs = [""]  # noqa: RUF012
    is_away = False
    answers = Event()

    def _check(self):
        self.answers.wait(100)
        if self.is_away:
            raise ConnectionError("ftp://me:secret@host does not answer")

    def pipe_file(self, *args, **kwargs):
        self._check()
        return super().pipe_file(*args, **kwargs)

    def put_file(self, *args, **kwargs):
        self._check()
        return super().put_file(*args, **kwargs)

    def exists(self, *args, **kwargs):
        self._check()
        return super().exists(*args, **kwargs)


@pytest.fixture
def unreliable():
    fsspec.register_implementation("unreliable", UnreliableFileSystem, clobber=True)
    UnreliableFileSystem.answers.set()
    UnreliableFileSystem.is_away = False
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


def test_everything_is_read_back_from_the_address(tmp_path, address, monkeypatch, capsys):
    fit(tmp_path / "run", monitor(address))
    here = tmp_path / "run" / "saliency"
    index = read_index(f"{address}/saliency")
    assert index == read_index(here)
    for entry in index["observations"]:
        there, local = read_maps(f"{address}/saliency", entry), read_maps(here, entry)
        assert all(np.array_equal(there[name], local[name]) for name in local)
    assert read_probe(f"{address}/saliency", index["probe"]).fingerprint == index["probe"]["fingerprint"]
    assert "report.html" in names_at(address)
    monkeypatch.chdir(tmp_path)
    shutil.rmtree(tmp_path / "run")
    assert main(["report", address]) in (None, 0)
    assert Path("report.html").read_bytes().lower().startswith(b"<!doctype html>")


def test_what_is_not_kept_here_is_not_kept_there(tmp_path, address):
    fit(tmp_path / "run", monitor(address, keep_maps=1), max_epochs=4)
    here = sorted(path.relative_to(tmp_path / "run").as_posix() for path in (tmp_path / "run").rglob("*.safetensors"))
    assert [name for name in names_at(address) if name.endswith(".safetensors")] == here
    assert len([name for name in here if "/maps/" in name]) == 2, "the first and the last"


def test_another_run_replaces_nothing_and_each_goes_on_where_it_was(tmp_path, address):
    first = fit(tmp_path / "a", monitor(address))
    second = fit(tmp_path / "b", monitor(address))
    former = read_index(f"{address}/saliency")
    assert len(read_index(f"{address}/saliency-1")["observations"]) == N_OBSERVATIONS
    second.save_checkpoint(tmp_path / "second.ckpt")
    # On another machine.
    fit(tmp_path / "c", monitor(address), max_epochs=3, ckpt_path=tmp_path / "second.ckpt")
    assert first.current_epoch == 2
    epochs = [one["epoch"] for one in read_index(f"{address}/saliency-1")["observations"] if one["stage"] == "fit"]
    assert epochs == [0, 1, 2]
    assert read_index(tmp_path / "c" / "saliency-1") == read_index(f"{address}/saliency-1")
    assert read_index(f"{address}/saliency") == former


def messages_of(seen):
    return [str(one.message) for one in seen if issubclass(one.category, SaliencyWarning)]


def test_a_network_that_is_away_is_told_of_and_tried_again(tmp_path, unreliable):
    class Back(SaliencyMonitor):
        def on_train_epoch_end(self, run, module):
            super().on_train_epoch_end(run, module)
            unreliable.is_away = run.current_epoch < 1

    unreliable.is_away = True
    callback = Back("gradient", probe=4, storage=Storage(directory="unreliable://bucket"))
    with pytest.warns(SaliencyWarning) as seen:
        fit(tmp_path, callback, max_epochs=2)
    assert "'unreliable://bucket' cannot be read (ConnectionError: ftp://***@host does not" in messages_of(seen)[0]
    (index,) = [name for name in names_at("unreliable://bucket") if name.endswith("index.json")]
    place = index.partition("/")[0]
    assert read_index(f"unreliable://bucket/{place}") == read_index(tmp_path / place)
    assert len(read_index(tmp_path / place)["observations"]) == N_OBSERVATIONS


def test_a_network_that_is_away_until_the_end_costs_nothing_else(tmp_path, unreliable):
    unreliable.is_away = True
    model, plain = Classifier(), Classifier()
    with pytest.warns(SaliencyWarning) as seen:
        fit(tmp_path / "watched", monitor("unreliable://bucket"), model)
    assert any("it is complete on this machine" in message for message in messages_of(seen))
    assert not any("secret" in message for message in messages_of(seen))
    trainer(tmp_path / "plain").fit(plain, train_loader(), val_loader())
    for name, weights in plain.state_dict().items():
        assert weights.equal(model.state_dict()[name])
    (kept,) = (tmp_path / "watched").glob("saliency-*")
    assert len(read_index(kept)["observations"]) == N_OBSERVATIONS
    assert (tmp_path / "watched" / "report.html").exists()


def test_a_network_that_hangs_holds_up_nothing(tmp_path, unreliable, monkeypatch):
    monkeypatch.setattr(remote_copy, "_PATIENCE", 0.05)
    unreliable.answers.clear()
    with pytest.warns(SaliencyWarning) as seen:
        fit(tmp_path, monitor("unreliable://bucket"))
    assert any("no answer within" in message for message in messages_of(seen))
    assert any("nothing was copied for" in message for message in messages_of(seen))
    (kept,) = tmp_path.glob("saliency-*")
    assert len(read_index(kept)["observations"]) == N_OBSERVATIONS


def test_lines_at_the_address_stay_where_this_machine_has_not_got_them(tmp_path, address, monkeypatch):
    run = fit(tmp_path / "a", monitor(address))
    run.save_checkpoint(tmp_path / "first.ckpt")
    former = read_index(f"{address}/saliency")["observations"]
    monkeypatch.setattr(remote_copy, "fetch", Mock(side_effect=ConnectionError("away")))
    with pytest.warns(SaliencyWarning) as seen:
        fit(tmp_path / "b", monitor(address), max_epochs=3, ckpt_path=tmp_path / "first.ckpt")
    assert "earlier observations are not on this machine" in messages_of(seen)[0]
    found = read_index(f"{address}/saliency")["observations"]
    assert [one for one in found if one["stage"] == "fit"][:2] == [one for one in former if one["stage"] == "fit"]
    assert [one["epoch"] for one in found if one["stage"] == "fit"] == [0, 1, 2]


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
