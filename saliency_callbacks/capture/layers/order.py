"""Whether the positions of a map come from the places of the input that they are taken to lie at.

Shapes do not tell: tokens that are shuffled, as for masking, regrouped for pooling, read backwards, or column by
column, have the same. So halves of the input are changed, along each dimension, and the positions that change with them
are looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import NamedTuple

import torch
from torch import Tensor

from saliency_callbacks.capture.layers.layout import SpatialLayout

__all__ = ["HalfChanged", "Order", "halves_changed", "lies_in_place", "most_varied", "order_of"]

# Of tokens in any other order, half; of patches, all; of what a deep convolutional network puts out, more than this.
_LEAST_SHARE = 0.6
# Each position has to answer to one half of the input and hardly to the other, and there have to be some: attention may
# well fill a few tokens with what it has found at other ones.
_LEAST_DIFFERENCE = 0.8
_FEWEST = 8
# Of a map that is zero nearly everywhere, as behind a ReLU, a few positions say nothing about the others.
_LEAST_ANSWERS, _LEAST_SHARE_OF_ANSWERS = 40, 0.5
# Few channels may change more with one half than with the other by chance, each position in its own way.
_FEWEST_CHANNELS = 16
# Over the layers of one model of most families of timm and torchvision, maps in order had .95 or more; those of the
# first stages of Hiera had half of it or less.
_LEAST_AGREEMENT = 0.65
# In parts of the mean change. What changes less answers to neither half, as padding does.
_LEAST_CHANGE = 1e-3


class Order(Enum):
    """What is known of the order of a map's positions."""

    AS_THE_INPUT = "as the input"
    """As that of the input, as far as any position answers to one half alone."""
    ANOTHER = "another"
    """Sure to be another one."""
    UNKNOWN = "unknown"
    """Nothing, as the map does not change, or not to numbers."""


class HalfChanged(NamedTuple):
    """An input whose halves along a dimension were changed.

    Args:
        dim: The dimension, of ``[1, C, *spatial]``.
        first: With another first half.
        last: With another last half.
    """

    dim: int
    first: Tensor
    last: Tensor


def most_varied(rows: Tensor) -> int:
    """Return which of some samples ``[N, C, *spatial]`` varies most; the first ones may be blank, or no numbers."""
    spread = rows.detach().flatten(1).float().std(dim=1)
    return int(spread.nan_to_num(0, posinf=0).argmax())


def halves_changed(sample: Tensor) -> list[HalfChanged]:
    """Change the halves of a sample ``[1, C, *spatial]``, by noise, along each dimension that has halves."""
    scale = float(sample.float().std())
    generator = torch.Generator("cpu").manual_seed(0)
    noise = torch.randn(sample.shape, generator=generator, device="cpu").to(sample) * (scale if scale > 0 else 1)
    changed = []
    for dim in range(2, sample.ndim):
        size = sample.shape[dim]
        if size > 1:
            halves = torch.arange(size, device=sample.device) < size // 2
            halves = halves.reshape([-1 if axis == dim else 1 for axis in range(sample.ndim)])
            changed.append(HalfChanged(dim, sample + noise * halves, sample + noise * ~halves))
    return changed


def order_of(before: Tensor, changed: Sequence[HalfChanged], layout: SpatialLayout) -> Order:
    """Return what the changes of a map tell of the order of its positions.

    Each position answers to the first half, the last one, or both: r = (f - l) / (f + l) in [-1, 1]. Where most answer
    to one half alone (mean |r|), those of the first half have to come first: (Σ r before a cut - Σ r behind it) / Σ |r|
    for the best cut, as padding may have moved the middle. Maps in order have nearly all of it, others half or less.

    Another order is sure where this holds of all positions alike and of each as far as it changes: a few that change
    most tell little, and many that hardly change tell nothing.

    Args:
        before: What a layer puts out for one sample.
        changed: What it puts out after each change.
        layout: How that is read as a map.
    """
    map_ = _map(before, layout)
    found = [
        _answers(_size(_map(one.first, layout) - map_), _size(_map(one.last, layout) - map_), one.dim - 2)
        for one in changed
        if map_.shape[one.dim] >= _FEWEST and map_.shape[1] >= _FEWEST_CHANNELS
    ]
    if None in found:
        return Order.UNKNOWN
    is_another = any(all(map(_is_another, ways)) for ways in found if ways)
    return Order.ANOTHER if is_another else Order.AS_THE_INPUT


def lies_in_place(run: Callable[[Tensor], Tensor], sample: Tensor, layout: SpatialLayout) -> bool:
    """Return whether the tokens of half of the input are those that change with it, along every dimension.

    Args:
        run: What is fed ``[1, C, *spatial]`` → tokens that no attention has mixed yet.
        sample: What is changed, ``[1, C, *spatial]``.
        layout: Where the tokens are taken to lie.
    """
    # Changed without a gradient: a first part of the model that records none is seen, too.
    before = _map(run(sample), layout)
    return not any(
        _share_of_first_half(_map(run(one.first), layout) - before, one.dim) < _LEAST_SHARE
        for one in halves_changed(sample)
        if before.shape[one.dim] > 1
    )


class _Answers(NamedTuple):
    """How positions answer to the halves along a dimension.

    Args:
        difference: Mean |r|, in [0, 1]: 0 where all answer to both halves alike.
        agreement: How much of that comes in the order of the halves, in [-1, 1].
    """

    difference: float
    agreement: float


def _answers(first: Tensor, last: Tensor, dim: int) -> tuple[_Answers, ...] | None:
    """Return the answers to changes of sizes ``[*spatial]``, of all positions alike and of each as far as it changes.

    None of them where few positions change, and ``None`` where no position does.
    """
    first, last = first / first.mean(), last / last.mean()
    changes = first + last
    does_answer = changes > 2 * _LEAST_CHANGE
    if not bool(does_answer.any()):
        return None
    n_answers = int(does_answer.sum())
    if n_answers < max(_LEAST_ANSWERS, _LEAST_SHARE_OF_ANSWERS * does_answer.numel()):
        return ()
    answers = torch.where(does_answer, (first - last) / changes, 0)
    return _weighted(answers, does_answer, dim), _weighted(answers, changes, dim)


def _weighted(answers: Tensor, weights: Tensor, dim: int) -> _Answers:
    weighted = (answers * weights).movedim(dim, 0)
    whole = weighted.abs().sum()
    ahead = weighted.reshape(len(weighted), -1).sum(dim=1).cumsum(dim=0)
    agreement = (2 * ahead - ahead[-1]).max() / whole
    return _Answers(float(whole / weights.sum()), float(agreement))


def _is_another(answers: _Answers) -> bool:
    return answers.difference > _LEAST_DIFFERENCE and answers.agreement < _LEAST_AGREEMENT


def _share_of_first_half(change: Tensor, dim: int) -> float:
    size = _size(change).movedim(dim - 2, 0)
    half = len(size) // 2
    # A middle does not count.
    first, last = size[:half].sum(), size[len(size) - half :].sum()
    return float(first / (first + last))


def _size(change: Tensor) -> Tensor:
    return change[0].float().cpu().double().square().sum(dim=0)


def _map(output: Tensor, layout: SpatialLayout) -> Tensor:
    # Of one sample, so that samples may as well come second.
    is_sequence = output.ndim == 3 and layout.batch_dim == 0
    return layout.to_map(output.reshape(1, -1, output.shape[-1]) if is_sequence else output)
