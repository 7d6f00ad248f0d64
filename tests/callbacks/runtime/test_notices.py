"""Each kind of thing is said once in a run, whatever the numbers in it; outside of one, every time."""

from __future__ import annotations

import warnings

import pytest

from saliency_callbacks.callbacks.runtime import notices
from saliency_callbacks.callbacks.runtime.observation import Moment
from saliency_callbacks.errors import (
    ConfigurationError,
    ObservationError,
    RankError,
    SaliencyWarning,
    each_kind_once,
    warn,
)

EARLY, LATER = Moment(0, 0, "initial"), Moment(3, 9, "fit")


def _said(action):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        action()
    return [str(one.message) for one in seen]


def _fail(error, moment=LATER, *, is_early=False, on_error="warn"):
    with notices.failures(moment, on_error=on_error, is_early=is_early):
        raise error


@pytest.mark.parametrize("say", [warn, notices.warn])
def test_a_kind_is_said_once_in_a_run(say):
    def speak(said):
        with each_kind_once(said):
            for number in range(3):
                say(("maps", "gradient"), f"{number} of 16 maps")
            say(("maps", "grad_cam"), "1 of 16 maps")

    run, other = set(), set()
    assert _said(lambda: speak(run)) == ["0 of 16 maps", "1 of 16 maps"]
    assert _said(lambda: speak(run)) == []
    assert _said(lambda: speak(other)) == ["0 of 16 maps", "1 of 16 maps"]
    assert _said(lambda: [say("maps", str(number)) for number in range(2)]) == ["0", "1"]


def test_a_warning_names_the_line_that_warns():
    with pytest.warns(SaliencyWarning) as seen:
        warn("kind", "message", stacklevel=0)
    assert seen[0].filename == __file__


def test_the_same_failure_is_told_once():
    def fail():
        with each_kind_once(said):
            for epoch in range(3):
                _fail(ValueError(f"bad luck in epoch {epoch}"), Moment(epoch, epoch, "fit"))
            _fail(TypeError("something else"))

    said = set()
    told = _said(fail)
    assert len(told) == 2
    assert told[0].startswith("the observation of epoch 0 is skipped (ValueError: bad luck in epoch 0)")


def test_a_failure_is_told_without_its_secrets():
    (told,) = _said(lambda: _fail(ConnectionError("https://me:p/w@host/data?token=abc is away")))
    assert "(ConnectionError: https://***@host/data?token=*** is away)" in told


def test_a_failure_is_what_it_comes_from():
    """Two causes behind one message of ours are two failures."""

    def fail():
        with each_kind_once(said):
            for cause in (KeyError("a"), IndexError("b"), KeyError("c")):
                error = ObservationError("cannot be explained")
                error.__cause__ = cause
                _fail(error)

    said = set()
    assert len(_said(fail)) == 2


@pytest.mark.parametrize(
    ("error", "moment", "is_early", "raises"),
    [
        (ConfigurationError("wrong"), EARLY, True, True),
        (ObservationError("never"), EARLY, True, True),
        (ValueError("luck"), EARLY, True, False),
        (ConfigurationError("wrong"), LATER, False, False),
        (ObservationError("never"), LATER, False, False),
        (ConfigurationError("wrong"), Moment(0, 0, "validate"), True, True),
        (ObservationError("cached"), Moment(0, 0, "validate"), True, False),
        (RankError("out of sync"), LATER, False, True),
    ],
)
def test_what_ends_a_training_and_what_is_a_warning(error, moment, is_early, raises):
    if raises:
        with pytest.raises(type(error)):
            _fail(error, moment, is_early=is_early)
    else:
        with pytest.warns(SaliencyWarning, match=r"is skipped"):
            _fail(error, moment, is_early=is_early)
    with pytest.raises(type(error)):
        _fail(error, moment, is_early=is_early, on_error="raise")
