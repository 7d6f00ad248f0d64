"""A word, or several, put into text inputs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

from saliency_callbacks.cues.token import TokenCue
from saliency_callbacks.discovery.texts.samples import PADDING

__all__ = ["STORED", "InsertedTokens"]

STORED = "stored"
"""In the metadata of a field of a change: ``False`` for what a checkpoint does not hold."""

Position = Literal["start", "end", "random"]


@dataclass(frozen=True, eq=False)
class InsertedTokens:
    """Neighboring tokens that are inserted into texts, as :class:`~saliency_callbacks.probe.TokenCue` does it.

    Args:
        token_ids: The tokens.
        text: How they are written.
        position: ``start``, ``end``, or ``random``, the same for the same text.
        special_ids: Ids of special tokens, which the tokens do not go beyond.
        pad_id: Id of the padding of the model's inputs, where it is known.
        tokenizer: Tells where words begin, so that none is split; without one, as after a restart from a checkpoint,
            every token is a word.

    Example:
        >>> import torch
        >>> InsertedTokens((7,), "seven", "end")(torch.tensor([[4, 5, PADDING]]))
        tensor([[4, 5, 7]])
    """

    token_ids: tuple[int, ...]
    text: str
    position: Position = "random"
    special_ids: tuple[int, ...] = ()
    pad_id: int | None = None
    tokenizer: Any = field(default=None, repr=False, metadata={STORED: False})

    def __call__(self, ids: Tensor) -> Tensor:
        """Insert the tokens into ids ``[N, T]`` that have :data:`~.samples.PADDING` for padding."""
        return self.placed(ids)[0]

    def placed(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Return ids with the tokens, and which of them are new, bool ``[N, T]``; none where there is no room."""
        is_text = ids != PADDING
        insertion = self.to_cue("tokens").insert(ids.clamp(min=0), is_text.long())
        was_text = is_text.gather(1, insertion.source) | insertion.inserted
        return insertion.ids.masked_fill(~was_text, PADDING), insertion.inserted

    def to_cue(self, name: str) -> TokenCue:
        """Return a :class:`~saliency_callbacks.probe.TokenCue`."""
        return TokenCue(
            self.text,
            self.position,
            tokenizer=self.tokenizer,
            token_ids=self.token_ids,
            special_ids=self.special_ids,
            pad_id=self.pad_id,
            name=name,
        )
