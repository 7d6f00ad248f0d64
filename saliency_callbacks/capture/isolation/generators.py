"""Isolation of the random number generators that a model has of its own."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

__all__ = ["isolated_generators"]


@contextmanager
def isolated_generators(model: nn.Module, seed: int) -> Iterator[None]:
    """Seed the generators of Python, NumPy and torch that are attributes of modules, and restore them on exit.

    Those in containers or other objects are not seen.

    Args:
        model: The model that runs inside.
        seed: Seed of all of them, so that what runs inside is the same every time.
    """
    found = _generators(model)
    restoring = [_restoring(value) for value in found]
    try:
        for value in found:
            _seed(value, seed)
        yield
    finally:
        for restore in restoring:
            restore()


def _generators(model: nn.Module) -> list[Any]:
    """Return the generators, each once."""
    # A model has thousands of attributes of a few types: each type is looked at once.
    by_type: dict[type, dict[int, Any]] = {}
    for module in model.modules():
        for value in vars(module).values():
            by_type.setdefault(type(value), {})[id(value)] = value
    return [value for kind, values in by_type.items() if _is_generator(kind) for value in values.values()]


def _is_generator(kind: type) -> bool:
    # Not one that draws from the operating system, a subclass of `random.Random`.
    return kind is random.Random or issubclass(kind, (torch.Generator, np.random.RandomState, np.random.Generator))


def _restoring(value: Any) -> Callable[[], object]:
    if isinstance(value, torch.Generator):
        return partial(value.set_state, value.get_state())
    if isinstance(value, random.Random):
        return partial(value.setstate, value.getstate())
    if isinstance(value, np.random.RandomState):
        return partial(value.set_state, value.get_state())
    return partial(setattr, value.bit_generator, "state", value.bit_generator.state)


def _seed(value: Any, seed: int) -> None:
    if isinstance(value, torch.Generator):
        value.manual_seed(seed)
    elif isinstance(value, random.Random):
        value.seed(seed)
    elif isinstance(value, np.random.RandomState):
        value.seed(seed % 2**32)
    else:
        kind: Any = type(value.bit_generator)
        value.bit_generator.state = kind(seed).state
