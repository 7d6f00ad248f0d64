"""How much a change of the input moves labels of which a sample can have several.

Logits are ``[N, K]``. Labels never interact, except in the scale of the effects.
"""

from __future__ import annotations

import torch
from torch import Tensor

from saliency_callbacks.errors import ConfigurationError, TargetError
from saliency_callbacks.functional.precision import score_dtype, widen

__all__ = ["label_effects", "label_flips"]


def label_effects(clean: Tensor, changed: Tensor) -> Tensor:
    """Return how far a change of the input moves each of several labels, [z_c(changed) - z_c(clean)] / s.

    Each label is a question of its own, with the logits [0, z_c] for no and yes. As in
    :func:`~saliency_callbacks.functional.margin_effects`, the scale s is the standard deviation over these, |z_c| / 2
    of the clean logits; here its mean over samples and labels.

    Args:
        clean: Logits of the inputs as they are, ``[N, K]``.
        changed: Logits of the same inputs with the change, ``[N, K]``.

    Returns:
        ``[N, K]`` in standard deviations; 0 for no effect. NaN where it is not finite or s is 0.

    Raises:
        ConfigurationError: If the shapes differ.

    Example:
        >>> label_effects(torch.tensor([[-2.0, 2.0]]), torch.tensor([[1.0, 2.0]]))
        tensor([[3., 0.]])
    """
    _require_same_shape(clean, changed)
    spread = widen(clean).abs() / 2
    scale = spread[spread.isfinite()].mean()
    moved = changed.to(score_dtype(changed)) - clean.to(score_dtype(clean))
    effects = moved / scale.to(moved.dtype)
    return torch.where(effects.isfinite(), effects, torch.nan)


def label_flips(clean: Tensor, changed: Tensor, suspect: int) -> Tensor:
    """Tell for which samples the change turns a label on that excludes no other, z_c ≤ 0 before and > 0 after.

    Args:
        clean: Logits of the inputs as they are, ``[N, K]``.
        changed: Logits of the same inputs with the change, ``[N, K]``.
        suspect: The label c.

    Returns:
        Bool ``[N]``; False for a sample with a NaN.

    Raises:
        ConfigurationError: If the shapes differ.
        TargetError: If the label does not exist.

    Example:
        >>> label_flips(torch.tensor([[-1.0, 1.0], [2.0, 0.0]]), torch.tensor([[2.0, 1.0], [2.0, 0.0]]), 0)
        tensor([ True, False])
    """
    _require_same_shape(clean, changed)
    if not 0 <= suspect < clean.shape[1]:
        raise TargetError(
            f"label {suspect} does not exist; expected an index from 0 to {clean.shape[1] - 1}, since there are "
            f"{clean.shape[1]} logits"
        )
    readable = ~(clean.isnan() | changed.isnan()).any(dim=1)
    return readable & (clean[:, suspect] <= 0) & (changed[:, suspect] > 0)


def _require_same_shape(clean: Tensor, changed: Tensor) -> None:
    if clean.shape != changed.shape:
        raise ConfigurationError(
            f"clean logits have shape {tuple(clean.shape)} but changed ones {tuple(changed.shape)}; give both for the "
            "same samples and labels"
        )
