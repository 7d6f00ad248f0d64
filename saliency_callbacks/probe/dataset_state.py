"""Reading the probe leaves the user's dataset as it was: no handle opened, no counter or generator moved on."""

from __future__ import annotations

import copy
import random
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from saliency_callbacks.probe.introspection import attribute, inner_datasets, levels

__all__ = ["preserved"]

_MAX_ENTRIES = 10_000
"""Larger containers, such as a cache of a whole dataset, are left as they are: a copy would cost too much."""

_CONTAINERS = (list, dict, set, deque)
_GENERATORS = (torch.Generator, np.random.Generator, np.random.BitGenerator, np.random.RandomState, random.Random)


@contextmanager
def preserved(*owners: Any) -> Iterator[None]:
    """Undo on exit, also after an exception, what reading changes in datasets and their transforms.

    Covered are the datasets that each owner wraps, and the datasets, callables and random generators among their
    attributes, also inside lists, tuples and dictionaries. Of each, attributes that were bound, rebound or deleted are
    restored; so are the entries of its lists, dictionaries, sets and deques of at most 10,000 entries, and the state
    of its generators. What an attribute holds beyond that is neither copied nor restored.

    Args:
        owners: Datasets, collate functions, or anything else that may keep state.
    """
    with ExitStack() as stack:
        for owner in owners:
            for level in levels(owner, _parts):
                for each in level:
                    _restore_on_exit(stack, each)
        yield


def _restore_on_exit(stack: ExitStack, owner: Any) -> None:
    if isinstance(owner, _GENERATORS):
        restore = _generator_restorer(owner)
        if restore is not None:
            stack.callback(restore)
        return
    attributes = _attributes(owner)
    stack.callback(_restore_attributes, attributes, dict(attributes))
    for value in attributes.values():
        if isinstance(value, _CONTAINERS) and len(value) <= _MAX_ENTRIES:
            stack.callback(_restore_container, value, copy.copy(value))


def _attributes(owner: Any) -> dict[str, Any]:
    """Return the live dictionary of an object's attributes; an empty one where it has none of its own."""
    attributes = None if isinstance(owner, type) else attribute(owner, "__dict__")
    return attributes if isinstance(attributes, dict) else {}


def _restore_attributes(attributes: dict[str, Any], saved: dict[str, Any]) -> None:
    for name in attributes.keys() - saved.keys():
        del attributes[name]
    for name, value in saved.items():
        if name not in attributes or attributes[name] is not value:
            attributes[name] = value


def _restore_container(container: Any, saved: Any) -> None:
    if _identities(container) == _identities(saved):
        return
    container.clear()
    (container.extend if isinstance(container, list | deque) else container.update)(saved)


def _identities(container: Any) -> Any:
    """Return what tells two containers apart without comparing their entries, which may be tensors."""
    if isinstance(container, dict):
        return [(id(key), id(value)) for key, value in container.items()]
    identities = map(id, container)
    return set(identities) if isinstance(container, set) else list(identities)


def _generator_restorer(generator: Any) -> Callable[[], object] | None:
    if isinstance(generator, torch.Generator):
        return partial(generator.set_state, generator.get_state())
    if isinstance(generator, np.random.RandomState):
        return partial(generator.set_state, generator.get_state())
    if isinstance(generator, random.Random):
        # The operating system's generator has no state.
        is_stateless = isinstance(generator, random.SystemRandom)
        return None if is_stateless else partial(generator.setstate, generator.getstate())
    bits = generator.bit_generator if isinstance(generator, np.random.Generator) else generator
    return partial(setattr, bits, "state", bits.state)


def _parts(owner: Any) -> list[Any]:
    """Return the datasets, callables and generators directly inside a dataset, transform or function."""
    inner = inner_datasets(owner)
    if isinstance(owner, MethodType):
        inner.append(owner.__self__)
    held: list[Any] = list(_attributes(owner).values())
    if isinstance(owner, partial):
        held += [owner.func, *owner.args, *owner.keywords.values()]
    return inner + [each for value in held for each in _entries(value) if _may_keep_state(each)]


def _entries(value: Any) -> list[Any]:
    if not isinstance(value, (*_CONTAINERS, tuple)):
        return [value]
    if len(value) > _MAX_ENTRIES:
        return []
    return list(value.values() if isinstance(value, dict) else value)


def _may_keep_state(value: Any) -> bool:
    if isinstance(value, (*_GENERATORS, Dataset)):
        return True
    return callable(value) and not isinstance(value, type | FunctionType | BuiltinFunctionType)
