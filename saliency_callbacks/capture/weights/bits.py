"""What a tensor holds, as one number."""

from __future__ import annotations

from functools import cache

import google_crc32c
import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["bit_sum", "is_readable"]

_COLUMNS = _ROWS = 4096
# Of blocks of so many rows and columns; any odd number.
_BLOCK_FACTOR = 0x5851F42D4C957F2D
# What they are multiplied into is to stay in a processor's cache; an accelerator is to be given more at once.
_ROWS_ON_CPU, _ROWS_ELSEWHERE = 32, 1024


def is_readable(tensor: Tensor) -> bool:
    """Return whether the bits of a tensor can be read: not of subclasses for quantization, nor without memory."""
    is_plain = type(tensor) in (Tensor, nn.Parameter) and tensor.layout == torch.strided
    return is_plain and not (tensor.is_meta or tensor.is_quantized or tensor.is_conj() or tensor.is_neg())


def bit_sum(tensor: Tensor) -> Tensor:
    """Return a sum in which every number counts by its bits and its position, on the tensor's device.

    Where one number differs, so does the sum. Contents that differ in several, also by signs or positions alone, have
    the same sum by a chance of about 1 in 2³². On a CPU it is the CRC-32C that processors compute; elsewhere another
    sum, so that those of two devices do not compare.

    Example:
        >>> one, other = (bit_sum(torch.tensor(values)) for values in ([1.0, -2.0], [-1.0, 2.0]))
        >>> bool(one == other)
        False
    """
    flat = tensor.detach().reshape(-1).contiguous()
    if flat.device.type == "cpu" and _reads_arrays():
        return torch.tensor(google_crc32c.value(flat.view(torch.uint8).numpy()), device=flat.device)
    return _sum_of_blocks(flat)


@cache
def _reads_arrays() -> bool:
    """Return whether the CRC is compiled, and takes an array without a copy of it."""
    try:
        ours: int = google_crc32c.value(np.zeros(4, np.uint8))
    except TypeError:
        return False
    return google_crc32c.implementation == "c" and ours == google_crc32c.value(bytes(4))


def _sum_of_blocks(flat: Tensor) -> Tensor:
    # At most 32 bits at once: an odd factor leaves the highest of 64 as it is, and two of those would cancel.
    bits = flat.view({1: torch.int8, 2: torch.int16}.get(flat.element_size(), torch.int32))
    of_columns, _ = _factors(bits.device)
    found = torch.zeros((), dtype=torch.int64, device=bits.device)
    for block in bits.split(_COLUMNS * _ROWS):
        found = found * _BLOCK_FACTOR + (_columns(block) * of_columns).sum()
    return found


def _columns(bits: Tensor) -> Tensor:
    """Return a sum over the rows for each column; the last row may be shorter."""
    of_columns, of_rows = _factors(bits.device)
    at_once = _ROWS_ON_CPU if bits.device.type == "cpu" else _ROWS_ELSEWHERE
    n_rows = bits.numel() // _COLUMNS
    whole, rest = bits[: n_rows * _COLUMNS].view(n_rows, _COLUMNS), bits[n_rows * _COLUMNS :]
    found = torch.zeros_like(of_columns)
    for part, factors in zip(whole.split(at_once), of_rows[:n_rows].split(at_once), strict=True):
        found += (part * factors).sum(dim=0)
    if rest.numel():
        found[: rest.numel()] += rest * of_rows[n_rows]
    return found


@cache
def _factors(device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the factors of columns and rows, the same everywhere: odd, so that none loses a bit of what it meets."""
    with torch.inference_mode(False), torch.no_grad():
        mixed = torch.arange(1, _COLUMNS + _ROWS + 1, device=device)
        for factor in (-0x61C8864680B583EB, -0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15):
            mixed = mixed * factor
            mixed = mixed ^ (mixed >> 29)
        of_columns, of_rows = (mixed | 1).split([_COLUMNS, _ROWS])
        return of_columns, of_rows[:, None]
