"""Isolation of every global random number generator."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

__all__ = ["isolated_rng", "seed_all"]


@contextmanager
def isolated_rng(seed: int) -> Iterator[None]:
    """Seed the Python, NumPy, torch, CUDA and MPS generators inside, and restore them byte for byte on exit.

    Args:
        seed: Seed of all generators inside the context, so that what runs there is the same every time.
    """
    python_state = random.getstate()
    numpy_state = np.random.get_state()  # noqa: NPY002 (the legacy global generator is what models draw from)
    torch_state = torch.get_rng_state()
    # Touching an uninitialized CUDA runtime would create a context, and seed it for the training to come.
    has_cuda = _has_cuda()
    cuda_states = torch.cuda.get_rng_state_all() if has_cuda else []
    has_mps = torch.backends.mps.is_available()
    mps_state = torch.mps.get_rng_state() if has_mps else None
    try:
        seed_all(seed)
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002
        torch.set_rng_state(torch_state)
        if has_cuda:
            torch.cuda.set_rng_state_all(cuda_states)
        if mps_state is not None:
            torch.mps.set_rng_state(mps_state)


def seed_all(seed: int) -> None:
    """Seed the generators again, inside of :func:`isolated_rng`."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    torch.default_generator.manual_seed(seed)
    if _has_cuda():
        torch.cuda.manual_seed_all(seed)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)


def _has_cuda() -> bool:
    # In this order: to look for devices takes a while, and there is one isolation for each layer that is drawn.
    return torch.cuda.is_initialized() and torch.cuda.is_available()
