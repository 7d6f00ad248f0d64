from __future__ import annotations

import pytest
import torch
from torch import nn

from saliency_callbacks.capture.isolation import eager
from saliency_callbacks.capture.isolation.eager import eager_execution


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x) if torch.compiler.is_compiling() else -self.layer(x)


def wrapped() -> nn.Module:
    return torch.compile(Net(), backend="eager")


def in_place() -> nn.Module:
    net = Net()
    net.compile(backend="eager")
    return net


def of_lightning() -> nn.Module:
    net = Net()
    net.forward = torch.compile(net.forward, backend="eager")
    return net


@pytest.mark.parametrize("make", [wrapped, in_place, of_lightning])
@pytest.mark.parametrize("context", [eager_execution, eager._uncompiled])
def test_compiled_code_runs_eagerly_inside_and_compiled_again_afterwards(make, context):
    model, x = nn.Sequential(make()), torch.rand(1, 2)
    compiled = model(x)
    before = [dict(vars(module)) for module in model.modules()]
    with context(model):
        torch.testing.assert_close(model(x), -compiled)
    assert [dict(vars(module)) for module in model.modules()] == before
    torch.testing.assert_close(model(x), compiled)
    torch._dynamo.reset()


def test_an_exception_leaves_nothing_behind():
    model = nn.Sequential(in_place())
    call = model[0]._compiled_call_impl
    with pytest.raises(ZeroDivisionError), eager._uncompiled(model):
        raise ZeroDivisionError
    assert model[0]._compiled_call_impl is call
    torch._dynamo.reset()
