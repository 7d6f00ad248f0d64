"""Values in ascending order. On a CPU NumPy sorts, with vector instructions several times faster than torch."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

__all__ = ["ascending", "kth_smallest", "sorted_with_order", "ties"]

# Below it, starting threads takes longer than they save.
_WORTH_THREADS = 2**17
# A copy of so many takes memory that is at hand already; one of all is made anew, page by page, at twice the time.
_VALUES_AT_ONCE = 2**20
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
    order = _argsort(readable)
    return readable.gather(1, order), order


def ties(sorted_values: Tensor) -> Tensor:
    """Return where, in the flattened rows ``[N, P]`` of sorted values, one equals the one before it in its row.

    Example:
        >>> ties(torch.tensor([[1.0, 1.0, 2.0], [2.0, 3.0, 3.0]]))
        tensor([1, 5])
    """
    flat = _readable(sorted_values).flatten()
    if flat.device.type == "cpu":
        array = flat.numpy()
        found = torch.from_numpy((array[1:] == array[:-1]).nonzero()[0])
    else:
        found = (flat[1:] == flat[:-1]).nonzero()[:, 0]
    found = found + 1
    # The first value of a row has none before it.
    return found[found % sorted_values.shape[1] != 0]


def kth_smallest(values: Tensor, k: int) -> Tensor:
    """Return the ``k``-th smallest value of each row of ``values [N, P]``, from 1 to P; no gradient.

    Example:
        >>> kth_smallest(torch.tensor([[3.0, 1.0, 2.0]]), 2)
        tensor([2.])
    """
    if values.device.type != "cpu":
        # `quantile` refuses more than 16 million values, and `kthvalue` refuses some devices in deterministic mode.
        return values.detach().topk(values.shape[1] - k + 1, dim=1).values[:, -1]
    parts = _readable(values).split(max(1, _VALUES_AT_ONCE // values.shape[1]))
    return torch.cat([_kth_of_part(part, k) for part in parts]).to(values.dtype)


def _kth_of_part(rows: Tensor, k: int) -> Tensor:
    array = rows.numpy().copy()
    array.partition(k - 1, axis=1)
    return torch.from_numpy(array[:, k - 1].copy())


def _argsort(values: Tensor) -> Tensor:
    """Return what sorts each row, some rows at a time in as many threads as torch has: NumPy itself sorts in one."""
    n_threads = min(torch.get_num_threads(), len(values))
    if n_threads < 2 or values.numel() < _WORTH_THREADS:
        return torch.from_numpy(values.numpy().argsort(axis=1))
    # Parts of one array, of which each thread fills its own.
    found = torch.empty(values.shape, dtype=torch.int64)

    def sort(part: tuple[Tensor, Tensor]) -> None:
        rows, order = part
        order.copy_(torch.from_numpy(rows.numpy().argsort(axis=1)))

    with ThreadPoolExecutor(n_threads) as pool:
        list(pool.map(sort, zip(values.chunk(n_threads), found.chunk(n_threads), strict=True)))
    return found


def _readable(values: Tensor) -> Tensor:
    """Return values as NumPy can sort them."""
    return values.detach().float() if values.dtype in _HALF else values.detach()
