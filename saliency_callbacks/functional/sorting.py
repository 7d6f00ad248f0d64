"""Values in ascending order. On a CPU NumPy sorts, with vector instructions several times faster than torch."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["ascending", "kth_smallest", "sorted_with_order"]

_HALF = (torch.float16, torch.bfloat16)


def ascending(values: Tensor) -> Tensor:
    """Return each row of ``values [N, P]`` in ascending order, NaN last; no gradient.

    Example:
        >>> ascending(torch.tensor([[3.0, 1.0, 2.0]]))
        tensor([[1., 2., 3.]])
    """
    if values.device.type != "cpu":
        return values.detach().sort(dim=1).values
    array = _readable(values).numpy().copy()
    array.sort(axis=1)
    return torch.from_numpy(array).to(values.dtype)


def sorted_with_order(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return what sorts and ties as the rows of ``values [N, P]`` do, ascending, and its position in its row.

    The order of ties is arbitrary.
    """
    if values.device.type != "cpu":
        found = values.detach().sort(dim=1)
        return found.values, found.indices
    readable = _readable(values)
    order = torch.from_numpy(readable.numpy().argsort(axis=1))
    return readable.gather(1, order), order


def kth_smallest(values: Tensor, k: int) -> Tensor:
    """Return the ``k``-th smallest value of each row of ``values [N, P]``, from 1 to P; no gradient.

    Example:
        >>> kth_smallest(torch.tensor([[3.0, 1.0, 2.0]]), 2)
        tensor([2.])
    """
    if values.device.type != "cpu":
        # `quantile` refuses more than 16 million values, and `kthvalue` refuses some devices in deterministic mode.
        return values.detach().topk(values.shape[1] - k + 1, dim=1).values[:, -1]
    array = _readable(values).numpy().copy()
    array.partition(k - 1, axis=1)
    return torch.from_numpy(array[:, k - 1].copy()).to(values.dtype)


def _readable(values: Tensor) -> Tensor:
    """Return values as NumPy can sort them."""
    return values.detach().float() if values.dtype in _HALF else values.detach()
