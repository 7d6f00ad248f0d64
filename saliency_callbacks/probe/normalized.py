"""Where the inputs of a probe were normalized, and with what: in the dataset, a batch-transfer hook or a processor.

What a model normalizes in its own forward is never undone: the probe holds what it is fed.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from saliency_callbacks.probe.introspection import attribute, levels
from saliency_callbacks.probe.metadata import Normalization, normalization, own_normalization

__all__ = ["Normalized", "images_in", "normalized_by"]

_TOLERANCE = 1e-3
_HALF_TOLERANCE = 2e-2
_FEWEST_IMAGE_DIMENSIONS = 3


class Normalized(NamedTuple):
    """What inputs were normalized with.

    Args:
        statistics: Mean and standard deviation of each channel.
        source: Where, in words.
    """

    statistics: Normalization
    source: str


def images_in(inputs: Any) -> Tensor | None:
    """Return the only tensor of images, signals or volumes in inputs; ``None`` where there is none, or several."""
    items = inputs.values() if isinstance(inputs, dict) else inputs if isinstance(inputs, list | tuple) else [inputs]
    found = [item for item in items if isinstance(item, Tensor) and item.ndim >= _FEWEST_IMAGE_DIMENSIONS]
    return found[0] if len(found) == 1 else None


def normalized_by(
    dataset: Any, before: Tensor | None, after: Tensor | None, owners: Iterable[Any] = ()
) -> Normalized | None:
    """Find what the inputs of a probe were normalized with.

    Args:
        dataset: The dataset, whose transforms are asked first.
        before: Images as the dataset delivered them, ``[N, C, *spatial]``.
        after: The same as the model is fed them, after the module's batch-transfer hooks.
        owners: The dataset, the collate function, the datamodule and the module. Image processors of theirs are asked
            where the images cannot be anything but normalized, with values below 0; and their normalizing transforms
            where a hook has changed more than the scale.
    """
    known = normalization(dataset)
    found = None if known is None else Normalized(known, "the dataset's transforms")
    if after is None:
        return found
    in_hook = None if before is None else _fitted(before, after)
    if in_hook is not None:
        in_dataset = found or _owned(owners, before, is_hook=False)
        both = in_hook if in_dataset is None else _composed(in_dataset.statistics, in_hook)
        where = [] if in_dataset is None else [in_dataset.source]
        return Normalized(both, " and ".join([*where, "a batch-transfer hook"]))
    if found is not None:
        return found
    is_changed = before is not None and (before.shape != after.shape or not torch.equal(before.to(after), after))
    return _owned(owners, after, is_hook=is_changed)


def _owned(owners: Iterable[Any], images: Tensor | None, *, is_hook: bool) -> Normalized | None:
    if images is None or not bool((images < 0).any()):
        return None
    for owner in owners:
        for level in levels(owner, _members):
            found = {
                (statistics, type(one).__name__)
                for one in level
                if (is_hook or attribute(one, "image_mean") is not None)
                and (statistics := own_normalization(one)) is not None
            }
            if len({statistics for statistics, _ in found}) == 1:
                statistics, name = min(found)
                return Normalized(statistics, f"{name} of {getattr(owner, '__name__', type(owner).__name__)}")
    return None


def _members(owner: Any) -> list[Any]:
    """Return what an object holds that may be a processor or a transform."""
    if isinstance(owner, nn.Module):
        own = [value for name, value in vars(owner).items() if not name.startswith("_")]
        return [*owner.children(), *(one for one in own if _may_normalize(one))]
    if isinstance(owner, FunctionType):
        named = [owner.__globals__.get(name) for name in owner.__code__.co_names]
        cells = [cell.cell_contents for cell in owner.__closure__ or () if _is_filled(cell)]
        # No functions of other modules: that would be whole packages.
        return [
            one
            for one in (*cells, *named)
            if _may_normalize(one) and (not isinstance(one, FunctionType) or one.__module__ == owner.__module__)
        ]
    values = [*vars(owner).values()] if hasattr(owner, "__dict__") else []
    # Hugging Face's datasets keep their transform in a dictionary.
    inside = chain.from_iterable(value.values() for value in values if isinstance(value, dict))
    bound = (attribute(owner, "__self__"), attribute(owner, "func"))
    return [value for value in chain(values, inside, bound) if _may_normalize(value)]


def _may_normalize(value: Any) -> bool:
    if value is None or isinstance(value, type | ModuleType | BuiltinFunctionType):
        return False
    return callable(value) or attribute(value, "image_mean") is not None


def _is_filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018 (a cell of a name that is not set yet raises)
    except ValueError:
        return False
    return True


def _fitted(before: Tensor, after: Tensor) -> Normalization | None:
    """Return the mean and standard deviation that make ``after`` of ``before``; ``None`` where no such do."""
    if before.shape != after.shape:
        return None
    tolerance = _TOLERANCE if after.dtype in (torch.float32, torch.float64) else _HALF_TOLERANCE
    given, made = (one.detach().cpu().double().transpose(0, 1).flatten(1) for one in (before, after))
    centered = given - given.mean(dim=1, keepdim=True)
    spread = centered.square().sum(dim=1)
    if not given.isfinite().all() or not made.isfinite().all() or not (spread > 0).all():
        return None
    slope = (centered * made).sum(dim=1) / spread
    offset = made.mean(dim=1) - slope * given.mean(dim=1)
    error = (slope[:, None] * given + offset[:, None] - made).abs().amax()
    is_same = torch.allclose(slope, torch.ones_like(slope), atol=tolerance) and bool(
        (offset.abs() <= tolerance * made.abs().amax()).all()
    )
    if is_same or error > tolerance * made.abs().amax() or not (slope > 0).all():
        return None
    mean, std = -offset / slope, 1 / slope
    return tuple(_rounded(mean)), tuple(_rounded(std))


def _composed(first: Normalization, then: Normalization) -> Normalization:
    """Return the normalization by ``first`` and ``then`` in turn."""
    length = max(len(first[0]), len(then[0]))
    first_mean, first_std, mean, std = (_tensor(one, length) for one in (*first, *then))
    return tuple(_rounded(first_mean + first_std * mean)), tuple(_rounded(first_std * std))


def _tensor(values: tuple[float, ...], length: int) -> Tensor:
    return torch.tensor(values, dtype=torch.float64).expand(length)


def _rounded(values: Tensor) -> list[float]:
    return [float(f"{value:.6g}") for value in values.tolist()]
