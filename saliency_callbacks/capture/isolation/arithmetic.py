"""In which type and memory format a model computes, next to how its training runs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import nn

from saliency_callbacks.capture.isolation.channels_last import channels_last, has_channels_first
from saliency_callbacks.errors import ConfigurationError

__all__ = ["UNCHANGED", "Arithmetic", "other_arithmetics"]

Half = Literal["bfloat16", "float16"]

_HALVES: Mapping[str, tuple[Half, ...]] = {"cpu": ("bfloat16",), "cuda": ("float16", "bfloat16"), "mps": ("float16",)}
_Context = Callable[[], AbstractContextManager[Any]]


@dataclass(frozen=True)
class Arithmetic:
    """How a model computes.

    Args:
        autocast: Type of an autocast that is opened around every forward; ``None`` for none but the training's own.
        is_channels_last: Whether convolutions have their channels last in memory.

    Example:
        >>> Arithmetic("bfloat16", is_channels_last=True).name
        'bfloat16, channels last'
        >>> Arithmetic.named("channels last")
        Arithmetic(autocast=None, is_channels_last=True)
    """

    autocast: Half | None = None
    is_channels_last: bool = False

    @property
    def name(self) -> str:
        """What it is called in a checkpoint and in words."""
        parts = [self.autocast, "channels last" if self.is_channels_last else None]
        return ", ".join(filter(None, parts)) or "unchanged"

    @classmethod
    def named(cls, name: str) -> Arithmetic:
        """Return the one of that name.

        Raises:
            ConfigurationError: If there is none.
        """
        halves: tuple[Half | None, ...] = (None, "bfloat16", "float16")
        known = {one.name: one for half in halves for one in (cls(half), cls(half, is_channels_last=True))}
        if name not in known:
            raise ConfigurationError(
                f"the checkpoint computes maps in {name!r}; expected one of {', '.join(map(repr, known))}. It may "
                "come from another version of this package. Use that version, or precision='trainer'"
            )
        return known[name]

    @contextmanager
    def applied(self, model: nn.Module, forward_context: _Context) -> Iterator[_Context]:
        """Let ``model`` compute like this; yield what is then opened around every forward.

        Args:
            model: The model, quiescent.
            forward_context: What is opened around the forwards of the training.
        """
        with channels_last(model) if self.is_channels_last else nullcontext():
            yield forward_context if self.autocast is None else partial(self._half, _devices(model), forward_context)

    @contextmanager
    def _half(self, devices: frozenset[str], forward_context: _Context) -> Iterator[None]:
        assert self.autocast is not None
        # A choice of a checkpoint is kept where the model lies on several types of device, or has no parameter left.
        with forward_context(), ExitStack() as stack:
            for device in sorted(devices):
                if torch.amp.is_autocast_available(device):
                    stack.enter_context(torch.autocast(device, dtype=getattr(torch, self.autocast)))
            yield


UNCHANGED = Arithmetic()
"""As the training runs the model."""


def other_arithmetics(model: nn.Module, forward_context: _Context) -> tuple[Arithmetic, ...]:
    """Return how else a model could compute, on the device where it is.

    A model in float32 without autocast may compute in half precision. In any other the type stays: nothing is made more
    precise, float64 is not made less so, and half precision is as fast as it gets.

    Args:
        model: The model.
        forward_context: What is opened around the forwards of the training.
    """
    devices = _devices(model)
    if len(devices) != 1:
        return ()
    (device,) = devices
    halves: tuple[Half | None, ...] = (None,)
    if _computes_in_float32(model, device, forward_context):
        halves += _HALVES.get(device, ("bfloat16",))
    formats = (False, True) if has_channels_first(model) else (False,)
    return tuple(one for half in halves for last in formats if (one := Arithmetic(half, last)) != UNCHANGED)


def _devices(model: nn.Module) -> frozenset[str]:
    return frozenset(parameter.device.type for parameter in model.parameters())


def _computes_in_float32(model: nn.Module, device: str, forward_context: _Context) -> bool:
    types = {parameter.dtype for parameter in model.parameters() if parameter.is_floating_point()}
    with forward_context():
        return types == {torch.float32} and not torch.is_autocast_enabled(device)
