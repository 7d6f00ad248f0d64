"""Text inputs, read for a search: the samples, and how ids become inputs of the model."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from torch import Tensor, nn

from saliency_callbacks.capture.inputs import ModelInputs
from saliency_callbacks.capture.text.embedding_layer import find_embedding
from saliency_callbacks.capture.text.settings import TokenSettings, padding_of, read_ids, special_of
from saliency_callbacks.discovery.texts.form import TextForm
from saliency_callbacks.discovery.texts.samples import PADDING, TextSamples
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.errors import InputError, LayerError

__all__ = ["read_texts"]


def read_texts(
    model: nn.Module,
    inputs: Any,
    labels: Tensor,
    ids: Sequence[object],
    *,
    settings: Settings,
    tokenizer: Any = None,
    class_names: Sequence[str] | None = None,
    seed: int = 0,
) -> tuple[TextSamples, TextForm]:
    """Return text inputs as samples to search, and how ids become inputs of the model.

    Padding is what the attention mask says; without one, the padding token at the ends of a text, as named by the
    tokenizer, the model's configuration or the embedding layer.

    Args:
        model: The model.
        inputs: Ids ``[N, T]``, alone or in a tuple or dictionary with masks and such.
        labels: ``int64 [N]``.
        ids: A name for each sample.
        settings: How the model is run; its ``tokens`` tell how texts are read.
        tokenizer: Tells how tokens are written, and which are special.
        class_names: Name of each class.
        seed: Decides the split, and every draw.

    Raises:
        InputError: If there are no ids, a text is nothing but padding, or something goes with the tokens that cannot
            be made for other texts.
    """
    tokens = settings.tokens or TokenSettings.of("auto", tokenizer)
    batch = read_ids(inputs, settings.attribute_to)
    found = batch.explained
    if found.is_floating_point():
        raise InputError(
            f"the inputs are embeddings {list(found.shape)}, in which no words can be found; expected token ids, "
            "integers [N, T]"
        )
    tokens = tokens.seeing(found)
    padding = padding_of(batch, tokens.known_pad_id(model, _embedding(model, batch, settings, tokens)))
    special = special_of(batch, padding, tokens.special_ids)
    form = TextForm.of(batch, padding)
    samples = TextSamples(
        found.masked_fill(padding, PADDING).long().cpu(),
        labels.cpu(),
        ids,
        class_names,
        seed,
        special_ids=tuple(found[special].unique().tolist()),
        tokenizer=tokenizer,
        pad_id=form.pad_id if padding.any() else None,
    )
    return samples, form


def _embedding(model: nn.Module, batch: ModelInputs, settings: Settings, tokens: TokenSettings) -> nn.Module | None:
    """Return the layer that embeds the ids, by running one text; ``None`` where there is none, as in bags of words."""
    first = _first_row(batch, settings)
    with suppress(LayerError), settings.quiescent(model) as running:
        return find_embedding(model, first, tokens.embedding, running.forward_context, tokens.layout).module
    return None


def _first_row(batch: ModelInputs, settings: Settings) -> ModelInputs:
    row = batch.explained.new_zeros(1).long()
    return read_ids(batch.rows(row), batch.attribute_to, shared=settings.shared)
