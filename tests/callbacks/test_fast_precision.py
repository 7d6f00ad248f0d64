"""Who makes the choice of ``precision="fast"``, and what is said of it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from saliency_callbacks.callbacks import fast_precision
from saliency_callbacks.callbacks.fast_precision import Asked, Peers, describe_choice, peers_of, with_arithmetic
from saliency_callbacks.callbacks.runtime import packages
from saliency_callbacks.callbacks.runtime.ranks import Ranks
from saliency_callbacks.callbacks.runtime.state import PinnedState, RunState
from saliency_callbacks.capture.isolation.arithmetic import UNCHANGED, Arithmetic
from saliency_callbacks.engine.fastest import Choice, Measured
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.methods import Gradient, SmoothGrad
from saliency_callbacks.probe import Probe
from tests.callbacks.plain_host import PlainHost

HALF = Arithmetic("bfloat16", is_channels_last=True)
TAKEN = Choice((Measured(HALF, 2.51, 0.9976), Measured(Arithmetic("bfloat16"), 1.8)))
FAST = Settings((Gradient(),), is_fast=True)


class Others:
    """The processes of a training, of which this one is the second; the first has made a choice."""

    size, number, has_own_data = 2, 1, True

    def __init__(self, *, sharded: bool = False) -> None:
        self.has_sharded_weights = sharded

    def do_all(self, decision, *, patience=None):
        return decision

    def from_zero(self, value):
        assert value is None, "nothing was measured here"
        return HALF.name


@pytest.fixture
def lines(monkeypatch):
    found = []
    monkeypatch.setattr(packages, "rank_zero_info", found.append)
    return found


@pytest.fixture
def measured(monkeypatch):
    """How often something was measured."""
    found = []
    monkeypatch.setattr(fast_precision, "fastest", lambda *given: found.append(given) or TAKEN)
    return found


def chosen(state=None, settings=FAST, ranks=None, peers=None):
    state = RunState() if state is None else state
    host = PlainHost(nn.Conv2d(1, 2, 3), **({} if ranks is None else {"ranks": ranks}))
    return with_arithmetic(
        state, host.module, torch.rand(1, 1, 4, 4), settings, 0, host, peers=peers or Peers("saliency")
    )


def test_it_is_chosen_once(measured, lines):
    state = chosen()
    assert state.arithmetic == HALF.name
    assert chosen(state) is state
    assert len(measured) == len(lines) == 1
    assert lines[0].startswith("saliency: precision='fast' explains in bfloat16, channels last")


def test_it_is_not_chosen_where_nobody_asks(measured, lines):
    assert chosen(settings=Settings((Gradient(),))).arithmetic is None
    assert measured == lines == []


def test_another_rank_measures_nothing_and_takes_that_of_rank_zero(measured):
    assert chosen(ranks=Ranks(Others())).arithmetic == HALF.name
    assert measured == []


def test_sharded_weights_are_left_as_they_are(measured, lines):
    assert chosen(ranks=Ranks(Others(sharded=True))).arithmetic == "unchanged"
    assert measured == []
    assert "sharded over processes" in lines[0]


def test_a_model_that_cannot_be_explained_now_may_be_later(monkeypatch, lines):
    monkeypatch.setattr(fast_precision, "fastest", lambda *given: None)
    assert chosen().arithmetic is None
    assert lines == []


def asked(name, methods=FAST.methods, probe=4, target="label", chosen=None, **settings):
    found = Settings(methods, **{"is_fast": True, **settings})
    return Asked(name, Probe(probe), target, found, chosen=chosen)


def test_who_asks_for_the_same_chooses_together():
    smooth = SmoothGrad(3)
    everyone = [
        asked("first", (Gradient(), smooth)),
        asked("other samples", probe=5),
        asked("other score", target=3),
        asked("other layers", target_layers="0"),
        asked("other seed", seed=1),
        asked("not fast", is_fast=False),
        asked("nothing", ()),
        asked("last", (SmoothGrad(4), Gradient())),
    ]
    for own in (everyone[0], everyone[-1]):
        peers = peers_of(own, everyone, {})
        assert peers.names == ("first", "last")
        # Two of one name are both measured.
        assert peers.methods == (Gradient(), smooth, SmoothGrad(4))
        assert peers.known is None
    for one in everyone[1:-1]:
        assert peers_of(one, everyone, {}).names == (one.name,)


@pytest.mark.parametrize(
    ("others", "made", "known"),
    [
        (["bfloat16"], {}, "bfloat16"),
        (["bfloat16", "bfloat16", None], {}, "bfloat16"),
        (["bfloat16", "unchanged"], {}, None),
        (["bfloat16", None], {"1": "unchanged"}, None),
        ([None], {"0": "channels last"}, "channels last"),
        (["bfloat16"], {"own": "unchanged"}, "unchanged"),
        ([None], {}, None),
    ],
)
def test_what_others_have_chosen_is_taken_where_they_agree(others, made, known):
    own = asked("own")
    everyone = [asked(str(number), chosen=one) for number, one in enumerate(others)]
    for listed in ([own, *everyone], [*everyone, own]):
        assert peers_of(own, listed, made).known == known


def test_what_is_known_is_not_measured(measured, lines):
    made = {}
    assert chosen(peers=Peers("own", known="bfloat16", made=made)).arithmetic == "bfloat16"
    assert measured == lines == []
    assert made == {"own": "bfloat16"}


def test_what_cannot_be_explained_for_another_is_left_out(monkeypatch, lines):
    def fails(model, inputs, settings, *given):
        return TAKEN if settings.methods == (Gradient(),) else None

    monkeypatch.setattr(fast_precision, "fastest", fails)
    peers = Peers("one", ("one", "two"), (Gradient(), SmoothGrad(3)))
    assert chosen(peers=peers).arithmetic == HALF.name
    assert lines[0].startswith("one, two: precision='fast' explains in")


def test_what_was_chosen_is_in_the_settings():
    state = PinnedState(arithmetic=HALF.name, target_layers=("0",))
    assert state.settled(FAST).arithmetic == HALF
    assert state.settled(FAST).target_layers == ["0"]
    assert state.settled(Settings((Gradient(),))).arithmetic == UNCHANGED
    assert RunState().settled(FAST) is FAST


def test_it_goes_through_a_checkpoint_and_is_left_out_of_others():
    assert RunState.from_state_dict(RunState(arithmetic=HALF.name).state_dict()).arithmetic == HALF.name
    assert "arithmetic" not in RunState().state_dict()


def test_what_is_said():
    assert describe_choice(TAKEN) == (
        "precision='fast' explains in bfloat16, channels last: 2.5 times as fast as in the Trainer's precision, with "
        "rank correlations of at least 0.9976"
    )
    refused = Choice(
        (
            Measured(HALF, 2.5, 0.93),
            Measured(Arithmetic("float16"), 1.5, 0.995, is_slower_in_all=True),
            Measured(Arithmetic(is_channels_last=True), 1.04),
            Measured(Arithmetic("bfloat16"), 0.0),
        )
    )
    assert describe_choice(refused) == (
        "precision='fast' explains in the Trainer's precision: no alternative is both faster and accurate enough "
        "(bfloat16, channels last 2.5 times as fast, rank correlation 0.9300; float16 1.5 times as fast, but slower "
        "overall; channels last 1.0 times as fast; bfloat16 failed, or was too slow)"
    )
    assert refused.arithmetic == UNCHANGED
