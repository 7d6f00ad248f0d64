"""When an alarm is on, and what a checkpoint keeps of it."""

from __future__ import annotations

import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from saliency_callbacks.callbacks.cue import state as cue_state
from saliency_callbacks.callbacks.cue.rule import AlarmRule
from saliency_callbacks.callbacks.cue.state import CueState
from saliency_callbacks.callbacks.runtime.observation import Moment
from saliency_callbacks.scores.counterfactual import CueEffect

_VALUES = torch.tensor([1.0, torch.nan, 2.0])
_FLIPS = torch.tensor([1.0, torch.nan, 0.0])
_EFFECT = CueEffect(_VALUES, -_VALUES, _FLIPS, torch.tensor([True, False, True]))
bounds = st.lists(st.sampled_from([-1.0, 0.25, 0.3, 2.0, math.nan, math.inf]), max_size=12)


def _judged(state, bound, *, stage="fit", patience=2, epoch=0):
    rule = AlarmRule(threshold=0.25, patience=patience)
    return state.judged(Moment(epoch, 10 * epoch, stage), _EFFECT, "effect", bound, rule)


@given(bounds, st.integers(1, 4))
def test_it_is_on_after_as_many_in_a_row(given, patience):
    state = CueState()
    for bound in given:
        state = _judged(state, bound, patience=patience)
    above = [bound > 0.25 for bound in given]
    for position, evaluation in enumerate(state.history):
        recent = above[max(0, position + 1 - patience) : position + 1]
        expected = len(recent) == patience and all(recent)
        assert evaluation.alarm == expected
        was_on = position > 0 and state.history[position - 1].alarm
        assert evaluation.fired == (expected and not was_on)


@given(bounds, st.lists(st.booleans(), min_size=12, max_size=12))
def test_only_the_training_counts(given, is_fit):
    """Evaluations of other stages change nothing for those of the training."""
    mixed = alone = CueState()
    for bound, fits in zip(given, is_fit, strict=False):
        mixed = _judged(mixed, bound, stage="fit" if fits else "validate")
        alone = _judged(alone, bound) if fits else alone
        assert mixed.streak == alone.streak
        assert not (mixed.history[-1].fired and not fits)
        assert mixed.history[-1].alarm == (mixed.streak >= 2)
    of_fit = [(one.alarm, one.fired) for one in mixed.history if one.stage == "fit"]
    assert of_fit == [(one.alarm, one.fired) for one in alone.history]


def test_the_threshold_itself_is_not_above_it():
    assert _judged(CueState(), 0.25).streak == 0


def test_what_an_evaluation_holds():
    state = _judged(CueState(), 0.5, epoch=4)
    (evaluation,) = state.history
    assert (evaluation.epoch, evaluation.step, evaluation.stage) == (4, 40, "fit")
    assert evaluation.values[::2] == (1.0, 2.0)
    assert math.isnan(evaluation.values[1])
    assert (evaluation.effects[0], evaluation.contrasts[0], evaluation.statistic) == (1.0, -1.0, "effect")
    assert evaluation.mean == 1.5
    assert evaluation.lower_bound == 0.5
    assert evaluation.flip_rate == 0.5


def test_judging_leaves_the_state_as_it_was():
    before = CueState()
    _judged(before, 9)
    assert before == CueState()


def test_through_a_checkpoint(tmp_path):
    state = CueState(indices=(3, 1), fingerprint="abc", scores={"a": 0.5}, last_observed=2, n_observations=3)
    for epoch, bound in enumerate((0.1, 0.9, 0.9)):
        state = _judged(state, bound, epoch=epoch)
    torch.save(state.state_dict(), tmp_path / "state.pt")
    restored = CueState.from_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert repr(restored) == repr(state)
    assert [one.fired for one in restored.history] == [False, False, True]
    assert _judged(restored, 0.9).history[-1].alarm
    assert not _judged(restored, 0.9).history[-1].fired, "it is on already"


def test_a_checkpoint_is_not_changed_by_what_comes_after():
    state = _judged(CueState(), 0.9)
    saved = state.state_dict()
    _judged(state, 0.9)
    assert len(saved["history"]) == 1


def test_another_probe_starts_anew():
    state = _judged(CueState(n_observations=4, last_observed=3), 0.9).restarted()
    assert (state.streak, state.history) == (0, ())
    assert (state.n_observations, state.last_observed) == (4, 3)


def test_samples_are_kept_of_the_last_hundred_evaluations_and_numbers_of_all():
    state = CueState()
    for position in range(130):
        state = _judged(state, position / 100)
    assert [evaluation.lower_bound for evaluation in state.history] == [position / 100 for position in range(130)]
    assert [bool(evaluation.effects) for evaluation in state.history] == [False] * 30 + [True] * 100
    assert CueState.from_state_dict(state.state_dict()).history == state.history


def test_a_checkpoint_does_not_grow_with_the_samples(monkeypatch):
    monkeypatch.setattr(cue_state, "_MOST_VALUES", 10)
    state = CueState()
    for epoch in range(6):
        state = _judged(state, 0.5, epoch=epoch)
    # Of three samples each.
    assert [len(evaluation.effects) for evaluation in state.history] == [0, 0, 0, 3, 3, 3]
