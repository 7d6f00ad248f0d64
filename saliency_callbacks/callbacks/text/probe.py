"""The text inputs of a probe, read by the tokenizer, or by the model where there is none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from saliency_callbacks.callbacks.runtime import notices
from saliency_callbacks.capture.text.inputs import TokenInputs
from saliency_callbacks.capture.text.settings import read_ids
from saliency_callbacks.config.wording import counted
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.text.token_texts import TokenTexts, WordFunction, token_texts

__all__ = ["texts_of", "with_embedding"]


def texts_of(probe: ProbeBatch, settings: Settings, tokenizer: Any, words: WordFunction | None = None) -> TokenTexts:
    """Return the text inputs behind the probe's ids.

    Raises:
        ConfigurationError: If there are no ids, the tokenizer is not the one they were made with, or ``words`` does not
            tell the word of each token.
    """
    ids, mask = _ids_and_mask(probe, settings)
    texts = token_texts(tokenizer, ids, mask, words)
    cut = texts.full.nonzero()[:, 0].tolist()
    if cut:
        notices.warn(
            "cut text inputs",
            f"the probe contains {counted(len(cut), 'text input')} of the tokenizer's maximum length, which may have "
            f"been truncated (samples {', '.join(probe.ids[sample] for sample in cut[:8])})",
        )
    return texts


def with_embedding(
    model: nn.Module,
    inputs: Any,
    probe: ProbeBatch,
    settings: Settings,
    texts: TokenTexts | None,
    words: WordFunction | None = None,
) -> tuple[Settings, TokenTexts]:
    """Return the settings with the embedding layer that was found, and the text inputs.

    Args:
        model: The explained module.
        inputs: The probe's inputs, on its device.
        probe: The probe.
        settings: How it is explained.
        texts: The probe's texts; ``None`` without a tokenizer, where every id is a word, and what the mask or the model
            calls padding is padding.
        words: A user's function that tells the words, for text inputs without a tokenizer.
    """
    assert settings.tokens is not None, "a callback for text inputs"
    tokens = settings.tokens
    with settings.quiescent(model) as running:
        batch = running.read(model, inputs)
    assert isinstance(batch, TokenInputs), "read as text inputs"
    if texts is None:
        texts = _numbers(batch.ids.cpu(), batch.padding.cpu(), words)
    tokens = replace(tokens, embedding=batch.name or tokens.embedding, layout=batch.layout)
    return replace(settings, tokens=tokens), texts


def _ids_and_mask(probe: ProbeBatch, settings: Settings) -> tuple[Tensor, Tensor | None]:
    batch = read_ids(probe.inputs, settings.attribute_to)
    if batch.explained.is_floating_point():
        raise ConfigurationError(
            "the probe holds embeddings, for which no words can be shown; expected token ids. Use explain(model, "
            "inputs, embedding='auto')"
        )
    mask = batch.structure.get("attention_mask") if isinstance(batch.structure, dict) else None
    return batch.explained, mask if isinstance(mask, Tensor) and mask.shape == batch.explained.shape else None


def _numbers(ids: Tensor, padding: Tensor, words: WordFunction | None) -> TokenTexts:
    vocabulary = [str(index) for index in range(int(ids.max()) + 1)]
    return token_texts(vocabulary, ids, (~padding).to(torch.int64), words)
