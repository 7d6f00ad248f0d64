from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from saliency_callbacks.callbacks.runtime import notices
from saliency_callbacks.callbacks.runtime.ranks import ALONE, Ranks
from saliency_callbacks.callbacks.runtime.schedule import ObservationCost, describe_cost, is_due, takes_turn
from saliency_callbacks.callbacks.runtime.sink_writer import WritingCost
from saliency_callbacks.callbacks.runtime.state import RunState
from saliency_callbacks.errors import SaliencyWarning

CPU = torch.device("cpu")


def _observed(validated: list[int], every_n_epochs: int) -> list[int]:
    last, observed = None, []
    for epoch in validated:
        if is_due(epoch, last, every_n_epochs):
            last = epoch
            observed.append(epoch)
    return observed


@pytest.mark.parametrize(
    ("validated", "every_n_epochs", "expected"),
    [
        (range(5), 1, [0, 1, 2, 3, 4]),
        (range(7), 3, [0, 3, 6]),
        (range(4, 9), 3, [4, 7]),
        # check_val_every_n_epoch=2: the interval is reached at the next validation.
        ([1, 3, 5, 7, 9], 3, [1, 5, 9]),
        # val_check_interval=0.5: both validations of an epoch.
        ([0, 0, 1, 1, 2, 2], 2, [0, 0, 2, 2]),
    ],
)
def test_observed_epochs(validated, every_n_epochs, expected):
    assert _observed(list(validated), every_n_epochs) == expected


class Clock:
    """Goes only when it is told to."""

    now = 100.0

    def __call__(self):
        return self.now


def observe(cost, clock, seconds, validation=None):
    if validation is not None:
        cost.validation_begins(CPU)
        clock.now += validation
    with cost.measured(CPU):
        clock.now += seconds


def after(seconds, max_seconds, ranks=ALONE):
    """Return the thinning after each of several observations."""
    clock, state, found = Clock(), RunState(), []
    cost = ObservationCost(max_seconds, clock)
    for each in seconds:
        observe(cost, clock, each)
        state = cost.judged(state, ranks, "monitor")
        found.append(state.thinning)
    return found


@pytest.mark.filterwarnings("ignore::saliency_callbacks.errors.SaliencyWarning")
@pytest.mark.parametrize(
    ("seconds", "max_seconds", "expected"),
    [
        ([9, 1, 1], None, [1, 1, 1]),
        ([9, 1, 1], 1, [1, 1, 1]),
        ([9, 5, 5, 5, 5], 2, [1, 2, 4, 4, 4]),
        ([0, 5, 1, 1], 2, [1, 2, 2, 2]),
        ([0, 5, 5, 9, 5], 2, [1, 2, 4, 8, 8]),
    ],
    ids=["no limit", "warm-up", "until the mean fits", "one slow one", "slower later"],
)
def test_every_second_one_goes_until_the_mean_is_within_the_limit(seconds, max_seconds, expected):
    assert after(seconds, max_seconds) == expected


def test_each_change_is_said_once():
    expected = (
        r"monitor: an observation takes 5 s, with max_seconds_per_observation=2; from now on, only 1 in (2|4) sched"
    )
    with pytest.warns(SaliencyWarning, match=expected) as seen:
        after([0, 5, 5, 5, 5, 5], 2)
    assert len(seen) == 2


@pytest.mark.parametrize("says", [True, False])
def test_rank_zero_decides_for_all_and_every_rank_asks(says):
    asked = []
    other = Ranks(SimpleNamespace(size=2, number=1, from_zero=lambda value: asked.append(value) or says))
    if says:
        with pytest.warns(SaliencyWarning):
            assert after([1, 1, 1], 2, other) == [2, 4, 8]
    else:
        assert after([9, 9, 9], 2, other) == [1, 1, 1]
    assert len(asked) == 3, "also where this rank is still warming up"


