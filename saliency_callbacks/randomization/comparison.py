"""The maps of two states of a model, compared."""

from __future__ import annotations

from collections.abc import Sequence, Sized

from torch import Tensor

from saliency_callbacks.errors import ExternalMethodError
from saliency_callbacks.randomization.states import Maps
from saliency_callbacks.scores.similarities import Similarity

__all__ = ["check_any", "compared", "nested"]


def compared(maps: Maps, others: Maps, similarities: Sequence[Similarity]) -> dict[tuple[str, str], Tensor]:
    """Return similarity and method → how alike the maps are ``[N]``, on the CPU; of the methods that both have."""
    return {
        (similarity.name, method): similarity.compare(prepared_map, others[similarity.name][method]).cpu()
        for similarity in similarities
        for method, prepared_map in maps.get(similarity.name, {}).items()
        if method in others[similarity.name]
    }


def check_any(found: Sized) -> None:
    """Check that some method has maps of all copies.

    Raises:
        ExternalMethodError: If none has.
    """
    if not found:
        raise ExternalMethodError(
            "no method has maps of all random copies, as each failed on some; expected one at least. The warnings of "
            "the methods say why"
        )


def nested(flat: dict[tuple[str, str], Tensor]) -> dict[str, dict[str, Tensor]]:
    """Return similarity → method → value."""
    found: dict[str, dict[str, Tensor]] = {}
    for (similarity, method), value in flat.items():
        found.setdefault(similarity, {})[method] = value
    return found
