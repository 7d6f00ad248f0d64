"""What is compared of maps, kept on the CPU: ranks in 16 bits, everything else as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from saliency_callbacks.functional.similarity import inner_products
from saliency_callbacks.randomization.states import Maps
from saliency_callbacks.scores.similarities import Similarity

__all__ = ["CompactMaps", "compacted"]

_LARGEST = torch.iinfo(torch.int16).max


@dataclass(frozen=True, eq=False)
class _Compact:
    """Maps ``[N, …]`` on the CPU, as they are or as whole numbers with a step for each sample.

    Args:
        values: ``[N, …]``.
        step: ``[N, 1]``, NaN for a map that compares with none; ``None`` where the values are exact.
    """

    values: Tensor
    step: Tensor | None = None


@dataclass(frozen=True, eq=False)
class CompactMaps:
    """What is compared of the maps of one state of a model; see :func:`compacted`."""

    by_similarity: Mapping[str, Mapping[str, _Compact]]

    def compared(self, others: Maps, similarities: Sequence[Similarity]) -> dict[tuple[str, str], Tensor]:
        """Return similarity and method → how alike these maps and ``others`` are ``[N]``, on the CPU.

        Of the methods that both have.
        """
        return {
            (similarity.name, method): _compared(kept, others[similarity.name][method], similarity).cpu()
            for similarity in similarities
            for method, kept in self.by_similarity.get(similarity.name, {}).items()
            if method in others[similarity.name]
        }

    def restored(self, device: torch.device) -> Maps:
        """Return what is compared, for as long as it is."""
        return {
            similarity: {method: _restored(kept, device) for method, kept in by_method.items()}
            for similarity, by_method in self.by_similarity.items()
        }

    @property
    def methods(self) -> frozenset[str]:
        """Names of the methods."""
        return frozenset(next(iter(self.by_similarity.values())))

    @property
    def n_bytes(self) -> int:
        """How much memory they take."""
        kept = [one for by_method in self.by_similarity.values() for one in by_method.values()]
        return sum(tensor.nbytes for one in kept for tensor in (one.values, one.step) if tensor is not None)


def compacted(maps: Maps, similarities: Sequence[Similarity]) -> CompactMaps:
    """Return maps to keep: ranks rounded to 16 bits, on the CPU; what other similarities compare stays exact.

    A rank is off by at most 1 / 65,534 of the distance between the middle and the last one, and a correlation by less
    than 1e-4; for maps of thousands of positions, whose errors cancel out, by less than 1e-6.
    """
    rounded = {similarity.name for similarity in similarities if similarity.is_of_ranks}
    return CompactMaps(
        {
            similarity: {
                method: _rounded(values) if similarity in rounded else _Compact(values.cpu())
                for method, values in by_method.items()
            }
            for similarity, by_method in maps.items()
        }
    )


def _rounded(ranks: Tensor) -> _Compact:
    step = ranks.abs().amax(dim=1, keepdim=True) / _LARGEST
    values = (ranks / step).round_().nan_to_num_(0).to(torch.int16)
    return _Compact(values.cpu(), step.cpu())


def _compared(kept: _Compact, other: Tensor, similarity: Similarity) -> Tensor:
    if kept.step is None:
        return similarity.compare(kept.values.to(other.device), other)
    # Of ranks it is their inner product, which needs no copy of them in another precision.
    products = _products(kept.values, other).to(other.device)
    return (products * kept.step.to(other.device)[:, 0]).clamp(-1, 1)


def _products(whole: Tensor, other: Tensor) -> Tensor:
    """Return the inner product of each row of whole numbers on the CPU with that of ``other``, ``[N]``."""
    if other.device.type != "cpu":
        return inner_products(whole.to(other.device), other)
    # It multiplies what it has just converted, a few thousand at a time, in half of the time that torch takes.
    return torch.from_numpy(np.einsum("np,np->n", whole.numpy(), other.numpy()))


def _restored(kept: _Compact, device: torch.device) -> Tensor:
    values = kept.values.to(device)
    return values if kept.step is None else values * kept.step.to(device)
