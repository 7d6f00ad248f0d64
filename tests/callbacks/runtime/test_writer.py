import threading

import pytest

from saliency_callbacks.callbacks.runtime.sink_writer import Writer

# Long enough for a loaded machine; never waited for where the code is right.
_LONG = 30


@pytest.fixture
def writer():
    writer = Writer()
    yield writer
    writer.close()


def test_tasks_run_in_order_on_one_other_thread(writer):
    seen = []
    for number in range(8):
        writer.submit(lambda number=number: seen.append((number, threading.get_ident())))
    writer.drain()
    assert [number for number, _ in seen] == list(range(8))
    threads = {thread for _, thread in seen}
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_submitting_does_not_wait_but_a_full_queue_does(writer):
    gate, fourth = threading.Event(), threading.Event()
    for _ in range(3):
        # One runs and two wait; were this to wait for them, it would never end.
        writer.submit(lambda: None if gate.wait(_LONG) else pytest.fail("never opened"))

    def submit_more():
        writer.submit(lambda: None)
        fourth.set()

    other = threading.Thread(target=submit_more)
    other.start()
    assert not fourth.wait(0.05), "a fourth task went in while three were not done"
    gate.set()
    other.join(_LONG)
    assert fourth.is_set()


def test_an_error_is_raised_where_the_tasks_are_waited_for(writer):
    done = []

    def fail():
        raise ValueError("no")

    writer.submit(fail)
    writer.submit(lambda: done.append(1))
    with pytest.raises(ValueError, match="no"):
        writer.drain()
    writer.drain()
    assert done == [1]


def test_closing_ends_the_thread_and_a_later_task_starts_another():
    writer = Writer()
    before = threading.active_count()
    for _ in range(3):
        done = []
        writer.submit(lambda done=done: done.append(1))
        writer.close()
        assert done == [1]
    assert threading.active_count() == before
