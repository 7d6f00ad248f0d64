from threading import Event

from saliency_callbacks.dashboard.activity import Activity


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
    activity._thread.join(30)
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
    activity._thread.join(30)
    assert activity.is_active()


def test_a_file_system_that_fails():
    def search():
        raise OSError("stale file handle")

    assert not Activity(search).is_active()
