"""Convolutions run with their channels last, and the model comes back with the very tensors and strides."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from saliency_callbacks.capture.isolation.channels_last import channels_last, has_channels_first
from saliency_callbacks.capture.isolation.context import quiescence


def network():
    """Has tied convolutions, one that is frozen, one of a parametrization, and other layers."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.Conv2d(4, 4, 3, padding=1),
        nn.Conv2d(4, 4, 3, padding=1),
        nn.ConvTranspose2d(4, 3, 2),
        parametrizations.weight_norm(nn.Conv2d(3, 3, 2)),
        nn.Flatten(),
        nn.LazyLinear(2),
    )
    model[3].weight = model[2].weight
    model[4].weight.requires_grad_(False)
    model(torch.rand(1, 2, 6, 6))
    return model


def identities(model):
    tensors = [*model.parameters(), *model.buffers()]
    return [(id(one), one.data_ptr(), one.stride(), one._version, one.requires_grad) for one in tensors]


def last(weight):
    return weight.is_contiguous(memory_format=torch.channels_last)


def test_convolutions_alone_are_replaced_and_come_back():
    model = network().eval()
    inputs = torch.rand(3, 2, 6, 6)
    before, names, expected = identities(model), list(model.state_dict()), model(inputs)
    assert has_channels_first(model)
    with quiescence(model), channels_last(model):
        found = model(inputs)
        assert [last(model[index].weight) for index in (0, 2, 3, 4)] == [True] * 4
        assert model[2].weight is model[3].weight
        assert [model[index].weight.requires_grad for index in (0, 4)] == [True, False]
        assert not has_channels_first(model[:5])
    torch.testing.assert_close(found, expected)
    assert identities(model) == before
    assert list(model.state_dict()) == names


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_comes_back_after_an_exception(error):
    model = network()
    before = identities(model)

    def interrupted():
        with channels_last(model):
            raise error

    with pytest.raises(error):
        interrupted()
    assert identities(model) == before


def test_volumes_have_a_format_of_their_own():
    model = nn.Conv3d(2, 3, 2)
    with channels_last(model):
        assert model.weight.is_contiguous(memory_format=torch.channels_last_3d)
    assert model.weight.is_contiguous()


def packed():
    """A convolution that keeps its weight as a matrix."""
    model = nn.Conv2d(3, 2, 3)
    model.weight = nn.Parameter(model.weight.detach().flatten(1))
    return model


@pytest.mark.parametrize(
    "model",
    [
        nn.Linear(3, 2),
        nn.Conv1d(3, 2, 3),
        nn.Conv2d(3, 2, 3).to(memory_format=torch.channels_last),
        parametrizations.weight_norm(nn.Conv2d(3, 2, 3)),
        packed(),
    ],
    ids=["no convolution", "of signals", "channels last already", "of a parametrization", "packed"],
)
def test_nothing_to_replace(model):
    assert not has_channels_first(model)
