"""What torch cannot do with some models is said with what to do about it."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from saliency_callbacks import explain
from saliency_callbacks.capture.torch_errors import known_failures
from saliency_callbacks.errors import ObservationError


class Checkpointed(nn.Module):
    def __init__(self, *, use_reentrant):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.ReLU())
        self.head = nn.Linear(3, 2)
        self.use_reentrant = use_reentrant

    def forward(self, x):
        return self.head(checkpoint(self.body, x, use_reentrant=self.use_reentrant).mean((2, 3)))


def test_checkpointed_activations_give_the_gradient_of_plain_ones():
    model, inputs = Checkpointed(use_reentrant=False), torch.rand(2, 1, 5, 5)
    plain = nn.Sequential(model.body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), model.head)
    found = explain(model, inputs, methods="gradient", target=1)["gradient"]
    torch.testing.assert_close(found.values, explain(plain, inputs, methods="gradient", target=1)["gradient"].values)


@pytest.mark.parametrize(
    ("use_reentrant", "method", "fix"),
    [(True, "gradient", "use_reentrant=False"), (False, "deconvnet", "Leave out guided_backprop")],
)
def test_the_checkpoints_that_cannot_be_differentiated_are_named(use_reentrant, method, fix):
    with pytest.raises(ObservationError, match=fix):
        explain(Checkpointed(use_reentrant=use_reentrant), torch.rand(2, 1, 5, 5), methods=method, target=1)


def test_other_errors_pass_as_they_are():
    with pytest.raises(RuntimeError, match="something else"), known_failures(nn.Linear(1, 1)):
        raise RuntimeError("something else")


class _WithoutBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2


class Overwriting(nn.Module):
    def forward(self, x):
        y = x.exp()
        out = y.mean((2, 3))
        y.mul_(2)
        return out


class Custom(nn.Module):
    def forward(self, x):
        return _WithoutBackward.apply(x).mean((2, 3))


@pytest.mark.parametrize("model", [Overwriting(), Custom()], ids=lambda one: type(one).__name__)
def test_an_operation_without_a_gradient_is_named(model):
    with pytest.raises(ObservationError, match=f"{type(model).__name__} has an operation without a gradient"):
        explain(model, torch.rand(2, 3, 5, 5), methods="gradient", target=1)
