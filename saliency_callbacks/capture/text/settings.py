"""What is known of a text's tokens: where its ids are, which of them are padding, and which are no words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from saliency_callbacks.capture.inputs import ModelInputs
from saliency_callbacks.capture.structure import named_key, read_structure, shared_names
from saliency_callbacks.capture.text.embedding_layer import Layout
from saliency_callbacks.errors import InputError, MethodError
from saliency_callbacks.text.ids import ID_KEYS, are_ids, entries_of, keys_of_ids
from saliency_callbacks.text.padding import find_padding
from saliency_callbacks.text.vocabulary import Vocabulary

__all__ = ["TokenSettings", "padding_of", "read_ids", "special_of"]

EMBEDDING_KEYS = ("inputs_embeds",)
"""Keys under which a dictionary holds what is embedded already."""


@dataclass(frozen=True)
class TokenSettings:
    """How text inputs are explained.

    Args:
        embedding: ``"auto"``, or a dotted name or module of the layer that takes the ids.
        pad_id: Id of the padding token.
        mask_id: Id of the token that stands for a missing word.
        special_ids: Ids of tokens that are no words of the text, such as separators.
        n_ids: Number of ids that the tokenizer has.
        looked_up: A tokenizer whose vocabulary is not known, such as a function ids → tokens: which of them are special
            is told by the tokens of the text inputs themselves.
        layout: Whether ``embedding`` is given ``[N, T]`` or ``[T, N]``; ``None`` to find out.
    """

    embedding: Any = "auto"
    pad_id: int | None = None
    mask_id: int | None = None
    special_ids: tuple[int, ...] = ()
    n_ids: int | None = None
    looked_up: Any = None
    layout: Layout | None = None

    @classmethod
    def of(cls, embedding: Any = "auto", tokenizer: Any = None) -> TokenSettings:
        """Return the settings with what a tokenizer tells.

        Args:
            embedding: As above; ``None`` for ``"auto"``.
            tokenizer: Anything that :class:`~saliency_callbacks.text.vocabulary.Vocabulary` reads, or its dotted path;
                ``None`` for none.

        Raises:
            ConfigurationError: If it is none of these.
        """
        embedding = "auto" if embedding is None else embedding
        if tokenizer is None:
            return cls(embedding)
        vocabulary = Vocabulary.of(tokenizer)
        marked = vocabulary.marked()
        is_told = vocabulary.special_ids is not None or vocabulary.size is not None
        return cls(
            embedding,
            pad_id=marked.padding,
            mask_id=marked.mask,
            special_ids=marked.special,
            n_ids=vocabulary.size,
            # Not the vocabulary itself, which is not to be pickled.
            looked_up=None if is_told else vocabulary.source,
        )

    @classmethod
    def where_given(cls, embedding: Any, tokenizer: Any) -> TokenSettings | None:
        """Return the settings; ``None`` where neither is given, as what is explained is then no text."""
        return None if embedding is None and tokenizer is None else cls.of(embedding, tokenizer)

    def seeing(self, ids: Tensor) -> TokenSettings:
        """Return the settings with what only the tokens of the text inputs tell, of ids ``[N, T]``."""
        if self.looked_up is None:
            return self
        marked = Vocabulary.of(self.looked_up).marked(ids.unique().tolist())
        return replace(
            self,
            pad_id=marked.padding if self.pad_id is None else self.pad_id,
            mask_id=marked.mask if self.mask_id is None else self.mask_id,
            special_ids=tuple(sorted({*self.special_ids, *marked.special})),
        )

    def known_pad_id(self, model: nn.Module, layer: nn.Module | None) -> int | None:
        """Return the id of the padding token as told by the tokenizer, the model's configuration, or the layer."""
        configs = (getattr(module, "config", None) for module in model.modules())
        found = [self.pad_id, *(getattr(config, "pad_token_id", None) for config in configs)]
        found.append(getattr(layer, "padding_idx", None))
        return next((int(i) for i in found if isinstance(i, int)), None)

    def replacement(self, baseline: str, pad_id: int | None) -> int:
        """Return the id that takes the place of every word in a baseline.

        Raises:
            MethodError: If there is no such token.
        """
        found = pad_id if baseline == "pad_token" else self.mask_id
        if found is None:
            example = "[PAD]" if baseline == "pad_token" else "[MASK]"
            raise MethodError(
                f"baseline {baseline!r}: there is no such token. Give a `tokenizer=` that has it (`{baseline}_id`, or "
                f"a token such as {example!r}), or use the baseline 'zeros'"
            )
        return found


