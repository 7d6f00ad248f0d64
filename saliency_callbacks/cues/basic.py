"""Spurious cues: a suspected shortcut that can be put into any image.

Cues work on display images ``[N, C, *spatial]`` with values from 0 (black) to 1 (white), whatever the model takes;
:class:`~saliency_callbacks.cues.display_range.DisplayRange` leads there and back. They are deterministic, change
nothing they are given, and two of the same settings are equal.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from saliency_callbacks.config.checks import is_integer
from saliency_callbacks.config.dotted_paths import resolve_callable
from saliency_callbacks.config.nested import describe, fingerprint
from saliency_callbacks.cues.checks import (
    as_box,
    as_channel_values,
    as_name,
    as_number,
    box_slices,
    channel_values,
    checked_output,
)
from saliency_callbacks.errors import CueError

__all__ = ["BrightnessCue", "ChannelShiftCue", "Cue", "CueSettings", "FunctionCue", "PatchCue", "everywhere"]


@runtime_checkable
class Cue(Protocol):
    """A suspected shortcut that can be put into images."""

    @property
    def name(self) -> str:
        """``{cue}`` in the logged tags."""

    def insert(self, images: Tensor) -> Tensor:
        """Return display images ``[N, C, *spatial]`` in [0, 1] with the cue, of the same shape and range."""

    def mask(self, images: Tensor) -> Tensor:
        """Return where the cue may change these images, bool ``[N, *spatial]``."""


class CueSettings:
    """What every built-in cue shares: a name, and equality and a representation by its settings.

    Args:
        name: Name of the cue.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        parameters = inspect.signature(type(self)).parameters
        settings = {name: vars(self)[name] for name in parameters if name != "name"}
        given = [
            f"{name}={_shown(value)}"
            for name, value in settings.items()
            if not (isinstance(value, float) and value == parameters[name].default)
        ]
        return f"{type(self).__name__}({', '.join([*given, f'name={self.name!r}'])})"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and isinstance(other, CueSettings) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def _identity(self) -> tuple[Any, ...]:
        return tuple((name, _comparable(value)) for name, value in vars(self).items())


class PatchCue(CueSettings):
    """A patch of one color at a fixed position, such as a sticker or a marker burnt into a corner.

    Args:
        box: ``(top, left, height, width)`` in pixels; a negative top or left counts from the far edge.
        value: Color in [0, 1], one number or one for each channel.
        name: ``{cue}`` in the logged tags.

    Raises:
        CueError: An argument out of its range. When it is used: images that are not two-dimensional or have another
            number of channels, or a box outside them.

    Example:
        >>> PatchCue((-1, -1, 1, 1)).insert(torch.zeros(1, 1, 2, 2))
        tensor([[[[0., 0.],
                  [0., 1.]]]])
    """

    def __init__(self, box: Sequence[int], value: float | Sequence[float] = 1.0, *, name: str | None = None) -> None:
        super().__init__(as_name(self, name, "patch"))
        self.box = as_box(self, box)
        self.value = as_channel_values(self, "value", value, low=0)

    def insert(self, images: Tensor) -> Tensor:
        """Paint the box."""
        rows, columns = box_slices(self, self.box, images)
        painted = images.clone()
        painted[:, :, rows, columns] = channel_values(self, "value", self.value, images)
        return painted

    def mask(self, images: Tensor) -> Tensor:
        """Return the box."""
        rows, columns = box_slices(self, self.box, images)
        inside = ~everywhere(images)
        inside[:, rows, columns] = True
        return inside


class BrightnessCue(CueSettings):
    """A brighter or darker image, such as another scanner's exposure: x + δ, kept in [0, 1].

    It changes the whole input and so moves every class: read its contrast between classes, not its effect alone.

    Args:
        delta: The amount δ in [-1, 1].
        name: ``{cue}`` in the logged tags.

    Raises:
        CueError: ``delta`` is out of its range.

    Example:
        >>> BrightnessCue(0.25).insert(torch.tensor([[[0.0, 0.5, 1.0]]]))
        tensor([[[0.2500, 0.7500, 1.0000]]])
    """

    def __init__(self, delta: float, *, name: str | None = None) -> None:
        super().__init__(as_name(self, name, "brightness"))
        self.delta = as_number(self, "delta", delta, low=-1)

    def insert(self, images: Tensor) -> Tensor:
        """Add the amount to every value."""
        return (images + self.delta).clamp(0, 1)

    def mask(self, images: Tensor) -> Tensor:
        """Return everything."""
        return everywhere(images)


