"""Whether the network uses a candidate: what it does to samples of other classes, beyond what controls do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from saliency_callbacks.functional.effects import bootstrap_lower_bound, class_contrast, margin_effects

__all__ = ["Effect", "confirm"]


@dataclass(frozen=True)
class Effect:
    """What a candidate does to samples of other classes, in standard deviations of the logits.

    Args:
        mean: Mean effect.
        lower_bound: Lower bootstrap bound of it.
        control: The largest mean effect of a control.
        control_bound: Lower bootstrap bound of the effect minus that control, sample by sample.
    """

    mean: float
    lower_bound: float
    control: float
    control_bound: float

    def is_above(self, threshold: float) -> bool:
        """Whether the network uses the candidate: both bounds hold."""
        return self.lower_bound > threshold and self.control_bound > 0


def confirm(
    clean: Tensor, cued: Tensor, controls: Sequence[Tensor], class_index: int, statistic: str, *, seed: int = 0
) -> Effect:
    """Compare what a candidate and its controls do to class c.

    Args:
        clean: Logits of the samples as they are, ``[R, K]``.
        cued: Logits with the candidate.
        controls: Logits with each control.
        class_index: The class c.
        statistic: ``"effect"``, the change of the margin m_c over the scale of the clean logits; or ``"contrast"``,
            that minus the median over the other classes. See :mod:`saliency_callbacks.functional.effects`.
        seed: Of the bootstrap.
    """
    own = _values(clean, cued, class_index, statistic)
    others = [_values(clean, control, class_index, statistic) for control in controls]
    means = [float(values.nanmean()) for values in others]
    worst = max(range(len(means)), key=lambda index: -math.inf if math.isnan(means[index]) else means[index])
    return Effect(
        mean=float(own.nanmean()),
        lower_bound=float(bootstrap_lower_bound(own, seed=seed)),
        control=means[worst],
        control_bound=float(bootstrap_lower_bound(own - others[worst], seed=seed)),
    )


def _values(clean: Tensor, changed: Tensor, class_index: int, statistic: str) -> Tensor:
    effects = margin_effects(clean, changed).double()
    found = effects[:, class_index] if statistic == "effect" else class_contrast(effects, class_index)
    return torch.where(found.isfinite(), found, torch.nan)
