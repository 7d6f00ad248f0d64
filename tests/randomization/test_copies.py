"""When random copies are taken to be the same, and what of a training is kept with them."""

from __future__ import annotations

import copy
import gc
import math
import pickle
import weakref
from dataclasses import replace

import pytest
import torch

from saliency_callbacks.callbacks.randomization.keeping import CopyKeeping
from saliency_callbacks.callbacks.randomization.settings import Draws
from saliency_callbacks.callbacks.randomization.trial import Trial
from saliency_callbacks.callbacks.runtime.ranks import ALONE, Ranks
from saliency_callbacks.callbacks.runtime.settings import Compute, ModelReading, engine_settings
from saliency_callbacks.capture.oom import BackOff
from saliency_callbacks.randomization.copies import Stamp
from saliency_callbacks.randomization.run import with_primary
from tests.trainer.runs import small_net

INFINITY = math.inf


def is_same(one, other, dtype=torch.float32):
    one, other = (Stamp({"weight": "digest"}, torch.tensor([values], dtype=dtype), ()) for values in (one, other))
    return one.change(other) is None


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_outputs_are_compared_by_their_own_size(scale):
    assert is_same([scale, 0.0], [scale * 1.00001, 0.0])
    assert not is_same([scale, 0.0], [scale * 1.001, 0.0])


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ([INFINITY, 1.0], [INFINITY, 1.0], True),
        ([INFINITY, 1.0], [INFINITY, 1.1], False),
        ([INFINITY, 1.0], [-INFINITY, 1.0], False),
        ([INFINITY, 1.0], [1e30, 1.0], False),
        ([math.nan, 1.0], [math.nan, 1.0], True),
        ([math.nan, INFINITY], [math.nan, INFINITY], True),
        ([math.nan, 1.0], [0.0, 1.0], False),
        ([0.0, 0.0], [0.0, 0.0], True),
    ],
)
def test_what_is_not_finite_is_the_same_as_itself_alone(one, other, expected):
    assert is_same(one, other) == expected


def test_half_precision_may_round_differently():
    assert is_same([1.0, 0.5], [1.0078125, 0.5], torch.bfloat16)
    assert not is_same([1.0, 0.5], [1.03125, 0.5], torch.bfloat16)


def trial(ranks=ALONE, **changes):
    settings = engine_settings("gradient", ModelReading(), Compute(), target_layers="auto")
    return Trial(
        model=small_net(),
        inputs=torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0)),
        inputs_name="random",
        n_samples=3,
        settings=replace(settings, **changes),
        target=torch.tensor([0, 1, 2]),
        similarities=with_primary("spearman"),
        redraw="reinitialize",
        ranks=ranks,
        progress=lambda done, total: None,
    )


def n_explained(keeping, tested):
    states = []
    keeping.test(replace(tested, progress=lambda done, total: states.append(done)), "label")
    return len(states)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda keeping: pickle.loads(pickle.dumps(keeping))])
def test_a_duplicate_has_no_copies(duplicate):
    keeping, tested = CopyKeeping(Draws(3), "test"), trial()
    assert n_explained(keeping, tested) == 4
    other = duplicate(keeping)
    assert n_explained(keeping, tested) == 1
    assert n_explained(other, tested) == 4
    assert len(pickle.dumps(keeping)) < 1000


def test_copies_keep_nothing_of_the_training_alive():
    class Training:
        def on_any_rank(self, are_true):
            return are_true

    training, back_off, keeping = Training(), BackOff(), CopyKeeping(Draws(3), "test")
    gone = weakref.ref(training), weakref.ref(back_off)
    keeping.test(trial(on_any_rank=training.on_any_rank, back_off=back_off), "label")
    del training, back_off
    gc.collect()
    assert [one() for one in gone] == [None, None]


class Two(Ranks):
    """One of two processes, of which the other keeps another number of copies."""

    def __init__(self, other):
        super().__init__()
        self.other = other

    def from_all(self, value):
        return [value, (None, None, self.other)] if isinstance(value, tuple) else super().from_all(value)

    def methods_everywhere(self, names):
        return tuple(names)


def test_all_processes_explain_anew_where_one_has_lost_its_copies():
    keeping = CopyKeeping(Draws(3), "test")
    assert n_explained(keeping, trial(Two(0))) == 4
    assert n_explained(keeping, trial(Two(3))) == 1
    assert n_explained(keeping, trial(Two(0))) == 4
