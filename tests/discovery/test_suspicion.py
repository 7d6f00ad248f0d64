"""What a suspicion says of itself, and which suspicions are of one cue."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from saliency_callbacks.callbacks.cue.probe import checked_cue
from saliency_callbacks.discovery.changes import PastedPixels
from saliency_callbacks.discovery.suspicion import Suspicion

_FOUND = Suspicion(
    class_index=4,
    class_name="cat",
    kind="copies",
    what="the same pixels",
    share=0.5,
    share_elsewhere=0.015625,
    elsewhere="dog",
    counts=(32, 64, 1, 64),
    p_value=1e-9,
    effect=1.3,
    lower_bound=1.1,
    control=0.1,
    control_bound=1.0,
    statistic="effect",
    is_used=True,
    region=None,
    bearers=tuple("abcdefghijkl"),
    change=PastedPixels(torch.ones(1, 1, 1), torch.ones(1, 1, dtype=torch.bool), 0, 1),
)


def test_a_suspicion_in_words() -> None:
    assert _FOUND.sentence == (
        "the same pixels: in 50% of class cat (32 of 64) and in at most 2% of any other class (dog: 1 of 64); the "
        "model uses it: inserted into other classes, it shifts them towards cat by 1.30 sd"
    )
    nowhere = replace(_FOUND, share_elsewhere=0.0, counts=(32, 64, 0, 60))
    assert "(32 of 64) and in no other class; the model" in nowhere.sentence
    unused, unknown = replace(_FOUND, is_used=False), replace(_FOUND, is_used=False, effect=math.nan)
    assert unused.sentence.endswith("; the model was not found to use it")
    assert unknown.sentence.endswith("; unclear whether the model uses it, because its outputs are not finite")
    assert _FOUND.sample_ids == tuple("abcdefgh")


def test_what_is_printed_in_a_list_is_short() -> None:
    change = PastedPixels(torch.rand(3, 9, 9), torch.ones(9, 9, dtype=torch.bool), 4, 5)
    shown = repr(replace(_FOUND, region=torch.ones(99, 99, dtype=torch.bool), change=change))
    assert "tensor(" not in shown
    assert "PastedPixels(Tensor[3, 9, 9] float32, top=4, left=5)" in shown


def test_a_suspicion_is_of_the_same_cue_where_half_of_the_fewer_bearers_are_shared() -> None:
    half = replace(_FOUND, bearers=("a", "x"))
    assert _FOUND.is_same_as(half)
    assert half.is_same_as(_FOUND)
    assert not _FOUND.is_same_as(replace(_FOUND, bearers=("a", "x", "y")))
    assert not _FOUND.is_same_as(replace(_FOUND, bearers=()))
    assert not _FOUND.is_same_as(replace(half, class_index=3))
    assert not _FOUND.is_same_as(replace(half, kind="places"))
    assert _FOUND.shares_bearers(replace(half, kind="places"))


@pytest.mark.parametrize(
    ("class_name", "bearer"), [("cat", "train/7.png"), ("café", "猫.png"), ("", "²"), ("n 02,·", "(3, 'a')")]
)
def test_a_cue_of_any_class_has_a_name_for_tags(class_name: str, bearer: str) -> None:
    found = replace(_FOUND, class_name=class_name, bearers=(bearer,))
    cue = checked_cue(found.to_cue())
    assert cue.name == found.name
    assert cue.name.startswith("copies-")
    assert torch.equal(cue.insert(torch.zeros(1, 1, 1, 2)), torch.tensor([[[[0.0, 1.0]]]]))


def test_a_name_lasts() -> None:
    assert _FOUND.name == "copies-cat-a"
    known = replace(_FOUND, known_as=_FOUND.name, bearers=("z",), first_seen=3)
    assert known.name == "copies-cat-a"
    assert known.first_seen == 3
    assert replace(_FOUND, bearers=()).name == "copies-cat"
