"""From what a model takes to images whose values are from 0 (black) to 1 (white), and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor

from saliency_callbacks.config.wording import counted
from saliency_callbacks.cues.basic import Cue
from saliency_callbacks.errors import CueError

__all__ = ["DisplayRange"]

_TOLERANCE = 1e-4
"""How far values may lie outside a range that they are recognized by, after resampling or in half precision."""

_OVERSHOOT = 0.05
_EIGHT_BIT_MAXIMUM = (127, 255)
"""A maximum above 1 and below these is a measurement on a scale of its own, not 8-bit pixels."""


@dataclass(frozen=True)
class DisplayRange:
    """How model inputs x relate to display images d in [0, 1]: d = (x · std + mean - low) / (high - low).

    Args:
        mean: Mean of each channel, or one for all, that the inputs were normalized with; ``None`` is 0.
        std: Standard deviation likewise; ``None`` is 1.
        low: Value of black, before the normalization.
        high: Value of white, before the normalization.

    Raises:
        CueError: A standard deviation is 0, or ``high`` is not above ``low``.
    """

    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not self.high > self.low:
            raise CueError(f"DisplayRange(low={self.low}, high={self.high}): X")
        if self.std is not None and 0 in self.std:
            raise CueError(f"DisplayRange(std={self.std}) cannot be undone; expected standard deviations above 0")

    @classmethod
    def of(cls, inputs: Tensor, normalization: tuple[Sequence[float], Sequence[float]] | None = None) -> DisplayRange:
        """Find the range of a probe's inputs ``[N, C, *spatial]``; see :meth:`of_batches`."""
        return cls.of_batches([inputs], normalization)

    @classmethod
    def of_batches(
        cls, batches: Iterable[Tensor], normalization: tuple[Sequence[float], Sequence[float]] | None = None
    ) -> DisplayRange:
        """Find the range of a probe's inputs, which may come a few at a time, by the first rule that applies.

        ==========================================  =======================================================
        Inputs                                      Black and white
        ==========================================  =======================================================
        normalized, as ``normalization`` tells      0 and 1 once that is undone; 0 and 255, or what there
                                                    is beyond these, for a mean above 1
        ``uint8``                                   0 and 255
        within [0, 1]                               0 and 1
        from 0 to at most 255, and beyond 127       0 and 255
        within [-1, 1]                              -1 and 1
        anything else                               their minimum and maximum, over the whole probe
        ==========================================  =======================================================

        Args:
            batches: The inputs, ``[N, C, *spatial]`` each. Where the range is known without them, they are not asked
                for; of ``uint8``, only the first.
            normalization: Mean and standard deviation of each channel that the inputs were normalized with.

        Raises:
            CueError: The normalization does not fit.
        """
        if normalization is not None:
            mean, std = (tuple(float(value) for value in values) for values in normalization)
            plain = cls(mean, std)
            if max(mean) <= 1 and max(std) <= 1:
                return plain
            return cls(mean, std, *_restored_range(*_extremes(map(plain.to_display, batches), (0.0, 255.0))))
        rest = iter(batches)
        first = next(rest)
        if first.dtype == torch.uint8:
            return cls(high=255.0)
        return cls(None, None, *_recognized(*_extremes(chain([first], rest), (0.0, 1.0))))

    def to_display(self, inputs: Tensor) -> Tensor:
        """Return inputs ``[N, C, *spatial]`` on the display scale, at least float32; values are not cut off."""
        mean, std = self._channels(inputs)
        return (_floating(inputs) * std + mean - self.low) / (self.high - self.low)

    def to_model(self, images: Tensor) -> Tensor:
        """Return display images as the model takes them, at least float32; the inverse of :meth:`to_display`."""
        mean, std = self._channels(images)
        return (_floating(images) * (self.high - self.low) + self.low - mean) / std

    def apply(self, cue: Cue, inputs: Tensor) -> Tensor:
        """Put a cue into model inputs.

        Only the values that the cue changes are written, so that all others keep their very bits: what the model
        answers differently is due to the cue, not to rounding on the way to the display scale and back.

        Args:
            cue: The cue.
            inputs: ``[N, C, *spatial]``, as the model takes them.

        Returns:
            Inputs of the same shape and dtype.

        Raises:
            CueError: The cue cannot be put into these inputs.
        """
        images = self.to_display(inputs).clamp(0, 1)
        cued = cue.insert(images)
        written = self.to_model(cued)
        if not inputs.is_floating_point():
            written = written.round()
        return torch.where(cued != images, written.to(inputs.dtype), inputs)

    def _channels(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation in a shape that broadcasts with ``[N, C, *spatial]``."""
        per_channel = []
        for name, values in (("mean", self.mean or (0.0,)), ("std", self.std or (1.0,))):
            if len(values) not in {1, images.shape[1]}:
                raise CueError(
                    f"the {name} of the normalization has {counted(len(values), 'value')}, but the inputs "
                    f"{list(images.shape)} have {counted(images.shape[1], 'channel')}; expected one value, or one per "
                    "channel"
                )
            column = torch.tensor(values, dtype=_floating(images[:0]).dtype, device=images.device)
            per_channel.append(column.view(1, -1, *[1] * (images.ndim - 2)))
        return per_channel[0], per_channel[1]


def _recognized(low: float, high: float) -> tuple[float, float]:
    if low >= -_TOLERANCE and high <= 1 + _TOLERANCE:
        return 0.0, 1.0
    smallest, largest = _EIGHT_BIT_MAXIMUM
    if low >= 0 and smallest < high <= largest:
        return 0.0, 255.0
    if low >= -1 - _TOLERANCE and high <= 1 + _TOLERANCE:
        return -1.0, 1.0
    # A probe of one value has no range of its own; any will do, as long as it can be undone.
    return low, (high if high > low else low + 1)


def _extremes(batches: Iterable[Tensor], default: tuple[float, float]) -> tuple[float, float]:
    """Return the least and the greatest of the finite values of all batches; ``default`` where there are none."""
    lows, highs = [], []
    for batch in batches:
        values = batch.detach()[batch.isfinite()].float()
        if values.numel():
            lows.append(float(values.min()))
            highs.append(float(values.max()))
    return (min(lows), max(highs)) if lows else default


def _restored_range(low: float, high: float) -> tuple[float, float]:
    """Return black and white of values that were normalized on a scale beyond [0, 1]: of 8-bit pixels, or their own."""
    # Resampling overshoots a little.
    margin = _OVERSHOOT * 255
    return (0.0, 255.0) if low >= -margin and high <= 255 + margin else _recognized(low, high)


def _floating(values: Tensor) -> Tensor:
    """Return values in at least float32, since a round trip in half precision would not come back."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
