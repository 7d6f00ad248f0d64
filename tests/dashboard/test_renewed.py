from threading import Event

import pytest

from saliency_callbacks.dashboard.activity import Activity
from saliency_callbacks.dashboard.library import Library
from saliency_callbacks.dashboard.logdirs import LogDirectory
from saliency_callbacks.dashboard.renewed import Renewed


def test_a_search_that_takes_long_is_not_waited_for():
    go_on, done = Event(), Event()

    def search():
        go_on.wait(30)
        done.set()
        return True

    activity = Activity(search)
    assert not activity.is_active()
    assert not activity.is_active(), "one search at a time"
    go_on.set()
    assert done.wait(30)
    activity._search._thread.join(30)
    assert activity.is_active()


def test_it_is_searched_again_after_a_while():
    now, answers = [0.0], [False, True]
    activity = Activity(lambda: answers.pop(0), clock=lambda: now[0])
    assert not activity.is_active()
    now[0] = 5.0
    assert not activity.is_active()
    assert answers == [True]
    now[0] = 60.0
    activity.is_active()
    activity._search._thread.join(30)
    assert activity.is_active()


@pytest.mark.parametrize("failure", [OSError("stale file handle"), RuntimeError("links in a circle")], ids=str)
def test_a_search_that_fails_is_not_begun_again_at_once(failure, caplog):
    looks = []

    def search():
        looks.append(1)
        raise failure

    now = [0.0]
    activity = Activity(search, clock=lambda: now[0])
    assert [activity.is_active() for _ in range(5)] == [False] * 5
    assert (len(looks), str(failure) in caplog.text) == (1, True)
    now[0] = 60.0
    activity.is_active()
    activity._search._thread.join(30)
    assert len(looks) == 2


def test_what_was_found_stays_while_a_search_fails():
    answers = [3]
    renewed = Renewed(answers.pop, pause=lambda _: 0.0)
    assert renewed.latest() == 3
    renewed.renew()
    assert (renewed.latest(), type(renewed.failure)) == (3, IndexError)


def test_requests_are_answered_while_directories_are_searched(tmp_path, write_run, monkeypatch):
    write_run(tmp_path / "run")
    now, go_on, begun = [0.0], Event(), Event()
    library = Library((LogDirectory(tmp_path),), clock=lambda: now[0])
    library._listing._later_wait = 0.0
    assert [run["id"] for run in library.overview()["runs"]] == ["run"], "the first search is waited for"
    write_run(tmp_path / "second")

    def wait(directory):
        begun.set()
        go_on.wait(30)
        return False

    monkeypatch.setattr("saliency_callbacks.dashboard.library.has_links", wait)
    monkeypatch.setattr("saliency_callbacks.dashboard.library.find_runs", lambda directories: wait(directories) or ())
    now[0] = 60.0
    assert library.run("run").id == "run"
    assert begun.wait(30)
    assert [run["id"] for run in library.overview()["runs"]] == ["run"]
    go_on.set()
    library._listing._thread.join(30)
    assert library.runs() == {}
