"""Generators of a model's own draw the same in every explanation, and go on afterwards as if there had been none."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import nn

from saliency_callbacks.capture.isolation.context import quiescence

_MAKES = {
    "torch": (lambda: torch.Generator().manual_seed(3), lambda made: float(torch.rand((), generator=made))),
    "python": (lambda: random.Random(3), lambda made: made.random()),
    "numpy": (lambda: np.random.default_rng(3), lambda made: made.random()),
    "older numpy": (lambda: np.random.RandomState(3), lambda made: made.rand()),
}


@pytest.mark.parametrize("name", _MAKES)
def test_a_generator_of_a_module_is_isolated(name):
    make, draw = _MAKES[name]
    model = nn.Sequential(nn.Linear(1, 1))
    model[0].generator = make()
    found = []
    for _ in range(2):
        with quiescence(model, seed=5):
            found.append(draw(model[0].generator))
        draw(model[0].generator)
    assert found[0] == found[1]
    other = make()
    assert [draw(other) for _ in range(3)][2] == draw(model[0].generator)
