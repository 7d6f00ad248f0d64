"""Which axis of an explained input is what: channels, frames and space."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import conv

from saliency_callbacks.errors import ConfigurationError, InputError

__all__ = ["RECOGNIZED_VOLUME", "channel_dim", "checked_layout", "describe_axes", "recognize_layout"]

RECOGNIZED_VOLUME = "NCDHW"
"""What is found where channels come second: a volume, or a video."""
_FRAMES_SECOND = "NTCHW"
# What a color camera or a scanner has; more of them are frames or slices.
_USUAL_CHANNELS = (1, 3)
_LONGEST_LAYOUT = 5
_VOLUME_DIMENSIONS = 3


def checked_layout(layout: Any) -> str | None:
    """Return the axes of an input as letters in upper case.

    Raises:
        ConfigurationError: If they are no layout of one to three spatial dimensions.

    Example:
        >>> checked_layout("ntchw")
        'NTCHW'
    """
    if layout is None:
        return None
    letters = layout.upper() if isinstance(layout, str) else ""
    is_layout = letters.isalpha() and letters[:1] == "N" and letters.count("C") == 1
    if not is_layout or len(set(letters)) != len(letters) or not 3 <= len(letters) <= _LONGEST_LAYOUT:
        raise ConfigurationError(
            f"layout={layout!r}; expected one letter per axis of the explained input, including N (samples, first) "
            "and C (channels), such as 'NCHW', 'NTCHW' (frames before channels) or 'NCTHW' (channels before frames)"
        )
    return letters


def channel_dim(layout: str | None, explained: Tensor) -> int:
    """Return where the channels of an input are; by default in the second dimension.

    Raises:
        InputError: If the input has another number of dimensions than the layout.
    """
    if layout is None:
        return 1
    if len(layout) != explained.ndim:
        raise InputError(
            f"layout={layout!r} names {len(layout)} axes, but the explained input has shape {list(explained.shape)}; "
            "expected one letter per dimension"
        )
    return layout.index("C")


def describe_axes(layout: str, explained: Tensor) -> str:
    """Return in words how an input was read, from its explained form ``[N, C, *spatial]``.

    Example:
        >>> describe_axes("NTCHW", torch.rand(2, 3, 8, 32, 32))
        'NTCHW: 8 frames of 3 × 32 × 32'
    """
    channels, *space = explained.shape[1:]
    if len(space) < _VOLUME_DIMENSIONS:
        return f"{layout}: {channels} channels of {' × '.join(map(str, space))}"
    what = "frames" if "T" in layout else "frames or slices"
    return f"{layout}: {space[0]} {what} of {' × '.join(map(str, (channels, *space[1:])))}"


def recognize_layout(
    model: nn.Module,
    explained: Tensor,
    run: Callable[[], Any],
    forward_context: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> str:
    """Find whether the channels of an input ``[N, A, B, H, W]`` are A (volumes, ``NCTHW``) or B (frames, ``NTCHW``).

    The first convolution tells by the channels that it takes, and where A equals B by what it is fed. Where that says
    nothing, a size of 1 or 3 does.

    Args:
        model: The model, quiescent.
        explained: The input as it is given.
        run: Runs the model on the first sample.
        forward_context: Opened around the forward, e.g. for autocast.

    Raises:
        InputError: If both could be meant.
    """
    seen = _first_convolution_input(model, run, forward_context)
    second, third = explained.shape[1:3]
    dim = None if seen is None else _channels_seen(seen, explained[:1])
    if dim is None and (second in _USUAL_CHANNELS) != (third in _USUAL_CHANNELS):
        dim = 1 if second in _USUAL_CHANNELS else 2
    if dim is None:
        shape = f"[N, {', '.join(map(str, explained.shape[1:]))}]"
        fed = "it reaches no convolution" if seen is None else f"the first convolution is given {list(seen.shape)}"
        raise InputError(
            f"the explained input has shape {shape}, so it is unclear whether axis 1 or axis 2 holds the channels "
            f"({fed}). Name the axes with layout='NTCHW' (frames before channels), 'NCTHW' or 'NCDHW' (channels "
            "first); callbacks take it as reading=ModelReading(layout='NTCHW')"
        )
    return RECOGNIZED_VOLUME if dim == 1 else _FRAMES_SECOND


def _first_convolution_input(
    model: nn.Module, run: Callable[[], Any], forward_context: Callable[[], AbstractContextManager[Any]]
) -> Tensor | None:
    seen: list[Tensor] = []

    def note(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = next((value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)), None)
        if not seen and given is not None and given.ndim >= 4:
            seen.append(given.detach().clone())

    with ExitStack() as stack:
        for module in model.modules():
            # TorchScript runs no hooks.
            if isinstance(module, conv._ConvNd) and not isinstance(module, torch.jit.ScriptModule):  # noqa: SLF001
                handle = module.register_forward_pre_hook(note, with_kwargs=True)
                stack.callback(handle.remove)
        stack.enter_context(torch.no_grad())
        stack.enter_context(forward_context())
        run()
    return seen[0] if seen else None


def _channels_seen(seen: Tensor, fed: Tensor) -> int | None:
    """Return which dimension of ``fed [1, A, B, H, W]`` the convolution's input ``seen`` has as its channels."""
    second, third = fed.shape[1:3]
    channels = seen.shape[1]
    if second != third:
        return {second: 1, third: 2}.get(channels)
    if channels != second:
        return None
    # As many frames as channels: what it was fed is one of the two, up to a normalization.
    found = seen.reshape(-1, *seen.shape[-3:]) if seen.ndim == 4 else seen.movedim(2, 1).flatten(0, 1)
    if found.shape[-2:] != fed.shape[-2:]:
        return None
    # The model may leave frames out, or pad them.
    n_frames = min(len(found), second)
    frames_second, channels_second = fed[0, :n_frames], fed[0].transpose(0, 1)[:n_frames]
    likeness = [_correlation(found[:n_frames], one) for one in (channels_second, frames_second)]
    return None if likeness[0] == likeness[1] else 1 if likeness[0] > likeness[1] else 2


def _correlation(one: Tensor, other: Tensor) -> float:
    pair = torch.stack([one.double().flatten(), other.double().flatten()])
    return float(torch.corrcoef(pair)[0, 1].nan_to_num())
