"""What attention says of each token: the formulas of rollout, gradient × attention and LeGrad.

Layers come in execution order. Rollout and gradient × attention multiply a matrix for each layer; only the row of what
the score is computed from is needed, so that a vector goes through the layers from the last to the first.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from saliency_callbacks.errors import ConfigurationError

__all__ = ["attention_relevance", "attention_rollout", "attention_sensitivity"]


def attention_rollout(weights: Sequence[Tensor], readout: Tensor) -> Tensor:
    """Return the row of what is read out of Â_L ⋯ Â_1, with Â = (A + I) / 2, A the mean over the heads.

    A layer with other queries than tokens has no residual connection: Â = A.

    Args:
        weights: Mean over the heads of each layer's attention weights, ``[N, T, S]``.
        readout: Share of each query of the last layer in what is read out, ``[N, T]``.

    Returns:
        ``[N, S]``, at least 0; sums to 1 for each sample.

    Raises:
        ConfigurationError: If there is no layer.

    Reference:
        Abnar & Zuidema 2020, arXiv 2005.00928, Eq. 1 and 2.

    Example:
        >>> weights = torch.tensor([[[0.5, 0.5], [0.0, 1.0]]])
        >>> attention_rollout([weights], torch.tensor([[1.0, 0.0]]))
        tensor([[0.7500, 0.2500]])
    """
    row = readout
    for layer in reversed(_checked(weights)):
        through = _times(row, layer)
        row = (row + through) / 2 if layer.shape[1] == layer.shape[2] else through
    return row


def attention_relevance(relevance: Sequence[Tensor], readout: Tensor) -> Tensor:
    """Return the row of what is read out of R - I, with R ← R + Ā R for each layer, Ā = E_h[(∇A ⊙ A)⁺], R = I at first.

    The I that R starts from is left out: it gives every token that is read out its share, whatever it says, which would
    hide what attention brings wherever tokens are pooled. A class token has no place in the input, so that nothing is
    left out of its map.

    A layer with other queries than tokens has no residual connection: R ← Ā R.

    Args:
        relevance: Ā of each layer, ``[N, T, S]``.
        readout: As of :func:`attention_rollout`.

    Returns:
        ``[N, S]``, at least 0.

    Raises:
        ConfigurationError: If there is no layer.

    Reference:
        Chefer et al. 2021, arXiv 2103.15679, Eq. 5 and 6.

    Example:
        >>> relevance = torch.tensor([[[0.5, 0.5], [0.0, 1.0]]])
        >>> attention_relevance([relevance], torch.tensor([[1.0, 0.0]]))
        tensor([[0.5000, 0.5000]])
    """
    # Apart from what is read out, which it may be much smaller than.
    direct, row = readout, torch.zeros_like(readout)
    for layer in reversed(_checked(relevance)):
        through = _times(direct + row, layer)
        if layer.shape[1] == layer.shape[2]:
            row = row + through
        else:
            direct, row = torch.zeros_like(through), through
    return row


def attention_sensitivity(sensitivity: Sequence[Tensor]) -> Tensor:
    """Return the mean over the layers of E_{h,t}[(∇A)⁺], the map of LeGrad.

    Args:
        sensitivity: Mean over heads and queries of the positive gradient of each layer's weights, ``[N, S]``.

    Returns:
        ``[N, S]``, at least 0.

    Raises:
        ConfigurationError: If there is no layer, or the layers have different tokens.

    Reference:
        Bousselham et al. 2024, arXiv 2404.03214, Eq. 6 to 8.

    Example:
        >>> attention_sensitivity([torch.tensor([[0.0, 2.0]]), torch.tensor([[2.0, 2.0]])])
        tensor([[1., 2.]])
    """
    shapes = {tuple(layer.shape) for layer in _checked(sensitivity)}
    if len(shapes) > 1:
        raise ConfigurationError(
            f"the layers have sensitivities of shapes {sorted(shapes)}; expected the same tokens [N, S] in all of them"
        )
    return torch.stack(list(sensitivity)).mean(dim=0)


def _times(row: Tensor, layer: Tensor) -> Tensor:
    # Parts of a model may run in other precisions.
    dtype = torch.promote_types(row.dtype, layer.dtype)
    return torch.bmm(row.unsqueeze(1).to(dtype), layer.to(dtype)).squeeze(1)


def _checked(layers: Sequence[Tensor]) -> Sequence[Tensor]:
    if not layers:
        raise ConfigurationError("no attention layer was given; give at least one")
    return layers
