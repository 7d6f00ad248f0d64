"""What a monitor remembers of one method's earlier maps; all of it survives a checkpoint.

A method takes at most 64 KB of a checkpoint for each sample, however large the maps: of 16 samples and 4 methods less
than 4 MiB. Half of it are the ranks that drift is computed from, half the frames of the filmstrip.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from typing_extensions import Self, override

from saliency_callbacks.arrays.slices import ContactSheet
from saliency_callbacks.callbacks.runtime.state import ADDED, Stateful
from saliency_callbacks.callbacks.saliency.frame_marks import FrameMarks
from saliency_callbacks.scores.drift import MOST_RANKED, ranks_of_most
from saliency_callbacks.types import Outlines

__all__ = ["Frame", "Frames", "MethodHistory", "frame_size"]

_LONGEST_SIDE = 72
_MOST_PIXELS = 2048
_MOST_FRAMES = 16
_FEWEST_FRAMES = 2
_LEVELS = 127


@dataclass(frozen=True)
class Frame(Stateful):
    """A small copy of the maps of one observation, for the filmstrip and the animation.

    Args:
        moment: Title of the column.
        maps: ``float32 [N, width]`` or ``[N, height, width]``, finite.
        wrong: Whether the prediction was wrong, ``bool [N]``; ``None`` where that is not known.
        found: The boxes and masks that were found in the maps; ``None`` where nothing was looked for.
    """

    moment: str
    maps: Tensor
    wrong: Tensor | None = None
    found: FrameMarks | None = None

    @classmethod
    def of(cls, moment: str, maps: Tensor, wrong: Tensor | None = None) -> Self:
        """Shrink ``maps [N, *spatial]`` to at most 72 pixels a side and 2048 in all; of volumes the contact sheet."""
        shown = maps.float()
        if maps.ndim > 3:
            shown = torch.from_numpy(ContactSheet.of(maps.shape[1:]).arranged(shown.numpy()))
        small = torch.nan_to_num(_shrunk(shown), nan=0.0, posinf=0.0, neginf=0.0)
        return cls(moment, small, wrong).rounded()

    def with_found(self, outlines: Outlines | None, spatial: Sequence[int]) -> Self:
        """Return the frame with what was found in the maps of inputs of a spatial size."""
        return replace(self, found=FrameMarks.of(outlines, spatial, self.maps.shape[1:]))

    def rounded(self) -> Self:
        """Return the frame as a checkpoint rounds it, so that a resumed run draws the same picture."""
        return type(self).from_state_dict(self.state_dict())

    @override
    def state_dict(self) -> dict[str, Any]:
        """Return the frame at a quarter of the size: each map's peak ``[N]``, and the root of what it is of that.

        The root in 127 steps: most of a map is much lower than its peak, and is what is seen.
        """
        peak = self.maps.flatten(1).abs().amax(dim=1)
        divisor = torch.where(peak > 0, peak, torch.ones_like(peak)).reshape(-1, *[1] * (self.maps.ndim - 1))
        relative = self.maps / divisor
        root = (relative.sign() * relative.abs().sqrt() * _LEVELS).round().to(torch.int8)
        state = {"moment": self.moment, "peak": peak, "relative": root, "wrong": self.wrong}
        return state if self.found is None else {**state, "found": self.found.state_dict()}

    @classmethod
    @override
    def from_state_dict(cls, state: Mapping[str, Any]) -> Self:
        stored: Tensor = state["relative"]
        peak = state["peak"].reshape(-1, *[1] * (stored.ndim - 1))
        if stored.is_floating_point():
            # Of an earlier version, which kept larger frames.
            return cls.of(state["moment"], stored.float() * peak, state["wrong"])
        root = stored.float() / _LEVELS
        found = FrameMarks.from_state_dict(state["found"]) if "found" in state else None
        return cls(state["moment"], root * root.abs() * peak, state["wrong"], found)


@dataclass(frozen=True)
class Frames(Stateful):
    """The frames of a run, evenly thinned: the first is always kept.

    Args:
        kept: The frames, oldest first.
        stride: Observations from one kept frame to the next.
        count: Observations so far.
        limit: Most frames that are kept; of long text inputs there are fewer.
        newest: The last frame, where it is not among the kept ones.
    """

    kept: tuple[Frame, ...] = ()
    stride: int = 1
    count: int = 0
    limit: int = _MOST_FRAMES
    newest: Frame | None = None

    @property
    def shown(self) -> tuple[Frame, ...]:
        """What a story that ends now shows: the kept frames and the newest."""
        return self.kept if self.newest is None else (*self.kept, self.newest)

    def added(self, frame: Frame) -> Frames:
        """Return the frames after one more observation."""
        kept = (*self.kept, frame) if self.count % self.stride == 0 else self.kept
        stride = self.stride
        room = self.limit * _MOST_PIXELS // max(1, frame.maps[0].numel())
        while len(kept) >= max(_FEWEST_FRAMES, min(self.limit, room)):
            kept, stride = kept[::2], 2 * stride
        newest = None if kept[-1] is frame else frame
        return Frames(kept, stride, self.count + 1, self.limit, newest)


@dataclass(frozen=True)
class MethodHistory(Stateful):
    """Earlier maps of one method.

    Args:
        initial: Ranks of the first signed maps, ``[N, P]``, see :func:`~saliency_callbacks.scores.drift.ranks`: of each
            sample the first that is finite and not constant.
        previous: Ranks of the last observation's.
        scale: Largest 99th percentile of each sample's map so far, ``[N]``: the shared color scale.
        frames: Small copies for the filmstrip.
        size: Number of positions of a map, where only P of them are ranked; ``None`` where all are.
    """

    initial: Tensor | None = None
    previous: Tensor | None = None
    scale: Tensor | None = None
    frames: Frames = field(default_factory=Frames)
    size: int | None = field(default=None, metadata={ADDED: True})

    @override
    def state_dict(self) -> dict[str, Any]:
        """Return the history with its ranks as whole numbers, exactly, at half the size."""
        return {**super().state_dict(), "initial": _doubled(self.initial), "previous": _doubled(self.previous)}

    @classmethod
    @override
    def from_state_dict(cls, state: Mapping[str, Any]) -> Self:
        ranked = {name: _halved(state[name]) for name in ("initial", "previous")}
        size = state.get("size", _size(state["previous"]))
        return super().from_state_dict({**state, **ranked, "size": size})

    def compares_with(self, values: Tensor) -> bool:
        """Return whether maps with ``values [N, C, *spatial]`` are of the same number and size as the earlier ones."""
        if self.previous is None:
            return True
        count, ranked = self.previous.shape
        return (count, self.size or ranked) == (len(values), values[0, 0].numel())

    def added(self, ranks: Tensor, scale: Tensor, frame: Frame, size: int | None = None) -> MethodHistory:
        """Return the history after one more observation, of maps of ``size`` positions; by default all were ranked."""
        scale = torch.nan_to_num(scale, nan=0.0, posinf=0.0)
        return MethodHistory(
            initial=ranks if self.initial is None else _first_usable(self.initial, ranks),
            previous=ranks,
            scale=scale if self.scale is None else torch.maximum(self.scale, scale),
            frames=self.frames.added(frame),
            size=size if size and size > ranks.shape[1] else None,
        )


def _first_usable(initial: Tensor, ranks: Tensor) -> Tensor:
    """Return ``initial``, and ``ranks`` for the samples whose maps had nothing to rank.

    A network whose last layer starts at zero, as is usual in fine-tuning, has constant maps before its first step.
    """
    # NaN compares as false.
    return torch.where(initial.amax(dim=1, keepdim=True) > initial.amin(dim=1, keepdim=True), initial, ranks)


def _doubled(ranks: Tensor | None) -> Tensor | None:
    """Return ranks as ``int16``: there are halves of them, and none above 7056. 0 stands for NaN."""
    return None if ranks is None else torch.nan_to_num(2 * ranks, nan=0.0).to(torch.int16)


def _size(stored: Tensor | None) -> int | None:
    """Return the number of positions of a map, of which an earlier version kept the ranks of all."""
    return stored.shape[1] if stored is not None and stored.shape[1] > MOST_RANKED else None


def _halved(stored: Tensor | None) -> Tensor | None:
    """Return the ranks of a checkpoint."""
    if stored is None or stored.is_floating_point():
        # Of an earlier version.
        return None if stored is None else ranks_of_most(stored)
    return (stored.float() / 2).masked_fill(stored == 0, torch.nan)


def frame_size(spatial: Sequence[int]) -> list[int]:
    """Return the size of a frame's maps: the aspect of ``spatial``, at most 72 pixels a side and 2048 in all."""
    factor = min(1.0, _LONGEST_SIDE / max(spatial), math.sqrt(_MOST_PIXELS / math.prod(spatial)))
    return [max(1, round(side * factor)) for side in spatial]


def _shrunk(maps: Tensor) -> Tensor:
    spatial = maps.shape[1:]
    size = frame_size(spatial)
    if size == list(spatial):
        return maps
    # The strongest pixel stands for its neighbors: averaging would make fine gradient maps fade.
    pool = {1: F.adaptive_max_pool1d, 2: F.adaptive_max_pool2d}[len(spatial)]
    channel = maps.unsqueeze(1)
    highest, lowest = pool(channel, size), -pool(-channel, size)
    return torch.where(highest >= -lowest, highest, lowest).squeeze(1)
