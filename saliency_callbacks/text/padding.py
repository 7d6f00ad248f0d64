"""Which tokens of a text input are padding: the one rule for what is explained, shown and changed."""

from __future__ import annotations

from torch import Tensor

__all__ = ["find_padding"]


def find_padding(is_padding_token: Tensor, attention_mask: Tensor | None = None) -> Tensor:
    """Return which tokens are padding: as the attention mask says, else the padding token at the ends of a text.

    Tokenizers pad a text on one side, so the padding token between two words is none of theirs: there it is a token of
    another meaning that shares the id, such as the end-of-text token that separates documents where a model of the GPT
    family pads with it, or a word that is encoded as 0. The model reads it like any other token, at a position of its
    own, even if a ``padding_idx`` makes its embedding zero. Data that is padded elsewhere has to say so in an attention
    mask.

    Args:
        is_padding_token: Where the padding token stands, bool ``[N, T]``.
        attention_mask: ``[N, T]``, 0 for padding; it alone decides where it is given.

    Returns:
        Bool ``[N, T]``; all true for a text of nothing but padding.

    Example:
        >>> import torch
        >>> find_padding(torch.tensor([[1, 0, 2, 0]]) == 0)
        tensor([[False, False, False,  True]])
    """
    if attention_mask is not None:
        return attention_mask == 0
    leading = is_padding_token.cumprod(dim=1).bool()
    trailing = is_padding_token.flip(1).cumprod(dim=1).flip(1).bool()
    return leading | trailing
