"""When an alarm is on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from saliency_callbacks.callbacks.runtime.settings import set_field
from saliency_callbacks.config.checks import checked_choice, checked_integer, checked_real
from saliency_callbacks.scores.counterfactual import CueEffect, Statistic

__all__ = ["AlarmRule"]


@dataclass(frozen=True)
class AlarmRule:
    """When the alarm is on: while the lower bound on a mean exceeds a threshold, in several evaluations in a row.

    Args:
        statistic: ``effect`` of the cue on the suspect class, ``contrast`` with the other classes, or ``auto``: the
            contrast for a cue that changes more than half of the image and so moves every class, else the effect.
        threshold: An evaluation counts if its lower bound, in standard deviations of the logits, exceeds this.
        patience: How many evaluations in a row must count.
        confidence: Confidence of the lower bound, in (0, 1).
        n_bootstrap: Resamples of the bootstrap.

    Raises:
        ConfigurationError: If one of them is out of its range.

    Example:
        >>> AlarmRule(threshold=0.5, patience=3).watched(is_global=False)
        'effect'
    """

    statistic: Literal["effect", "contrast", "auto"] = "auto"
    threshold: float = 0.25
    patience: int = 2
    confidence: float = 0.95
    n_bootstrap: int = 1000

    def __post_init__(self) -> None:
        checked_choice("statistic", self.statistic, ("effect", "contrast", "auto"))
        set_field(self, "threshold", checked_real("threshold", self.threshold))
        set_field(self, "patience", checked_integer("patience", self.patience, 1))
        set_field(self, "confidence", checked_real("confidence", self.confidence, above=0, below=1))
        set_field(self, "n_bootstrap", checked_integer("n_bootstrap", self.n_bootstrap, 1))

    def watched(self, *, is_global: bool) -> Statistic:
        """Return the statistic for a cue that changes most of the image, and so may move every class, or for others."""
        if self.statistic != "auto":
            return self.statistic
        return "contrast" if is_global else "effect"

    def lower_bound(self, effect: CueEffect, statistic: Statistic, seed: int) -> float:
        """Return the lower bound on the mean of a statistic."""
        return effect.lower_bound(statistic, confidence=self.confidence, n_bootstrap=self.n_bootstrap, seed=seed)
