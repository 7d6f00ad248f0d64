"""In which types and formats a model may compute, and that nothing of it stays."""

from __future__ import annotations

import contextlib
from functools import partial

import pytest
import torch
from torch import nn

from saliency_callbacks.capture.isolation.arithmetic import UNCHANGED, Arithmetic, other_arithmetics
from saliency_callbacks.errors import ConfigurationError

NAMES = [
    "unchanged",
    "channels last",
    "bfloat16",
    "bfloat16, channels last",
    "float16",
    "float16, channels last",
]


def names(model, context=contextlib.nullcontext):
    return [one.name for one in other_arithmetics(model, context)]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_leads_back(name):
    assert Arithmetic.named(name).name == name


def test_an_unknown_name_says_which_there_are():
    with pytest.raises(
        ConfigurationError, match=r"computes maps in 'int4'; expected one of 'unchanged', .*precision='tr"
    ):
        Arithmetic.named("int4")


@pytest.mark.parametrize("name", NAMES)
def test_forwards_are_run_in_it_and_nothing_stays(name):
    model = nn.Conv2d(2, 3, 3)
    asked, before = Arithmetic.named(name), model.weight.stride()
    with asked.applied(model, contextlib.nullcontext) as opened:
        assert not torch.is_autocast_enabled("cpu"), "around forwards alone"
        with opened():
            found = model(torch.rand(1, 2, 4, 4))
        assert model.weight.is_contiguous(memory_format=torch.channels_last) == asked.is_channels_last
    assert found.dtype == getattr(torch, asked.autocast or "float32")
    assert not torch.is_autocast_enabled("cpu")
    assert model.weight.stride() == before


@pytest.mark.parametrize("name", NAMES[1:])
def test_nothing_stays_after_an_exception(name):
    model = nn.Conv2d(2, 3, 3)
    weight, strides = model.weight, model.weight.stride()

    def interrupted():
        with Arithmetic.named(name).applied(model, contextlib.nullcontext) as opened, opened():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert model.weight is weight
    assert model.weight.stride() == strides
    assert not torch.is_autocast_enabled("cpu")


def test_the_context_of_the_training_is_opened_first():
    entered = []

    @contextlib.contextmanager
    def own():
        entered.append(torch.is_autocast_enabled("cpu"))
        yield

    with Arithmetic("bfloat16").applied(nn.Linear(1, 1), own) as opened, opened():
        assert torch.is_autocast_enabled("cpu")
    assert entered == [False]


def test_a_model_in_float32_may_do_everything():
    assert names(nn.Conv2d(2, 3, 3)) == ["channels last", "bfloat16", "bfloat16, channels last"]
    assert names(nn.Linear(2, 3)) == ["bfloat16"]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_other_types_stay(dtype):
    assert names(nn.Conv2d(2, 3, 3).to(dtype)) == ["channels last"]
    assert names(nn.Linear(2, 3).to(dtype)) == []


def test_the_autocast_of_the_training_stays():
    assert names(nn.Conv2d(2, 3, 3), partial(torch.autocast, "cpu", torch.bfloat16)) == ["channels last"]


def test_a_model_without_parameters_or_on_two_devices_stays_what_it_is():
    assert names(nn.ReLU()) == []
    assert names(nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1, device="meta"))) == []


@pytest.mark.parametrize(
    ("model", "dtype"),
    [
        (nn.Sequential(nn.ReLU()), torch.float32),
        (nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2, device="meta")), torch.bfloat16),
    ],
    ids=["no parameters", "two devices"],
)
def test_a_kept_choice_runs_on_any_devices(model, dtype):
    with Arithmetic("bfloat16").applied(model, contextlib.nullcontext) as opened, opened():
        assert torch.is_autocast_enabled("cpu") == (dtype == torch.bfloat16)
        assert model[0](torch.rand(1, 2)).dtype == dtype
    assert not torch.is_autocast_enabled("cpu")


def test_unchanged_is_the_default():
    assert Arithmetic() == UNCHANGED
