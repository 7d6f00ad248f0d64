"""Which outputs are probabilities, told by how they were made."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from saliency_callbacks.capture.probabilities import ProbabilityMode


def _collected(z, first, second):
    out = torch.empty(z.shape)
    out[:, 0] = first[:, 0]
    out[:, 1:] = second[:, 1:]
    return out


def _collected_by_views(z, first, second):
    out = z.new_zeros(z.shape)
    out[:, :2].copy_(first[:, :2])
    out[:, 2:] += second[:, 2:]
    return out


_MADE = {
    "sigmoid": torch.sigmoid,
    "its method": lambda z: z.sigmoid(),
    "in place": lambda z: z.clone().sigmoid_(),
    "expit": torch.special.expit,
    "softmax": lambda z: z.softmax(dim=1),
    "F.softmax": lambda z: F.softmax(z, dim=1),
    "softmin": lambda z: F.softmin(z, dim=1),
    "hard sigmoid": F.hardsigmoid,
    "module": nn.Sigmoid(),
    "view": lambda z: z.sigmoid()[:, 0].unsqueeze(1),
    "mean of two": lambda z: torch.stack([z.sigmoid(), (2 * z).sigmoid()]).mean(dim=0),
    "both classes": lambda z: torch.cat([1 - z[:, :1].sigmoid(), z[:, :1].sigmoid()], dim=1),
    "clipped": lambda z: z.sigmoid().clamp(1e-6, 1 - 1e-6),
    "in float64": lambda z: z.sigmoid().double(),
    "of an attention": lambda z: z.softmax(dim=1) * z.sigmoid(),
    "clipped between tensors": lambda z: torch.clamp(z.sigmoid(), torch.tensor(1e-6), torch.tensor(1 - 1e-6)),
    "copied": lambda z: torch.ones(3, 4).copy_(z.sigmoid()),
    "added up": lambda z: torch.zeros_like(z).add_(z.sigmoid()).add_((2 * z).sigmoid()).div_(2),
    "collected": lambda z: _collected(z, z.sigmoid(), z.sigmoid()),
    "collected by views": lambda z: _collected_by_views(z, z.sigmoid(), z.sigmoid()),
    "written out": lambda z: torch.mul(z.sigmoid(), 0.5, out=torch.ones(3, 4)),
    "divided by its sum": lambda z: z.sigmoid() / z.sigmoid().sum(dim=1, keepdim=True),
}
_NOT_MADE = {
    "logits": lambda z: z * 1,
    "gate": lambda z: z.sigmoid() * z,
    "attention": lambda z: z.softmax(dim=1) @ z.T,
    "linear layer after it": lambda z: F.linear(z.sigmoid(), torch.ones(2, z.shape[1])),
    "log-softmax": lambda z: z.log_softmax(dim=1),
    "log of softmax": lambda z: z.softmax(dim=1).log(),
    "logit of sigmoid": lambda z: z.sigmoid().logit(),
    "log-sigmoid": F.logsigmoid,
    "decision": lambda z: (z.sigmoid() > 0.5).float(),
    "collected, with a logit": lambda z: _collected(z, z.sigmoid(), z),
    "collected after a logit": lambda z: _collected(z, z, z.sigmoid()),
    "collected by views, with a logit": lambda z: _collected_by_views(z, z.sigmoid(), z),
    "collected by views after a logit": lambda z: _collected_by_views(z, z, z.sigmoid()),
    "added to logits": lambda z: z.clone().add_(z.sigmoid()),
    "nothing but zeros": torch.zeros_like,
    "clipped at learned bounds": lambda z: torch.clamp(z.sigmoid(), max=nn.Parameter(torch.ones(()))),
    "copied logits": lambda z: z.sigmoid().copy_(z),
    "overwritten": lambda z: z.sigmoid().mul_(z),
}


@pytest.fixture
def logits():
    return torch.randn(3, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("make", _MADE.values(), ids=_MADE)
def test_made_of_probabilities_alone(logits, make):
    with ProbabilityMode() as mode:
        output = make(logits)
        assert mode.made(output)


@pytest.mark.parametrize("make", _NOT_MADE.values(), ids=_NOT_MADE)
def test_made_of_something_else_as_well(logits, make):
    with ProbabilityMode() as mode:
        output = make(logits)
        assert not mode.made(output)


def test_nothing_is_kept_alive(logits):
    with ProbabilityMode() as mode:
        for _ in range(3):
            first = logits.sigmoid()
            assert mode.made(first)
            del first
        # Memory, and with it an identity, is used again.
        assert not any(mode.made(torch.zeros(3, 4)) for _ in range(20))
