"""What goes through a checkpoint: the keys of it, what older versions wrote, and that it is loaded without pickles."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import pytest
import torch
from torch import Tensor

from saliency_callbacks.callbacks.cue.state import CueState, Evaluation
from saliency_callbacks.callbacks.randomization.state import CopiesState
from saliency_callbacks.callbacks.runtime.state import PinnedState, RunState, Stateful
from saliency_callbacks.callbacks.saliency.history import Frame, Frames, MethodHistory
from saliency_callbacks.callbacks.saliency.state import MonitorState

_RUN = {
    "indices": (3, 1),
    "fingerprint": "ab",
    "scores": {"n/m/gini": 0.5},
    "last_observed": 4,
    "n_observations": 7,
    "thinning": 2,
    "skipped": 1,
}
_EVALUATION = {
    "epoch": 3,
    "step": 40,
    "stage": "fit",
    "effects": (1.0, -2.5),
    "contrasts": (0.5, 0.0),
    "statistic": "contrast",
    "mean": 0.25,
    "lower_bound": -0.125,
    "flip_rate": 0.5,
    "alarm": True,
    "fired": False,
}


def _frame(moment="epoch 0", wrong=None):
    return Frame.of(moment, torch.rand(2, 4, 4, generator=torch.Generator().manual_seed(0)), wrong)


def _history():
    frames = Frames((_frame(), _frame("epoch 2", torch.tensor([True, False]))), 2, 4, 16, _frame("epoch 3"))
    ranks = torch.rand(2, 2, 16).argsort().float() + 1
    return MethodHistory(*ranks, torch.tensor([1.0, 2.0]), frames)


def _states():
    pinned = {**_RUN, "target_layers": ("net.0", "net.2"), "pinned": torch.tensor([1, 2])}
    evaluations = (Evaluation(**_EVALUATION), Evaluation(**{**_EVALUATION, "effects": (), "contrasts": ()}))
    return {
        "run": RunState(**_RUN),
        "pinned": PinnedState(**pinned),
        "monitor": MonitorState(**pinned, histories={"m": _history(), "new": MethodHistory()}),
        "copies": CopiesState(**pinned),
        "cue": CueState(**_RUN, streak=3, history=evaluations),
        "evaluation": Evaluation(**_EVALUATION),
        "frame": _frame(wrong=torch.tensor([False, True])),
        "frames": _history().frames,
        "history": _history(),
        **{
            f"new {kind.__name__}": kind()
            for kind in (RunState, PinnedState, CopiesState, MonitorState, CueState, Frames)
        },
    }


_KEYS = {
    CopiesState: [],
    RunState: ["indices", "fingerprint", "scores", "last_observed", "n_observations", "thinning", "skipped"],
    PinnedState: ["target_layers", "pinned"],
    MonitorState: ["histories"],
    CueState: ["streak", "history"],
    Evaluation: [
        "epoch",
        "step",
        "stage",
        "effects",
        "contrasts",
        "statistic",
        "mean",
        "lower_bound",
        "flip_rate",
        "alarm",
        "fired",
    ],
    Frame: ["moment", "peak", "relative", "wrong"],
    Frames: ["kept", "stride", "count", "limit", "newest"],
    MethodHistory: ["initial", "previous", "scale", "frames"],
}


def _kinds(plain):
    """Return the types of all that a checkpoint holds."""
    if isinstance(plain, dict):
        return {str, *(kind for value in plain.values() for kind in _kinds(value))}
    if isinstance(plain, list):
        return {kind for value in plain for kind in _kinds(value)}
    return {type(plain)}


def _same(one, other):
    """Whether two values are the same, tensors bit by bit."""
    if isinstance(one, Tensor):
        return isinstance(other, Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if type(one) is not type(other):
        return False
    if isinstance(one, Stateful):
        return all(_same(getattr(one, each.name), getattr(other, each.name)) for each in fields(one))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(_same, one, other))
    return one == other


@pytest.mark.parametrize("name", _states())
def test_a_checkpoint_keeps_every_field(tmp_path, name):
    state = _states()[name]
    torch.save(state.state_dict(), tmp_path / "state.ckpt")
    restored = type(state).from_state_dict(torch.load(tmp_path / "state.ckpt", weights_only=True))
    assert _same(restored, state)


@pytest.mark.parametrize("name", _states())
def test_a_checkpoint_holds_plain_values_under_the_keys_of_always(name):
    state = _states()[name]
    plain = state.state_dict()
    inherited = [key for kind in reversed(type(state).__mro__) for key in _KEYS.get(kind, ())]
    assert list(plain) == inherited
    assert _kinds(plain) <= {Tensor, str, int, float, bool, type(None)}


def test_what_earlier_versions_lack_is_in_a_checkpoint_where_it_says_something():
    state = MonitorState(finite={"a": 0.5}, outputs="softmax", pins={"reference": torch.ones(2, 3)})
    plain = state.state_dict()
    assert plain.keys() - MonitorState().state_dict().keys() == {"finite", "outputs", "pins"}
    assert _same(MonitorState.from_state_dict(plain), state)
    older = {**{key: value for key, value in plain.items() if key != "pins"}, "reference": torch.ones(2, 3)}
    assert _same(MonitorState.from_state_dict(older), state), "embeddings were kept on their own"
    assert CopiesState(n_copies=0).state_dict() == {**CopiesState().state_dict(), "n_copies": 0}


@pytest.mark.parametrize("name", [name for name, state in _states().items() if isinstance(state, RunState)])
def test_a_checkpoint_from_before_observations_were_thinned(name):
    state = _states()[name]
    old = {key: value for key, value in state.state_dict().items() if key not in ("thinning", "skipped")}
    restored = type(state).from_state_dict(old)
    assert (restored.thinning, restored.skipped) == (1, 0)
    kept = [one.name for one in fields(state) if one.name not in ("thinning", "skipped")]
    assert all(_same(getattr(restored, each), getattr(state, each)) for each in kept)


def test_a_checkpoint_of_version_0_1_as_it_was_written():
    frame = {"moment": "epoch 0", "peak": torch.tensor([2.0]), "relative": torch.ones(1, 2).half(), "wrong": None}
    frames = {"kept": [frame], "stride": 1, "count": 1, "limit": 16, "newest": None}
    history = {"initial": torch.ones(1, 2), "previous": torch.ones(1, 2), "scale": torch.ones(1), "frames": frames}
    run = {"indices": [3, 1], "fingerprint": "ab", "scores": {"a": 0.5}, "last_observed": None, "n_observations": 1}
    saved = {**run, "target_layers": ["net.0"], "pinned": torch.tensor([1]), "histories": {"m": history}}
    monitor = MonitorState.from_state_dict(saved)
    assert monitor.indices == (3, 1)
    assert monitor.target_layers == ("net.0",)
    assert monitor.histories["m"].frames.kept[0].maps.tolist() == [[2.0, 2.0]]
    alarm = CueState.from_state_dict(
        {**run, "streak": 1, "history": [{**_EVALUATION, "effects": [1.0], "contrasts": []}]}
    )
    assert alarm.history == (Evaluation(**{**_EVALUATION, "effects": (1.0,), "contrasts": ()}),)


def test_a_key_of_a_later_version_is_left_out():
    assert RunState.from_state_dict({**RunState(**_RUN).state_dict(), "later": 3}) == RunState(**_RUN)


def test_a_checkpoint_is_not_changed_by_what_comes_after():
    state = RunState(**{**_RUN, "scores": {"a": 1.0}})
    saved = state.state_dict()
    restored = RunState.from_state_dict(saved)
    state.scores["b"] = 2.0
    restored.scores["c"] = 3.0
    assert saved["scores"] == {"a": 1.0}


@dataclass(frozen=True)
class Step(Stateful):
    size: float = 0.0


@dataclass
class Walk(Stateful):
    steps: tuple[Step, ...] = ()
    by_name: dict[str, Step] = field(default_factory=dict)
    longest: Step | None = None
    turns: tuple[int, ...] | None = None


def test_annotations_say_what_a_value_is_made_into_again():
    walk = Walk((Step(1.0), Step(2.0)), {"a": Step(3.0)}, Step(4.0), (1, 2))
    assert walk.state_dict() == {
        "steps": [{"size": 1.0}, {"size": 2.0}],
        "by_name": {"a": {"size": 3.0}},
        "longest": {"size": 4.0},
        "turns": [1, 2],
    }
    assert Walk.from_state_dict(walk.state_dict()) == walk
    assert Walk.from_state_dict(Walk().state_dict()) == Walk()
    assert Walk.from_state_dict({}) == Walk()


@pytest.mark.parametrize(("kind", "forgotten"), [(PinnedState, {"pinned"}), (MonitorState, {"pinned", "histories"})])
def test_another_probe_starts_what_compares_anew(kind, forgotten):
    state = next(one for one in _states().values() if type(one) is kind)
    anew = state.restarted()
    changed = {one.name for one in fields(state) if not _same(getattr(anew, one.name), getattr(state, one.name))}
    assert changed == forgotten
    assert anew.pinned is None


def test_another_probe_needs_other_numbers_of_copies():
    assert CopiesState(n_copies=8).restarted() == CopiesState()


def test_a_run_alone_compares_with_nothing():
    state = RunState(**_RUN)
    assert state.restarted() == state
