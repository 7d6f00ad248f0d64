"""Find shortcuts that nobody named, without a Trainer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from saliency_callbacks.capture.isolation.rng import isolated_rng
from saliency_callbacks.config.checks import checked_integer, checked_real
from saliency_callbacks.discovery.checks import checked_samples
from saliency_callbacks.discovery.deadline import Deadline
from saliency_callbacks.discovery.images.resized import are_of_several_sizes, brought_to_one_size, kinds_of_resized
from saliency_callbacks.discovery.kinds import checked_kinds, generators_of
from saliency_callbacks.discovery.outputs import N_RECOGNIZED, link_of_outputs
from saliency_callbacks.discovery.reader import PlainReader
from saliency_callbacks.discovery.search import Search
from saliency_callbacks.discovery.suspicion import Suspicion
from saliency_callbacks.discovery.texts.discover import discover_in_texts
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.errors import ConfigurationError, warn

__all__ = ["discover_shortcuts"]

_ROWS = 64


def discover_shortcuts(
    model: nn.Module,
    images: Any,
    labels: Tensor,
    *,
    preprocess: Callable[[Tensor], Tensor] | None = None,
    kinds: Sequence[str] | str = ("copies", "places", "properties"),
    threshold: float = 0.25,
    class_names: Sequence[str] | None = None,
    ids: Sequence[object] | None = None,
    output_fn: Callable[[Any], Any] | None = None,
    attribute_to: int | str | None = None,
    embedding: Any = None,
    tokenizer: Any = None,
    internal_batch_size: int | None = _ROWS,
    max_seconds: float | None = None,
    seed: int = 0,
    sizes: Tensor | None = None,
) -> list[Suspicion]:
    """Search for cues that give a class away, which nobody has to name.

    A third of the images of each class proposes candidates, and their bearers are counted in the others. What many
    images of one class have and hardly any of the others is inserted into images of other classes, to test whether the
    model uses it. The model is left unchanged.

    It finds pixels that many images of a class share almost exactly, and positions and properties that differ by class,
    and tests which of these the model uses. It cannot tell a planted cue from the object itself; it misses cues that
    vary; it bounds chance findings, not natural differences; and an empty list does not rule out a shortcut.

    Args:
        model: A classifier, run in evaluation mode on the device that it is on.
        images: Training images as they are stored, without augmentation: ``[N, C, H, W]`` in [0, 1] or ``uint8``, or a
            list of images of several sizes, which are resized, and searched only for properties. 96 per class are
            plenty; with fewer than 24, little is found. With ``embedding`` or ``tokenizer``, texts: token ids ``[N,
            T]``, alone or in a tuple or dictionary with masks and such.
        labels: Class of each, integers ``[N]``.
        preprocess: From images ``[n, C, H, W]`` in [0, 1] to what the model takes, such as a normalization.
        kinds: What is searched for: ``copies`` of the same pixels, ``places`` that differ by class, ``properties`` of
            the whole image. In texts: ``tokens`` (words and phrases), those that are ``missing`` from a class, and
            ``properties`` (length, punctuation); all of them by default.
        threshold: A cue counts as used if the lower bound on its effect exceeds this, in standard deviations of the
            logits over the classes.
        class_names: Name of each class; their indices by default.
        ids: A name for each image; 0 to N - 1 by default.
        output_fn: ``model output -> [N, classes]``, for outputs from which class scores cannot be read directly.
        attribute_to: Position or key of the ids of texts, for tuple and dictionary inputs.
        embedding: For texts: the layer that takes the ids, or ``"auto"`` to find it. Only its padding is asked.
        tokenizer: For texts: gives the text of tokens, where words begin, and which are special or padding; see
            :func:`~saliency_callbacks.explain`. Without one, every id is a word.
        internal_batch_size: Images that are run at once.
        max_seconds: Time limit of the search; what has not been tried by then is left out.
        seed: Decides the split of the images, and every draw.
        sizes: Height and width of each image as it was stored, ``[N, 2]``, where they were resized to one size. They
            are properties, too. Of images of several sizes, given as a list, they are taken from these.

    Returns:
        What was found, the most credible first: what the model uses, by its effect; then the rest.

    Raises:
        ProbeError: If the images or labels cannot be searched.
        OutputError: If no class scores are found.
        TargetError: If the outputs are embeddings, or there are labels without an output.

    Warns:
        SaliencyWarning: A class has fewer than 24 images, the time was too short, some kind cannot be searched for, or
            the model returns values that are not finite.

    Example:
        >>> import torch
        >>> images, labels = torch.rand(96, 1, 8, 8), torch.arange(96) % 2
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 2))
        >>> discover_shortcuts(model, images, labels)
        []
    """
    deadline = Deadline(None if max_seconds is None else checked_real("max_seconds", max_seconds, above=0))
    if embedding is not None or tokenizer is not None:
        _refuse_what_is_for_images(preprocess=preprocess, sizes=sizes)
        found = discover_in_texts(
            model,
            images,
            labels,
            kinds=kinds,
            embedding=embedding,
            tokenizer=tokenizer,
            threshold=threshold,
            class_names=class_names,
            ids=ids,
            output_fn=output_fn,
            attribute_to=attribute_to,
            internal_batch_size=internal_batch_size,
            is_late=deadline.is_over,
            seed=seed,
        )
    else:
        found = _in_images(
            model,
            images,
            labels,
            kinds=kinds,
            preprocess=preprocess,
            threshold=threshold,
            class_names=class_names,
            ids=ids,
            output_fn=output_fn,
            internal_batch_size=internal_batch_size,
            is_late=deadline.is_over,
            seed=seed,
            sizes=sizes,
        )
    if not deadline.was_met:
        warn("late search", f"the search reached max_seconds={max_seconds}, so the list may be incomplete")
    return found


def _in_images(
    model: nn.Module,
    images: Any,
    labels: Tensor,
    *,
    kinds: Sequence[str] | str,
    preprocess: Callable[[Tensor], Tensor] | None,
    threshold: float,
    class_names: Sequence[str] | None,
    ids: Sequence[object] | None,
    output_fn: Callable[[Any], Any] | None,
    internal_batch_size: int | None,
    is_late: Callable[[], bool],
    seed: int,
    sizes: Tensor | None,
) -> list[Suspicion]:
    searched = checked_kinds(kinds)
    if are_of_several_sizes(images):
        images, sizes = brought_to_one_size(images)
        searched = kinds_of_resized(searched, sizes)
    seed = checked_integer("seed", seed, 0)
    samples = checked_samples(images, labels, ids=ids, class_names=class_names, seed=seed, sizes=sizes)
    settings = Settings(methods=(), output_fn=output_fn, internal_batch_size=internal_batch_size, seed=seed)
    search = Search(
        generators_of(searched),
        checked_real("threshold", threshold, at_least=0),
        is_late=is_late,
    )
    reader = PlainReader(model, preprocess, settings)
    with isolated_rng(seed):
        link = link_of_outputs(model, reader.fed(samples.inputs[:N_RECOGNIZED]), samples.labels, settings)
        return search.run(samples, PlainReader(model, preprocess, settings, link))


def _refuse_what_is_for_images(**given: Any) -> None:
    for name, value in given.items():
        if value is not None:
            raise ConfigurationError(
                f"{name}={value!r} is for images; expected None, because text models take ids. Leave it out, or "
                "search a module that applies it internally"
            )
