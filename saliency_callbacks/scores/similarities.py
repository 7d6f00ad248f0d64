"""How alike the maps of two states of a model are, by name.

Many states are compared in pairs, so what concerns one map alone is done once (``prepare``), and ``compare`` takes two
prepared tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from torch import Tensor

from saliency_callbacks.errors import ConfigurationError, nearest_names
from saliency_callbacks.functional.maps import reduce_channels, signed_map
from saliency_callbacks.functional.ranks import unit_ranks
from saliency_callbacks.functional.similarity import cosine, inner_products, top_k_overlap
from saliency_callbacks.functional.structure import hog_similarity, ssim
from saliency_callbacks.types import Reduction

__all__ = ["SIMILARITIES", "Comparable", "Similarity", "resolve_similarities"]


class Comparable(Protocol):
    """What is compared of an :class:`~saliency_callbacks.types.Attribution`: everything but what is drawn."""

    @property
    def values(self) -> Tensor:
        """Raw signed values, ``[N, C, *spatial]``."""

    @property
    def magnitude(self) -> Tensor:
        """Non-negative map at the input's resolution, ``[N, *spatial]``."""

    @property
    def reduction(self) -> Reduction | None:
        """How ``magnitude`` follows from the channels of ``values``, before it is resized."""

    @property
    def counted(self) -> Tensor | None:
        """Which positions of ``magnitude`` count; ``None`` for all."""


@dataclass(frozen=True)
class Similarity:
    """A way to compare the maps of the same samples in two states of a model.

    Args:
        name: Key of the result and part of the logged tags.
        compares: What of an attribution is compared: its ``signed`` channel sum, or its non-negative ``magnitude``.
        prepare: From an attribution to the tensor ``[N, ...]`` that ``compare`` takes.
        compare: From two prepared tensors to one value a sample, ``[N]``: 1 for maps that are the same, NaN where one
            of them is constant or not finite.
        is_of_ranks: Whether what is compared are ranks, which 16 bits tell well enough.

    Example:
        >>> import torch
        >>> from saliency_callbacks import explain
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2))
        >>> before = explain(model, torch.rand(2, 3, 2, 2), methods="gradient", target=0)["gradient"]
        >>> cosine_of = SIMILARITIES["cosine"]
        >>> cosine_of.compare(cosine_of.prepare(before), -cosine_of.prepare(before)).round(decimals=4)
        tensor([-1., -1.])
    """

    name: str
    compares: Literal["signed", "magnitude"]
    prepare: Callable[[Comparable], Tensor]
    compare: Callable[[Tensor, Tensor], Tensor]
    is_of_ranks: bool = False


def _signed(attribution: Comparable) -> Tensor:
    maps = signed_map(attribution.values)
    return _silenced(maps, _counted_of(maps, attribution))


def _magnitude(attribution: Comparable) -> Tensor:
    return _silenced(attribution.magnitude, attribution.counted)


def _silenced(maps: Tensor, counted: Tensor | None) -> Tensor:
    """Return maps that are 0 where they do not count."""
    return maps if counted is None else maps.masked_fill(~counted, 0)


def _reduced(attribution: Comparable) -> Tensor:
    """Return the non-negative map at the method's own resolution, whose positions resizing has not made more alike."""
    if attribution.reduction is None:
        return _magnitude(attribution)
    maps = reduce_channels(attribution.values, attribution.reduction)
    return _silenced(maps, _counted_of(maps, attribution))


def _signed_ranks(attribution: Comparable) -> Tensor:
    return _ranks(signed_map(attribution.values), attribution)


def _reduced_ranks(attribution: Comparable) -> Tensor:
    return _ranks(_reduced(attribution), attribution)


def _ranks(maps: Tensor, attribution: Comparable) -> Tensor:
    counted = _counted_of(maps, attribution)
    return unit_ranks(maps, None if counted is None else counted.flatten(1))


def _counted_of(maps: Tensor, attribution: Comparable) -> Tensor | None:
    """Return which positions of ``maps`` count."""
    # A map at a layer of its own resolution has other positions than the sample.
    counted = attribution.counted
    return counted if counted is not None and counted.shape == maps.shape else None


def _inner_product(a: Tensor, b: Tensor) -> Tensor:
    return inner_products(a, b).clamp(-1, 1)


_ALL = (
    Similarity("spearman", "signed", _signed_ranks, _inner_product, is_of_ranks=True),
    Similarity("abs_spearman", "magnitude", _reduced_ranks, _inner_product, is_of_ranks=True),
    Similarity("ssim", "magnitude", _magnitude, ssim),
    Similarity("hog", "magnitude", _magnitude, hog_similarity),
    Similarity("cosine", "signed", _signed, cosine),
    Similarity("top_k", "magnitude", _reduced, top_k_overlap),
)

SIMILARITIES: Mapping[str, Similarity] = {similarity.name: similarity for similarity in _ALL}
"""Every similarity by its name."""


def resolve_similarities(names: str | Sequence[str]) -> tuple[Similarity, ...]:
    """Return the similarities called ``names``, in their order.

    Args:
        names: A name, or a list of names.

    Raises:
        ConfigurationError: If a name is unknown or given twice, or none is given.

    Example:
        >>> [similarity.compares for similarity in resolve_similarities(["spearman", "ssim"])]
        ['signed', 'magnitude']
    """
    given = [names] if isinstance(names, str) else list(names)
    if not given:
        raise ConfigurationError(f"similarities is empty; expected at least one of {list(SIMILARITIES)}")
    for name in given:
        if name not in SIMILARITIES:
            near = nearest_names(str(name), SIMILARITIES, limit=len(SIMILARITIES))
            raise ConfigurationError(f"similarity {name!r} is unknown; {near}")
    twice = sorted({name for name in given if given.count(name) > 1})
    if twice:
        raise ConfigurationError(f"similarities {twice} appear twice. Name each only once")
    return tuple(SIMILARITIES[name] for name in given)
