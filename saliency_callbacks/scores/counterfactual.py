"""What a cue does to a model's answers, as scores."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from saliency_callbacks.functional.effects import (
    bootstrap_lower_bound,
    class_contrast,
    flips,
    margin_effects,
    margins,
)
from saliency_callbacks.functional.label_effects import label_effects, label_flips
from saliency_callbacks.targets.link import LOGITS, Link

__all__ = ["CueEffect", "Statistic", "class_margins", "cue_effect"]

Statistic = Literal["effect", "contrast"]


@dataclass(frozen=True, eq=False)
class CueEffect:
    """How a cue moves a suspect class c, sample by sample; NaN for samples that cannot tell.

    Args:
        effect: [m_c(x + cue) - m_c(x)] / s with the margin m_c = z_c - max_{j≠c} z_j and the scale s of the clean
            logits, ``[N]``.
        contrast: Effect on c minus the median effect on the other classes, ``[N]``.
        flips: 1 where the cue turns the prediction to c, else 0, ``[N]``.
        usable: Samples that can tell: not of class c, and changed by the cue; bool ``[N]``.
    """

    effect: Tensor
    contrast: Tensor
    flips: Tensor
    usable: Tensor

    def values(self, statistic: Statistic) -> Tensor:
        """Return the values ``[N]`` of a statistic."""
        return self.effect if statistic == "effect" else self.contrast

    def lower_bound(
        self, statistic: Statistic, *, confidence: float = 0.95, n_bootstrap: int = 1000, seed: int = 0
    ) -> float:
        """Return the lower bootstrap bound on the mean of a statistic; NaN for fewer than two usable samples."""
        bound = bootstrap_lower_bound(
            self.values(statistic).double(), confidence=confidence, n_bootstrap=n_bootstrap, seed=seed
        )
        return float(bound)


def cue_effect(clean: Tensor, cued: Tensor, suspect: int, usable: Tensor, link: Link = LOGITS) -> CueEffect:
    """Compare a model's answers without and with a cue.

    Args:
        clean: Outputs ``[N, K]`` of the samples as they are; a single column is read as the second of two classes.
        cued: Outputs of the same samples with the cue.
        suspect: The class that the cue might give away.
        usable: Which samples can tell, bool ``[N]``.
        link: How outputs are read. Where a sample can have several labels, the margin of each is its own logit.

    Raises:
        TargetError: If the class does not exist.
        OutputError: If there are not two classes.
    """
    clean, cued = link.columns(clean), link.columns(cued)
    # The scale is that of all samples: it describes the model, not the class.
    several = link.is_multi_label
    effects = label_effects(clean, cued) if several else margin_effects(clean, cued)
    flipped = label_flips(clean, cued, suspect) if several else flips(clean, cued, suspect)
    silent = ~usable | ~(clean.isfinite().all(dim=1) & cued.isfinite().all(dim=1))
    return CueEffect(
        effect=effects[:, suspect].masked_fill(silent, math.nan),
        contrast=class_contrast(effects, suspect).masked_fill(silent, math.nan),
        flips=flipped.to(clean.dtype).masked_fill(silent, math.nan),
        usable=usable,
    )


def class_margins(outputs: Tensor, link: Link = LOGITS) -> Tensor:
    """Return how far each class is ahead of the best other one, ``[N, K]`` in logits.

    Args:
        outputs: ``[N, K]``.
        link: How they are read. Where a sample can have several labels, each is compared with its own absence.
    """
    columns = link.columns(outputs)
    return columns if link.is_multi_label else margins(columns)
