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
    found = {id(value): value for module in model.modules() for value in vars(module).values()}
    restoring = [restore for value in found.values() if (restore := _restoring(value)) is not None]
    try:
        for value in found.values():
            _seed(value, seed)
        yield
    finally:
        for restore in restoring:
            restore()


def _restoring(value: Any) -> Callable[[], object] | None:
    """Return what restores a generator; ``None`` for anything else."""
    if isinstance(value, torch.Generator):
        return partial(value.set_state, value.get_state())
    # Not of those that draw from the operating system.
    if type(value) is random.Random:
        return partial(value.setstate, value.getstate())
    if isinstance(value, np.random.RandomState):
        return partial(value.set_state, value.get_state())
    if isinstance(value, np.random.Generator):
        return partial(setattr, value.bit_generator, "state", value.bit_generator.state)
    return None


def _seed(value: Any, seed: int) -> None:
    if isinstance(value, torch.Generator):
        value.manual_seed(seed)
    elif type(value) is random.Random:
        value.seed(seed)
    elif isinstance(value, np.random.RandomState):
        value.seed(seed % 2**32)
    elif isinstance(value, np.random.Generator):
        kind: Any = type(value.bit_generator)
        value.bit_generator.state = kind(seed).state
