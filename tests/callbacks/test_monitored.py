"""What is logged of scores, and what others may monitor."""

from __future__ import annotations

import math

import pytest

from saliency_callbacks.callbacks.monitored import log_monitored
from saliency_callbacks.callbacks.runtime import notices
from saliency_callbacks.errors import each_kind_once
from saliency_callbacks.scores.undefined import when_undefined
from tests.callbacks.plain_host import PlainHost

_DRIFT, _GINI = "saliency/gradient/drift_previous", "saliency/gradient/gini"


@pytest.mark.parametrize("undefined", [math.nan, math.inf, -math.inf])
def test_a_gap_is_logged_and_what_was_last_is_monitored(undefined):
    host = PlainHost()
    log_monitored(host, {_DRIFT: undefined, _GINI: 0.25}, {_DRIFT: 0.5, _GINI: 0.25}, 7, "all")
    assert host.logged[0] == (None, {_GINI: 0.25})
    (step, gaps), *others = host.logged[1:]
    assert (step, others, list(gaps)) == (7, [], [_DRIFT])
    assert not math.isfinite(gaps[_DRIFT])
    assert host.held == {_DRIFT: 0.5}


def test_before_there_is_a_value_and_after_it_is_no_longer_measured():
    host = PlainHost()
    log_monitored(host, {_DRIFT: math.nan}, {"cue/patch/worst_group_accuracy": 0.75}, 7, "all")
    assert host.held == {_DRIFT: 1.0, "cue/patch/worst_group_accuracy": 0.75}


def test_numbers_are_logged_alone():
    host = PlainHost()
    log_monitored(host, {_GINI: 0.25}, {_GINI: 0.25}, 7, "all")
    assert host.logged == [(None, {_GINI: 0.25})]
    assert host.held == {}


def test_what_is_not_drawn_is_monitored():
    host = PlainHost()
    log_monitored(host, {_DRIFT: 0.5, _GINI: 0.25, "a/b/entropy": math.nan}, {}, 7, "few")
    assert host.logged[0] == (None, {_DRIFT: 0.5})
    assert host.hidden == [(None, {_GINI: 0.25})]
    assert host.held == {"a/b/entropy": 1.0}
    assert host.logged[1:] in ([], [(7, {})]), "a gap is drawn where the score is"


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        ("tokens/gradient/drift_initial", 1),
        ("saliency/gradient/entropy", 1),
        ("randomization/gradient/similarity", 1),
        ("randomization/gradient/abs_spearman_floor", 1),
        ("randomization/gradient/drift", 0),
        ("randomization/gradient/similarity_std", 0),
        ("saliency/gradient/region_mass/class_entropy", 0),
        ("saliency/probe_accuracy", 0),
        ("cue/patch/effect", 1),
    ],
)
def test_nothing_undefined_passes_for_a_good_score(tag, value):
    assert when_undefined(tag) == value


def test_callbacks_of_a_run_say_it_once(monkeypatch):
    told: list[str] = []
    monkeypatch.setattr(notices, "tell", told.append)
    with each_kind_once(set()):
        log_monitored(PlainHost(), {_DRIFT: math.nan}, {}, 7, "all")
        log_monitored(PlainHost(), {_GINI: math.nan, _DRIFT: math.nan}, {}, 8, "all")
    assert len(told) == 1
    assert told[0].startswith("some scores are undefined now")
    assert told[0].endswith(f"if there is none yet: {_DRIFT} (1)")
