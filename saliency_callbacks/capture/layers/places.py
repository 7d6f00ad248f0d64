"""Where in the explained input the places of a map lie, measured by gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations

import torch
from torch import Tensor

from saliency_callbacks.capture.norm_gradients import order_gradients

__all__ = ["Places", "View", "measure_places", "seen_alike"]

# In parts of the input's size. Half a map is half the input away from the other, as far as its receptive fields are
# narrow; with wide ones, less is left of that.
_SMALLEST_SHIFT = 0.01
_SAME = 0.05
_NEAR = 0.2
_N_DRAWS = 4


@dataclass(frozen=True)
class View:
    """How a map is turned back to the input it is about.

    Args:
        axes: For each side of the input, the side of the map that runs along it; empty for all as they are.
        flipped: Sides of the input along which the map runs backward.
    """

    axes: tuple[int, ...] = ()
    flipped: tuple[int, ...] = ()

    def undo(self, map_: Tensor) -> Tensor:
        """Turn ``[N, K, *spatial]`` back."""
        if self.axes:
            map_ = map_.permute(0, 1, *(2 + axis for axis in self.axes))
        return map_.flip([2 + axis for axis in self.flipped]) if self.flipped else map_


@dataclass(frozen=True, eq=False)
class Places:
    """Where the halves of a map lie in the input.

    Args:
        center: Center of all that the map depends on, in parts of the input's size, ``[sides]``.
        shift: From the first to the second half of the map along each of its sides, the way of that center,
            ``[sides of the map, sides of the input]``.
    """

    center: Tensor
    shift: Tensor

    @cached_property
    def view(self) -> View | None:
        """How the map is turned; ``None`` where that cannot be told."""
        n_sides = len(self.center)
        # For each side of the input, the side of the map that runs along it.
        order = max(
            permutations(range(n_sides)),
            key=lambda axes: sum(float(self.shift[a, s].abs()) for s, a in enumerate(axes)),
        )
        along = torch.stack([self.shift[axis, side] for side, axis in enumerate(order)])
        across = self.shift.abs().sum() - along.abs().sum()
        if bool((along.abs() < _SMALLEST_SHIFT).any()) or across > along.abs().sum() / 2:
            return None
        axes = () if order == tuple(range(n_sides)) else order
        return View(axes, tuple(side for side in range(n_sides) if along[side] < 0))

    @property
    def is_upright(self) -> bool:
        """Whether the map lies as the input does."""
        return self.view == View()

    def seen_from(self, view: View) -> Tensor:
        """Return the center along the sides of the map, ``[sides]``."""
        center = self.center.clone()
        center[list(view.flipped)] = 1 - center[list(view.flipped)]
        order = view.axes or tuple(range(len(center)))
        return torch.stack([center[order.index(axis)] for axis in range(len(center))])

    @cached_property
    def extent(self) -> Tensor:
        """How far the halves lie apart along each side of the input, once turned back."""
        return self.shift.abs().amax(dim=0)


def measure_places(rows: Tensor, map_: Tensor) -> Places:
    """Measure where the places of a map ``[M, K, *spatial]`` lie in the input ``rows [M, C, *spatial]``.

    The gradient of random combinations of a half of the map is squared; its center is the place of that half.

    Args:
        rows: What was fed.
        map_: A layer's output, of the same graph.
    """
    if len(rows) == 1:
        order_gradients(map_)
    n_sides = map_.ndim - 2
    centers = torch.stack(
        [torch.stack([_center(rows, map_, side, part) for part in (0, 1)]) for side in range(n_sides)]
    )
    return Places(centers.mean(dim=(0, 1)), centers[:, 1] - centers[:, 0])


def seen_alike(places: Sequence[Places]) -> list[View] | None:
    """Return how each map is turned back, if all lie at the same places then; ``None`` if not, or unknown."""
    views = [place.view for place in places]
    known = [view for view in views if view is not None]
    if len(known) < len(views):
        return None
    pairs = list(zip(places, known, strict=True))
    return known if all(_lie_alike(pairs[0], pair) for pair in pairs[1:]) else None


def _lie_alike(one: tuple[Places, View], other: tuple[Places, View]) -> bool:
    (first, first_view), (second, second_view) = one, other
    apart = (second.center - first.center).abs()
    # Striding moves all places of a map a little to one side, which is the other side where the view is flipped.
    along = (second.seen_from(second_view) - first.seen_from(first_view)).abs()
    if bool((apart > _SAME).any()) and bool(((along > _SAME) | (apart.amax() > _NEAR)).any()):
        return False
    return not bool(((second.extent - first.extent).abs() > _SAME + 0.2 * first.extent).any())


def _center(rows: Tensor, map_: Tensor, side: int, part: int) -> Tensor:
    size = map_.shape[2 + side]
    half = range(size // 2) if part == 0 else range(size - size // 2, size)
    region = torch.zeros(size, device=map_.device)
    region[half.start : half.stop] = 1
    region = region.reshape([-1 if axis == 2 + side else 1 for axis in range(map_.ndim)])
    generator = torch.Generator("cpu").manual_seed(0)
    weight = torch.zeros_like(rows, dtype=torch.float64).sum(dim=(0, 1))
    for _ in range(_N_DRAWS):
        noise = torch.randn(map_.shape, generator=generator, dtype=torch.float32, device="cpu")
        seed = (noise.to(map_.device) * region).to(map_)
        (gradient,) = torch.autograd.grad(map_, rows, seed, retain_graph=True)
        weight += gradient.double().square().sum(dim=(0, 1))
    axes = range(weight.ndim)
    along = [weight.sum(dim=[other for other in axes if other != axis]) for axis in axes]
    return torch.stack([_mean_position(profile) for profile in along])


def _mean_position(weight: Tensor) -> Tensor:
    positions = (torch.arange(len(weight), dtype=weight.dtype, device=weight.device) + 0.5) / len(weight)
    return (weight * positions).sum() / weight.sum().clamp_min(torch.finfo(weight.dtype).tiny)
