"""What a record keeps of arguments: short, without secrets, alike in every process."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from saliency_callbacks.config.recorded import recorded, recorded_settings
from saliency_callbacks.methods import CaptumMethod, ExternalMethod
from saliency_callbacks.probe.batch import ProbeBatch, freeze
from saliency_callbacks.targets import ContrastTarget
from saliency_callbacks.targets.resolution import target_name


class Kind(Enum):
    ONE = 1


class Raising:
    def __repr__(self) -> str:
        raise RuntimeError("no text")

    def __call__(self, *arguments: Any) -> Any:
        return arguments[1]


@dataclass
class Keyed:
    api_key: str

    def __call__(self, *arguments: Any) -> Any:
        return arguments[1]


class Named:
    def __repr__(self) -> str:
        return "B" * 3_000_000


class Flipped(ContrastTarget):
    def __init__(self, pair: tuple[int, int]) -> None:
        super().__init__(pair[1], pair[0])


def function(model: nn.Module, inputs: torch.Tensor, *others: Any) -> torch.Tensor:
    return inputs


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, "3"),
        ("a", "'a'"),
        ((3, 1), "(3, 1)"),
        ((3,), "(3,)"),
        ([None, True], "[None, True]"),
        ({"b": 1, "a": [2.5]}, "{'a': [2.5], 'b': 1}"),
        ({*"hgfedcba"}, "{'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'}"),
        (torch.zeros(2, 3), "Tensor[2, 3] float32"),
        (np.zeros(2), "ndarray[2] float64"),
        (torch.float16, "torch.float16"),
        (Kind.ONE, "Kind.ONE"),
        (Path("a/b"), "'a/b'"),
        (function, f"{__name__}.function"),
        (nn.ReLU, "torch.nn.modules.activation.ReLU"),
        (nn.ReLU(), "<ReLU>"),
        (partial(function), "<partial>"),
        (Raising(), "<Raising>"),
        (Named(), "<Named>"),
        (Keyed("SECRET"), "<Keyed>"),
        (ContrastTarget(0, 1), "ContrastTarget(a=0, b=1)"),
        ({"api_key": "SECRET", "auth": ["SECRET", "x"], "n": 1}, "{'api_key': ***, 'auth': ***, 'n': 1}"),
        ("https://me:SECRET@host/x", "'https://***@host/x'"),
    ],
)
def test_values(value: Any, expected: str) -> None:
    assert recorded(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        "x" * 3_000_000,
        list(range(100_000)),
        [[[[*range(32)]] * 32] * 3] * 50,
        {str(at): at for at in range(1000)},
        {f"key={at}&token=SECRET" * 100: 1 for at in range(100)},
    ],
)
def test_is_short(value: Any) -> None:
    assert len(recorded(value)) < 10_000
    assert "…" in recorded(value)
    assert "SECRET" not in recorded(value)


def test_what_holds_itself() -> None:
    held: dict[str, Any] = {}
    held["me"] = held
    assert recorded(held) == "{'me': {'me': {'me': {'me': {…}}}}}"


def test_methods_and_targets_are_told_alike() -> None:
    method = CaptumMethod("FeatureAblation", {"feature_mask": [*range(100_000)], "baselines": Keyed("SECRET")})
    for told in (repr(method), recorded_settings(method)):
        assert "baselines': <Keyed>" in told
        assert "SECRET" not in told
        assert len(told) < 1000
    assert "explain=<Raising>" in repr(ExternalMethod("own", Raising()))
    assert recorded_settings(Raising()) == "<Raising>"
    assert recorded_settings(Keyed("SECRET")) == "Keyed(api_key=***)"
    assert target_name(Raising(), _probe()) == "<Raising>"
    assert target_name(function, _probe()) == f"{__name__}.function"
    assert target_name("label", _probe()) == "label"


def test_a_target_with_other_arguments_is_told_by_what_it_keeps() -> None:
    assert target_name(Flipped((0, 1)), _probe()) == "Flipped(a=1, b=0)"
    assert hash(Flipped((0, 1))) == hash(Flipped((0, 1)))


def _probe() -> ProbeBatch:
    return freeze(torch.zeros(1, 1, 2, 2))