def test_one_of_so_many_takes_its_turn():
    state, made = RunState(thinning=4), []
    for epoch in range(9):
        state, is_made = takes_turn(state, epoch, 1)
        made.append(is_made)
        assert is_made or state.last_observed == epoch, "the schedule goes on from here"
        if is_made:
            state = replace(state, skipped=0)
    assert made == [False, False, False, True] * 2 + [False]


def test_an_epoch_that_is_not_scheduled_counts_for_nothing():
    state = RunState(thinning=2, last_observed=4)
    assert takes_turn(state, 5, 2) == (state, False)
    assert takes_turn(state, 6, 2) == (replace(state, skipped=1, last_observed=6), False)


def test_a_checkpoint_of_before_and_of_now():
    state = RunState(thinning=4, skipped=2)
    assert RunState.from_state_dict(state.state_dict()) == state
    old = {key: value for key, value in RunState().state_dict().items() if key not in ("thinning", "skipped")}
    assert RunState.from_state_dict(old) == RunState()


def test_the_line_tells_what_there_is_to_tell():
    clock = Clock()
    cost = ObservationCost(clock=clock)
    observe(cost, clock, 1.0, validation=3.0)
    facts = {"n_passes": 2, "methods": {"a": "A()", "b": "B()", "c": "C()"}}
    assert describe_cost(cost, facts, writing=WritingCost(0.5, 0.25), in_background=True) == (
        "an observation takes 1 s (25% of the validation epoch, including the observation); "
        "2 passes shared by 3 methods; 0.5 s of drawing and writing in the background (0.25 s of processor time)"
    )
    observe(cost, clock, 0.25)
    facts = {"n_passes": 1, "methods": {"a": "A()"}}
    assert describe_cost(cost, facts, writing=WritingCost(0.125, 0.1), in_background=False) == (
        "an observation takes 0.25 s; 1 pass for one method; 0.12 s of drawing and writing included in that time"
    )
    assert describe_cost(cost, {}, writing=None, in_background=True) == "an observation takes 0.25 s"


def test_methods_that_share_no_pass_are_told_apart():
    cost = ObservationCost(clock=(clock := Clock()))
    observe(cost, clock, 0.25)
    costs = {"occlusion": {"forwards": 65.0, "seconds": 0.1}, "deep_lift": {"forwards": 2.5, "seconds": 0.1}}
    facts = {"n_passes": 1, "methods": {"a": "A()", **dict.fromkeys(costs, "")}, "external": costs}
    further = "further forward passes for each sample: occlusion 65, deep_lift 2.5"
    assert describe_cost(cost, facts, writing=None, in_background=True) == (
        f"an observation takes 0.25 s; 1 pass for one method; {further}"
    )
    alone = {**facts, "n_passes": 0, "methods": costs}
    assert describe_cost(cost, alone, writing=None, in_background=True) == f"an observation takes 0.25 s; {further}"


def test_what_comes_before_the_first_and_after_the_last_step_is_told(monkeypatch):
    said = []
    monkeypatch.setattr(notices, "tell", said.append)
    clock = Clock()
    cost = ObservationCost(clock=clock)
    for seconds in (0.5, 2.5):
        with cost.at_start():
            clock.now += seconds
    observe(cost, clock, 0.25)
    told = "an observation takes 0.25 s; 3 s of delay before the first step"
    assert describe_cost(cost, {}, writing=None, in_background=True) == told
    for seconds in (0.75, 0.5):
        with cost.at_end():
            clock.now += seconds
        cost.tell_end("Monitor")
    assert said == ["Monitor: the run took 1.2 s after the last step to write the summary and pending observations"]
    cost.restart()
    assert (cost.start_seconds, cost.end_seconds) == (0, 0)


def test_a_failed_observation_is_not_measured():
    clock = Clock()
    cost = ObservationCost(2, clock)
    with pytest.raises(ValueError, match="no"), cost.measured(CPU):
        raise ValueError("no")
    assert cost.seconds is None
