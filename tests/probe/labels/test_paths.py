"""Parts of a batch by their path."""

from __future__ import annotations

from collections import namedtuple
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from saliency_callbacks.probe.labels.paths import entry_at, first_missing, keys_to

Pair = namedtuple("Pair", ["image", "gt"])


@pytest.mark.parametrize(
    ("value", "path", "keys"),
    [
        ((0, 7), 1, (1,)),
        ((0, 7), "-1", (-1,)),
        ({"target": {"label": 7}}, "target.label", ("target", "label")),
        ({"target.label": 7}, "target.label", ("target.label",)),
        ({"target": {"fine.label": 7}}, "target.fine.label", ("target", "fine.label")),
        ({"target": {"label": 7}, "target.label": {"other": 0}}, "target.label", None),
        ({"a": {"b": 0}, "a.b": {"c": 7}}, "a.b.c", ("a.b", "c")),
        ([0, {"a": (0, 7)}], "1.a.1", (1, "a", 1)),
        (Pair(0, 7), "gt", ("gt",)),
        (Pair(0, 7), 1, (1,)),
        ({1: 7}, "1", (1,)),
        (SimpleNamespace(image=np.zeros(1), label=7), "label", ("label",)),
    ],
)
def test_keys_lead_to_the_part(value: Any, path: int | str, keys: tuple[Any, ...] | None) -> None:
    found = keys_to(value, path)
    if keys is None:
        # A name with dots is nearer.
        assert found == (path,)
        return
    assert found == keys
    assert entry_at(value, found) == 7


@pytest.mark.parametrize(
    ("value", "path", "step"),
    [
        ((0, 1), 2, 2),
        ((0, 1), "label", "label"),
        ({"target": {"label": 1}}, "target.y", "y"),
        ({"target": 3}, "a.b", "a"),
        ((0, 1), "--1", "--1"),
    ],
)
def test_what_is_not_there(value: Any, path: int | str, step: int | str) -> None:
    assert keys_to(value, path) is None
    assert first_missing(value, path) == step
