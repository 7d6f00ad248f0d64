"""What is done when an alarm goes on."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest

from saliency_callbacks.callbacks.alarm_actions import act, checked_actions
from saliency_callbacks.errors import ConfigurationError, CueAlarmWarning, SaliencyWarning
from tests.callbacks.plain_host import PlainHost


def _callback(on_error="warn"):
    return SimpleNamespace(on_error=on_error)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("warn", ("warn",)),
        (["stop", "log"], ("stop", "log")),
        ((), ()),
        (math.sqrt, (math.sqrt,)),
        ("math.sqrt", (math.sqrt,)),
        (["warn", "math:sqrt", math.exp], ("warn", math.sqrt, math.exp)),
    ],
)
def test_actions_become_a_tuple(given, expected):
    assert checked_actions("on_alarm", given) == expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            "sotp",
            r"on_alarm has the unknown action 'sotp'; did you mean 'stop'\? Expected any of \['warn', 'log', 'stop'\]",
        ),
        (["warn", "math.nope"], "on_alarm='math.nope' cannot be imported"),
        ("math.pi", "names a float, not a function"),
        ([None], "on_alarm has None"),
        (None, "on_alarm has None"),
        (3, "on_alarm=3 is of type int"),
    ],
)
def test_anything_else_is_an_error(given, message):
    with pytest.raises(ConfigurationError, match=message):
        checked_actions("on_alarm", given)


def test_each_is_done_in_order():
    done, host, callback = [], PlainHost(), _callback()
    with pytest.warns(CueAlarmWarning, match="it leans") as caught:
        act(
            "on_alarm",
            ["warn", "log", lambda *given: done.append((*given, host.is_stopped)), "stop"],
            "it leans",
            host,
            callback,
            CueAlarmWarning,
        )
    assert len(caught) == 1
    assert done == [(callback, "it leans", False)]
    assert host.is_stopped


def test_nothing_is_done_without_actions():
    host = PlainHost()
    act("on_alarm", (), "it leans", host, _callback())
    assert not host.is_stopped


def test_a_failure_is_reported_and_the_rest_is_done():
    def fails(alarm, message):
        raise KeyError("telephone")

    host = PlainHost()
    with pytest.warns(SaliencyWarning, match=r"fails failed when the alarm fired \(KeyError: 'telephone'\)"):
        act("on_alarm", [fails, "stop"], "it leans", host, _callback())
    assert host.is_stopped
    with pytest.raises(KeyError):
        act("on_alarm", [fails], "it leans", host, _callback("raise"))


def test_an_interruption_is_let_through():
    def interrupts(alarm, message):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        act("on_alarm", [interrupts], "it leans", PlainHost(), _callback())
