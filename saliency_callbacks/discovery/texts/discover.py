"""Find words, lengths and punctuation that give classes of texts away, without a Trainer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from saliency_callbacks.capture.isolation.rng import isolated_rng
from saliency_callbacks.capture.text.settings import TokenSettings, read_ids
from saliency_callbacks.config.checks import checked_integer, checked_real
from saliency_callbacks.config.dotted_paths import resolve_object
from saliency_callbacks.config.hydra import plain
from saliency_callbacks.discovery.checks import checked_ids, checked_labels, searched_classes
from saliency_callbacks.discovery.outputs import N_RECOGNIZED, link_of_outputs
from saliency_callbacks.discovery.search import Search
from saliency_callbacks.discovery.suspicion import Suspicion
from saliency_callbacks.discovery.texts.kinds import text_generators
from saliency_callbacks.discovery.texts.reader import TextReader
from saliency_callbacks.discovery.texts.reading import read_texts
from saliency_callbacks.engine.settings import Settings

__all__ = ["discover_in_texts"]


def discover_in_texts(
    model: nn.Module,
    inputs: Any,
    labels: Tensor,
    *,
    kinds: Sequence[str] | str = ("tokens", "missing", "properties"),
    embedding: Any = "auto",
    tokenizer: Any = None,
    threshold: float = 0.25,
    class_names: Sequence[str] | None = None,
    ids: Sequence[object] | None = None,
    output_fn: Callable[[Any], Any] | None = None,
    attribute_to: int | str | None = None,
    internal_batch_size: int | None = 256,
    is_late: Callable[[], bool] = lambda: False,
    seed: int = 0,
) -> list[Suspicion]:
    """Look for words, lengths and punctuation that nobody named and that give a class of texts away.

    Args:
        model: The model; it is left as it was.
        inputs: Ids of tokens ``[N, T]``, alone or in a tuple or dictionary with masks and such, of training data.
        labels: Class of each text, integers ``[N]``.
        kinds: What is searched for: ``tokens``, ``missing`` ones, ``properties`` of the whole text.
        embedding: The layer that takes the ids, of which only its padding is asked; ``"auto"`` finds it.
        tokenizer: Tells how tokens are written, where words begin, and which are special or padding; see
            :func:`~saliency_callbacks.explain`. Without one, every id is a word.
        threshold: What the lower bound of an effect must exceed for a cue to be used.
        class_names: Name of each class; their indices by default.
        ids: A name for each text; 0 to N - 1 by default.
        output_fn: ``model output -> [N, classes]``.
        attribute_to: Position or key of the ids, for tuple and dictionary inputs.
        internal_batch_size: Texts that are run at once; ``None`` for all.
        is_late: Whether the time that a search may take is over; asked between kinds and between candidates.
        seed: Decides the split, and every draw.

    Raises:
        ConfigurationError: If the inputs hold no ids, the labels are no classes, or a kind is unknown.

    Example:
        >>> import torch
        >>> ids = torch.randint(2, 9, (96, 6), generator=torch.Generator().manual_seed(0))
        >>> labels = torch.arange(2).repeat(48)
        >>> ids[labels == 1, 0] = 9
        >>> model = nn.Sequential(nn.Embedding(10, 2), nn.Flatten(), nn.Linear(12, 2))
        >>> [found.what for found in discover_in_texts(model, ids, labels, kinds="tokens")]
        ['the word “9” at the start']
    """
    seed = checked_integer("seed", seed, 0)
    tokenizer = resolve_object("tokenizer", plain(tokenizer))
    settings = Settings(
        methods=(),
        output_fn=output_fn,
        attribute_to=attribute_to,
        internal_batch_size=internal_batch_size,
        seed=seed,
        tokens=TokenSettings.of(embedding, tokenizer),
    )
    search = Search(text_generators(kinds), checked_real("threshold", threshold, at_least=0), is_late=is_late)
    batch = read_ids(inputs, attribute_to)
    classes = checked_labels(labels, batch.n_samples)
    names = checked_ids(ids, batch.n_samples)
    kept = searched_classes(classes).nonzero()[:, 0]
    with isolated_rng(seed):
        samples, form = read_texts(
            model,
            batch.rows(kept),
            classes[kept],
            tuple(names[position] for position in kept.tolist()),
            settings=settings,
            tokenizer=tokenizer,
            class_names=class_names,
            seed=seed,
        )
        reader = TextReader.of_model(model, form, settings)
        link = link_of_outputs(model, reader.fed(samples.inputs[:N_RECOGNIZED]), samples.labels, settings)
        return search.run(samples, TextReader.of_model(model, form, settings, link))
