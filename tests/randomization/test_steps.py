"""Which weights are random in each state, for every order."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from saliency_callbacks.capture.weights.layers import WeightLayer
from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.randomization import randomization_test
from saliency_callbacks.randomization.steps import check_order, steps_of

LAYERS = tuple(WeightLayer(name, {}) for name in ("stem", "body", "head"))


class Backwards(nn.Module):
    """Registers its layers in the opposite order of their execution."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(8, 3)
        self.body = nn.Conv2d(2, 2, 1)
        self.stem = nn.Conv2d(1, 2, 3, padding=1)

    def forward(self, x):
        return self.head(self.body(torch.tanh(self.stem(x))).tanh().flatten(1))


def random_layers(order, n_draws=2):
    """The layers whose weights are not the trained ones, at every state, from what runs then."""
    torch.manual_seed(0)
    model = Backwards()
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    states = []

    def note(done, total):
        now = dict(model.named_parameters())
        states.append({name.split(".")[0] for name in before if not torch.equal(before[name], now[name])})
        totals.append((done, total))

    totals = []
    result = randomization_test(
        model, torch.rand(2, 1, 2, 2), methods="gradient", target=0, order=order, n_draws=n_draws, progress=note
    )
    assert totals == [(index + 1, len(states)) for index in range(len(states))]
    return result.steps, states


def test_full():
    assert random_layers("full") == (("all layers",), [{"stem", "body", "head"}] * 2)


def test_top_down():
    steps, states = random_layers("top_down")
    assert steps == ("head", "body", "stem")
    assert states == [{"head"}, {"head", "body"}, {"head", "body", "stem"}] * 2


def test_bottom_up():
    steps, states = random_layers("bottom_up")
    assert steps == ("stem", "body", "head")
    assert states == [{"stem"}, {"stem", "body"}, {"head", "body", "stem"}] * 2


def test_independent_and_all_at_once_for_the_floor():
    steps, states = random_layers("independent", n_draws=3)
    assert steps == ("stem", "body", "head")
    assert states == [{"stem"}, {"body"}, {"head"}, {"stem", "body", "head"}] * 3


@pytest.mark.parametrize(
    ("order", "names", "fresh"),
    [
        ("full", ["all layers"], [True]),
        ("top_down", ["head", "body", "stem"], [True, False, False]),
        ("bottom_up", ["stem", "body", "head"], [True, False, False]),
        ("independent", ["stem", "body", "head"], [True, True, True]),
    ],
)
def test_steps(order, names, fresh):
    steps = steps_of(order, LAYERS)
    assert [step.name for step in steps] == names
    assert [step.is_fresh for step in steps] == fresh
    assert {layer.name for step in steps for layer in step.layers} == {"stem", "body", "head"}
    assert sum(len(step.layers) for step in steps) == 3


def test_orders_by_name():
    assert [check_order(name) for name in ("full", "top_down")] == ["full", "top_down"]
    with pytest.raises(
        ConfigurationError, match=r"order='top-down' is unknown; did you mean 'top_down'.*'independent'"
    ):
        check_order("top-down")
    with pytest.raises(ConfigurationError, match="order=None is unknown"):
        check_order(None)
