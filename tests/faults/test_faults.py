"""Every fault, with every callback it can happen to: the model, the training and the files afterwards."""

from __future__ import annotations

import math
import re

import pytest

from tests.faults.catalogue import FAULTS
from tests.faults.runs import Fault, outcome, without_callback
from tests.faults.write import PAGE, with_table

_CASES = [pytest.param(kind, fault, id=f"{fault.title}-{kind}") for fault in FAULTS for kind in fault.kinds]
_RAISING = [pytest.param(*case.values, id=case.id) for case in _CASES if case.values[1].raises is not None]


@pytest.mark.parametrize(("kind", "fault"), _CASES)
def test_the_training_goes_on_as_without_the_callback_or_ends_as_it_should(kind: str, fault: Fault) -> None:
    found = outcome(kind, fault)
    if fault.ends is None:
        assert found.ended_by is None, found.error
        assert found.state == without_callback(kind, fault).state
    else:
        assert re.fullmatch(fault.ends, str(found.ended_by)), found.error
    if fault.says is not None:
        assert any(re.search(fault.says, message) for message in [*found.messages, found.error]), found.messages


@pytest.mark.parametrize(("kind", "fault"), _RAISING)
def test_what_is_to_be_raised_is_raised_and_leaves_the_model_as_it_was(kind: str, fault: Fault) -> None:
    found = outcome(kind, fault, "raise")
    assert re.fullmatch(str(fault.raises), str(found.ended_by)), found.error
    assert found.before == found.after is not None


@pytest.mark.parametrize(("kind", "fault"), [case for case in _CASES if "Ctrl-C" in case.values[1].title])
def test_ctrl_c_leaves_the_model_as_it_was(kind: str, fault: Fault) -> None:
    found = outcome(kind, fault)
    assert found.before == found.after is not None
    assert found.observed == (("initial", 0),)


@pytest.mark.parametrize(("kind", "fault"), [case for case in _CASES if "SIGTERM" in case.values[1].title])
def test_sigterm_ends_the_training_where_it_would_have_ended_and_loses_no_observation(kind: str, fault: Fault) -> None:
    found, plain = outcome(kind, fault), without_callback(kind, fault)
    assert found.ended_by == plain.ended_by == "SIGTERMException"
    assert found.state == plain.state
    assert found.observed == (("initial", 0), ("fit", 0))


@pytest.mark.parametrize(("kind", "fault"), [case for case in _CASES if "NaN" in case.values[1].title])
def test_no_score_of_nan_weights_is_a_fine_number(kind: str, fault: Fault) -> None:
    scores = outcome(kind, fault).scores
    # What is about random weights alone, whether the alarm is on, how often a model is right that predicts nothing, and
    # what is in the data, whatever the network.
    known = {tag: value for tag, value in scores.items() if not math.isnan(value) and not tag.endswith("/threshold")}
    assert all(tag.endswith(("/floor", "_floor", "/alarm", "_accuracy", "/n_found", "/n_used")) for tag in known), known
    assert all(value == 0 for tag, value in known.items() if not tag.endswith(("floor", "/n_found")))


def test_the_plain_training_can_be_told_from_another() -> None:
    nan = next(fault for fault in FAULTS if "NaN" in fault.title)
    assert without_callback("CueAlarm", nan).state != without_callback("CueAlarm", FAULTS[0]).state


def test_the_table_on_the_page_is_what_happens() -> None:
    page = PAGE.read_text()
    assert page == with_table(page), "run `python -m tests.faults.write`"
