"""Which scores every map has, asked of the table that the package keeps of them."""

from __future__ import annotations

import torch

from saliency_callbacks.scores import MAP_SCORES
from saliency_callbacks.types import Attribution

__all__ = ["MAP_TAGS"]


def _tags() -> set[str]:
    maps, nothing = torch.rand(1, 4, 4), torch.zeros(1)
    attribution = Attribution("any", maps.unsqueeze(1), maps, maps, nothing.long(), nothing)
    return {tag for score in MAP_SCORES for tag in score(attribution)}


MAP_TAGS = _tags()
assert {"entropy", "gini"} <= MAP_TAGS, "those of the first version stay"
