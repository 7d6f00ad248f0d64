"""Tests are the same wherever they run: same random numbers, same examples, and SIGINT is not ignored."""

from __future__ import annotations

import gc
import random
import signal
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import settings

from saliency_callbacks.discovery.kinds import GENERATORS

torch.set_num_threads(1)
settings.register_profile("reproducible", deadline=None, derandomize=True, database=None)
settings.load_profile("reproducible")

# What a shell runs in the background ignores it, and tests of Ctrl-C would wait for nothing.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """Let the garbage collector pass over what is there for good, which is over a million objects with all tests.

    Each full collection would otherwise take up to a second, and Trainers and tests ask for hundreds.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def same_random_numbers() -> None:
    """Begin each test with the same: a network with other weights may have maps that are zero."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 (what is not seeded by itself draws from it)
    torch.manual_seed(1)


@pytest.fixture(autouse=True)
def same_kinds_of_shortcuts() -> Iterator[None]:
    """See that a test which searches for something else puts back what it replaced: searches of others rest on it."""
    before = dict(GENERATORS)
    yield
    assert before == GENERATORS, "replace generators with monkeypatch.setitem(GENERATORS, …), which puts them back"
