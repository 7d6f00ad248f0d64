"""What a monitor remembers of one method's earlier maps; all of it survives a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from typing_extensions import Self, override

from saliency_callbacks.callbacks.runtime.state import Stateful

__all__ = ["Frame", "Frames", "MethodHistory", "frame_size"]

_LONGEST_SIDE = 72


@dataclass(frozen=True)
class Frame(Stateful):
    """A small copy of the maps of one observation, for the filmstrip and the animation.

    Args:
        moment: Title of the column.
        maps: ``float32 [N, *small_spatial]``, finite.
        wrong: Whether the prediction was wrong, ``bool [N]``; ``None`` where that is not known.
    """

    moment: str
    maps: Tensor
    wrong: Tensor | None = None

    @classmethod
    def of(cls, moment: str, maps: Tensor, wrong: Tensor | None = None) -> Frame:
        """Shrink ``maps [N, *spatial]`` to at most 72 pixels a side."""
        small = torch.nan_to_num(_shrunk(maps.float()), nan=0.0, posinf=0.0, neginf=0.0)
        # Rounded now as a checkpoint rounds it, so that a resumed run draws the same picture.
        return cls.from_state_dict(cls(moment, small, wrong).state_dict())

    @override
    def state_dict(self) -> dict[str, Any]:
        """Return the frame at half the size: each map's peak ``[N]``, and what it is relative to that in float16."""
        peak = self.maps.flatten(1).abs().amax(dim=1)
        divisor = torch.where(peak > 0, peak, torch.ones_like(peak)).reshape(-1, *[1] * (self.maps.ndim - 1))
        relative = (self.maps / divisor).half()
        return {"moment": self.moment, "peak": peak, "relative": relative, "wrong": self.wrong}

    @classmethod
    @override
    def from_state_dict(cls, state: Mapping[str, Any]) -> Self:
        relative: Tensor = state["relative"].float()
        maps = relative * state["peak"].reshape(-1, *[1] * (relative.ndim - 1))
        return cls(state["moment"], maps, state["wrong"])


@dataclass(frozen=True)
class Frames(Stateful):
    """The frames of a run, evenly thinned: the first is always kept.

    Args:
        kept: The frames, oldest first.
        stride: Observations from one kept frame to the next.
        count: Observations so far.
        limit: Most frames that are kept.
        newest: The last frame, where it is not among the kept ones.
    """

    kept: tuple[Frame, ...] = ()
    stride: int = 1
    count: int = 0
    limit: int = 16
    newest: Frame | None = None

    @property
    def shown(self) -> tuple[Frame, ...]:
        """What a story that ends now shows: the kept frames and the newest."""
        return self.kept if self.newest is None else (*self.kept, self.newest)

    def added(self, frame: Frame) -> Frames:
        """Return the frames after one more observation."""
        kept = (*self.kept, frame) if self.count % self.stride == 0 else self.kept
        stride = self.stride
        if len(kept) >= self.limit:
            kept, stride = kept[::2], 2 * stride
        newest = None if kept[-1] is frame else frame
        return Frames(kept, stride, self.count + 1, self.limit, newest)


@dataclass(frozen=True)
class MethodHistory(Stateful):
    """Earlier maps of one method.

    Args:
        initial: Ranks of the first signed maps, ``[N, P]``: of each sample the first that is finite and not constant.
        previous: Ranks of the last observation's.
        scale: Largest 99th percentile of each sample's map so far, ``[N]``: the shared color scale.
        frames: Small copies for the filmstrip.
    """

    initial: Tensor | None = None
    previous: Tensor | None = None
    scale: Tensor | None = None
    frames: Frames = field(default_factory=Frames)

    def compares_with(self, values: Tensor) -> bool:
        """Return whether maps with ``values [N, C, *spatial]`` are of the same number and size as the earlier ones."""
        return self.previous is None or self.previous.shape == (len(values), values[0, 0].numel())

    def added(self, ranks: Tensor, scale: Tensor, frame: Frame) -> MethodHistory:
        """Return the history after one more observation."""
        scale = torch.nan_to_num(scale, nan=0.0, posinf=0.0)
        return MethodHistory(
            initial=ranks if self.initial is None else _first_usable(self.initial, ranks),
            previous=ranks,
            scale=scale if self.scale is None else torch.maximum(self.scale, scale),
            frames=self.frames.added(frame),
        )


def _first_usable(initial: Tensor, ranks: Tensor) -> Tensor:
    """Return ``initial``, and ``ranks`` for the samples whose maps had nothing to rank.

    A network whose last layer starts at zero, as is usual in fine-tuning, has constant maps before its first step.
    """
    # NaN compares as false.
    return torch.where(initial.amax(dim=1, keepdim=True) > initial.amin(dim=1, keepdim=True), initial, ranks)


def frame_size(spatial: Sequence[int]) -> list[int]:
    """Return the size of a frame's maps: the aspect of ``spatial``, and at most 72 pixels a side."""
    factor = min(1.0, _LONGEST_SIDE / max(spatial))
    return [max(1, round(side * factor)) for side in spatial]


def _shrunk(maps: Tensor) -> Tensor:
    spatial = maps.shape[1:]
    size = frame_size(spatial)
    if size == list(spatial):
        return maps
    # The strongest pixel stands for its neighbors: averaging would make fine gradient maps fade.
    pool = {1: F.adaptive_max_pool1d, 2: F.adaptive_max_pool2d, 3: F.adaptive_max_pool3d}[len(spatial)]
    channel = maps.unsqueeze(1)
    highest, lowest = pool(channel, size), -pool(-channel, size)
    return torch.where(highest >= -lowest, highest, lowest).squeeze(1)