def read_ids(
    inputs: Any, attribute_to: int | str | None = None, *, shared: Sequence[int | str] | None = None
) -> ModelInputs:
    """Check a batch of text inputs and find the ids of its tokens, or its embeddings ``[N, T, D]``.

    Args:
        inputs: A tensor, or a tuple, list or mapping of tensors and constants.
        attribute_to: Position or key of the ids.
        shared: Keys or positions of what all samples share.

    Raises:
        InputError: If there are no ids ``[N, T]``, several tensors could be meant, or what is shared is not among the
            inputs.
    """
    structure = read_structure(inputs, "of token ids [N, T]")
    key = None if isinstance(structure, Tensor) else _key(structure, attribute_to)
    ids = structure if key is None else structure[key]
    _check_ids(ids, "inputs" if key is None else f"inputs[{key!r}]")
    return ModelInputs(structure, key, ids, shared=shared_names(structure, shared))


def padding_of(batch: ModelInputs, pad_id: int | None) -> Tensor:
    """Return which tokens are padding, bool ``[N, T]``; see :func:`~saliency_callbacks.text.padding.find_padding`.

    Where neither an attention mask nor the padding token is known, none is.

    Raises:
        InputError: If a text has nothing else.
    """
    tokens = batch.explained
    mask = batch.structure.get("attention_mask") if isinstance(batch.structure, Mapping) else None
    has_mask = isinstance(mask, Tensor) and mask.shape == tokens.shape[:2]
    if pad_id is not None and not tokens.is_floating_point():
        pads = tokens == pad_id
    else:
        pads = torch.zeros(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
    padding = find_padding(pads, mask if has_mask else None)
    empty = padding.all(dim=1)
    if empty.any():
        raise InputError(
            f"samples {empty.nonzero()[:, 0].tolist()} consist only of padding; expected at least one token per text "
            "input. Leave out empty text inputs"
        )
    return padding


def special_of(batch: ModelInputs, padding: Tensor, special_ids: tuple[int, ...]) -> Tensor:
    """Return which tokens are neither padding nor a word of the text, bool ``[N, T]``."""
    tokens = batch.explained
    if not special_ids or tokens.is_floating_point():
        return torch.zeros_like(padding)
    return torch.isin(tokens, torch.tensor(special_ids, device=tokens.device)) & ~padding


def _key(structure: tuple[Any, ...] | Mapping[Any, Any], attribute_to: int | str | None) -> int | str:
    named = named_key(structure, attribute_to)
    if named is not None:
        return named
    entries = entries_of(structure)
    candidates = keys_of_ids(entries)
    usual = [key for key in (*ID_KEYS, *EMBEDDING_KEYS) if isinstance(entries.get(key), Tensor)]
    found = usual[:1] or candidates
    if len(found) != 1:
        raise InputError(
            f"{len(candidates)} of the inputs {sorted(map(str, entries))} could be token ids; expected one tensor of "
            f"integers [N, T], or one of the keys {list(ID_KEYS)}. Name it with `attribute_to=`"
        )
    key: int | str = found[0]
    return key


def _check_ids(tensor: Any, name: str) -> None:
    is_embedded = isinstance(tensor, Tensor) and tensor.is_floating_point() and tensor.ndim == 3
    if not (are_ids(tensor) or is_embedded) or tensor.numel() == 0:
        given = (
            f"{tensor.dtype} {list(tensor.shape)}" if isinstance(tensor, Tensor) else f"of type {type(tensor).__name__}"
        )
        raise InputError(
            f"{name} is {given}; expected token ids, integers [N, T] with N, T ≥ 1, or embeddings [N, T, D]. Images "
            "and signals are explained without `embedding=`"
        )
