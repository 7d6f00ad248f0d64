from threading import Event, active_count
from unittest.mock import Mock

from saliency_callbacks.sinks.patient_thread import PatientThread

# Long enough for a loaded machine; never waited for where the code is right.
_LONG = 100


def test_tasks_run_one_after_the_other_and_the_thread_ends():
    before, done = active_count(), []
    thread = PatientThread("test", _LONG)
    for number in range(5):
        thread.submit(lambda number=number: done.append(number))
    assert thread.wait()
    assert done == [0, 1, 2, 3, 4]
    thread.submit(lambda: done.append(5))
    assert thread.wait()
    assert done[-1] == 5
    assert active_count() <= before + 1, "at most the one that is about to end"


def test_the_same_silence_is_waited_for_once():
    answers = Event()
    thread = PatientThread("test", patience=0.01)
    thread.submit(lambda: answers.wait(_LONG))
    assert not thread.wait()
    thread.submit(lambda: None)
    idle = thread._is_idle
    waited = thread._is_idle = Mock(wraps=idle)
    assert not thread.wait()
    assert waited.wait.call_count == 0
    # There is progress, so that it is worth waiting again.
    thread.patience = _LONG
    thread.beat()
    answers.set()
    assert thread.wait()


def _progressing(thread, rounds):
    """Let a thread make progress whenever it was waited for to no end, and be done after some rounds."""
    calls = []

    def wait(seconds):
        calls.append(seconds)
        thread.beat()
        return len(calls) == rounds

    thread._is_idle = Mock(wait=wait, is_set=lambda: len(calls) == rounds)
    return calls


def test_what_is_slow_is_waited_for_as_long_as_there_is_progress():
    thread = PatientThread("test", patience=7)
    calls = _progressing(thread, rounds=4)
    assert thread.wait()
    assert calls == [7] * 4


def test_somebody_in_a_hurry_waits_briefly_whatever_the_progress():
    thread = PatientThread("test", patience=_LONG)
    (calls) = _progressing(thread, rounds=4)
    assert not thread.wait(briefly=True)
    (seconds,) = calls
    assert seconds < _LONG