class ChannelShiftCue(CueSettings):
    """A color cast, such as another stain or camera: x_c + δ_c, kept in [0, 1].

    Like every change of the whole input it moves every class: read its contrast, not its effect alone.

    Args:
        shift: The amount δ_c of each channel, each in [-1, 1]: a list with one for every channel, or a mapping from
            the index of a channel to its amount.
        name: ``{cue}`` in the logged tags.

    Raises:
        CueError: An amount out of its range. When it is used: a channel that the images do not have.

    Example:
        >>> ChannelShiftCue({1: -0.25}).insert(torch.full((1, 2, 1), 0.5))
        tensor([[[0.5000],
                 [0.2500]]])
    """

    def __init__(self, shift: Sequence[float] | Mapping[int, float], *, name: str | None = None) -> None:
        super().__init__(as_name(self, name, "channel_shift"))
        self.shift = self._checked(shift)

    def insert(self, images: Tensor) -> Tensor:
        """Add each channel's amount to it."""
        return (images + channel_values(self, "shift", self._amounts(images.shape[1]), images)).clamp(0, 1)

    def mask(self, images: Tensor) -> Tensor:
        """Return everything."""
        return everywhere(images)

    def _checked(self, shift: Any) -> tuple[float, ...] | dict[int, float]:
        if isinstance(shift, Mapping):
            indices = [key for key in shift if is_integer(key, 0)]
            if shift and len(indices) == len(shift):
                return {key: as_number(self, f"shift[{key}]", shift[key], low=-1) for key in sorted(indices)}
        elif not isinstance(shift, str | int | float):
            amounts = as_channel_values(self, "shift", shift, low=-1)
            if isinstance(amounts, tuple) and amounts:
                return amounts
        raise CueError(
            f"ChannelShiftCue(shift={shift!r}); expected a list with one number per channel, such as [0.1, 0, -0.1], "
            "or {channel: amount}, such as {0: 0.1}"
        )

    def _amounts(self, channels: int) -> tuple[float, ...]:
        if not isinstance(self.shift, dict):
            return self.shift
        unknown = [channel for channel in self.shift if channel >= channels]
        if unknown:
            raise CueError(
                f"{self!r} shifts channel {unknown[0]}, but the images have {channels}; expected an index from 0 to "
                f"{channels - 1}"
            )
        return tuple(self.shift.get(channel, 0.0) for channel in range(channels))


class FunctionCue(CueSettings):
    """Any other cue, written as a function.

    Args:
        function: Takes display images ``[N, C, *spatial]`` in [0, 1] and returns them with the cue, or the dotted
            import path of such a function. It has to give the same for the same images; what it returns is kept in
            [0, 1].
        name: ``{cue}`` in the logged tags; the function's own name by default.

    Raises:
        ConfigurationError: Nothing can be imported under that path.
        CueError: When it is used: the function returned something else than finite images of the same shape.

    Example:
        >>> FunctionCue("torch.square").insert(torch.tensor([[[0.5]]]))
        tensor([[[0.2500]]])
    """

    def __init__(self, function: Callable[[Tensor], Tensor] | str, *, name: str | None = None) -> None:
        resolved = resolve_callable("FunctionCue(function=...)", function)
        if resolved is None:
            raise CueError(
                "FunctionCue(function=None); expected a function images -> images, or its import path "
                "'package.module.function'"
            )
        super().__init__(as_name(self, name, getattr(resolved, "__name__", "function")))
        self.function = function

    def insert(self, images: Tensor) -> Tensor:
        """Call the function with a copy of the images."""
        function = resolve_callable("FunctionCue(function=...)", self.function)
        assert function is not None, "checked when the cue was made"
        return checked_output(self, function(images.clone()), images)

    def mask(self, images: Tensor) -> Tensor:
        """Return the pixels that the function changes."""
        return (self.insert(images) != images).any(dim=1)


def everywhere(images: Tensor) -> Tensor:
    """Return a mask ``[N, *spatial]`` that is true throughout."""
    return torch.ones(len(images), *images.shape[2:], dtype=torch.bool, device=images.device)


def _shown(value: Any) -> str:
    if isinstance(value, Tensor | np.ndarray):
        return describe(value)
    return getattr(value, "__qualname__", None) or repr(value)


def _comparable(value: Any) -> Any:
    """Return something that compares by value and can be hashed."""
    if isinstance(value, Tensor | np.ndarray):
        return fingerprint(torch.as_tensor(value))
    return tuple(value.items()) if isinstance(value, dict) else value
