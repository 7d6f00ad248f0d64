"""A bounded number of the positions of a map, spread over all of it.

Scores of very large maps are taken at these: a rank correlation or a Gini index of some thousand positions tells as
much as one of a million, and costs as much less.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["spread_positions"]

# The golden ratio in 32 bits. Its multiples fall between each other ever more evenly and never into step with a row of
# pixels or the stride of a layer, as those of a fixed distance would.
_GOLDEN = 0x9E3779B9
_BITS = 32


def spread_positions(count: int, most: int) -> Tensor:
    """Return up to ``most`` of ``count`` positions, in ascending order: one in each of equally long parts.

    Always the same ones, whatever the device and the state of the random number generators.

    Args:
        count: How many there are.
        most: How many are chosen where there are more.

    Returns:
        ``int64 [min(count, most)]``, all of them where there are no more.

    Example:
        >>> spread_positions(5, 8), spread_positions(12, 4)
        (tensor([0, 1, 2, 3, 4]), tensor([ 0,  4,  6, 11]))
    """
    if count <= most:
        return torch.arange(count)
    parts = torch.arange(most + 1) * count // most
    share = torch.arange(most) * _GOLDEN % 2**_BITS
    chosen: Tensor = parts[:-1] + (parts.diff() * share >> _BITS)
    return chosen
