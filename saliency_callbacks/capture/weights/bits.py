"""What a tensor holds, as one number."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["bit_sum", "is_readable"]

# A prime, so that rows of a weight that change places change the columns, too.
_COLUMNS = 4093


def is_readable(tensor: Tensor) -> bool:
    """Return whether the bits of a tensor can be read: not of subclasses for quantization, nor without memory."""
    is_plain = type(tensor) in (Tensor, nn.Parameter) and tensor.layout == torch.strided
    return is_plain and not (tensor.is_meta or tensor.is_quantized or tensor.is_conj() or tensor.is_neg())


def bit_sum(tensor: Tensor) -> Tensor:
    """Return a sum in which every number counts by its bits and its place, where the tensor is.

    Two contents have the same by a chance of 1 in 2⁶⁴, for what a training, or who draws weights, makes of them.

    Example:
        >>> one, other = (bit_sum(torch.tensor(values)) for values in ([1.0, 2.0], [2.0, 1.0]))
        >>> bool(one == other)
        False
    """
    flat = tensor.reshape(-1).contiguous()
    size = flat.element_size()
    kinds = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    bits = flat.view(kinds.get(size, torch.int64))
    whole = bits.numel() // _COLUMNS * _COLUMNS
    columns = bits[:whole].view(-1, _COLUMNS).sum(dim=0, dtype=torch.int64)
    columns[: bits.numel() - whole] += bits[whole:]
    # Odd factors, which lose no bit where the sum overflows.
    return (columns * torch.arange(1, 2 * _COLUMNS, 2, device=bits.device)).sum()
