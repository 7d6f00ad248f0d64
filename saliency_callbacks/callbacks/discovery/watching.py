"""The effect of a confirmed suspicion, measured at every evaluation from then on, whether it is found again or not."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from saliency_callbacks.callbacks.discovery.state import Known
from saliency_callbacks.callbacks.discovery.stored import as_kept
from saliency_callbacks.discovery.reader import ModelReader
from saliency_callbacks.discovery.samples import Samples
from saliency_callbacks.functional.effects import bootstrap_lower_bound, class_contrast, margin_effects
from saliency_callbacks.scores import mean_of_finite

__all__ = ["Watched", "watch"]

_MOST_RECIPIENTS = 64


@dataclass(frozen=True)
class Watched:
    """What a cue did to samples of other classes.

    Args:
        effect: Mean effect, or contrast for what changes the whole input, in standard deviations of the logits.
        lower_bound: Lower bootstrap bound of it.
    """

    effect: float
    lower_bound: float


def watch(one: Known, samples: Samples, reader: ModelReader) -> Watched:
    """Put a suspected cue into up to 64 samples of other classes, the same at every evaluation.

    Args:
        one: The suspicion.
        samples: What is searched.
        reader: The model.
    """
    suspicion = one.suspicion
    bearers = {*suspicion.bearers}
    can_tell = torch.tensor([str(name) not in bearers for name in samples.ids]) & (
        samples.labels != suspicion.class_index
    )
    recipients = samples.chosen(can_tell.nonzero()[:, 0], _MOST_RECIPIENTS, "watch").sort().values
    clean = samples.inputs[recipients]
    # As a resumed run has it, so that both measure the same.
    change = as_kept(suspicion.change)
    logits = reader.logits(torch.cat([clean, change(clean)])).split(len(clean))
    values = _values(logits[0], logits[1], suspicion.class_index, suspicion.statistic)
    return Watched(mean_of_finite(values), float(bootstrap_lower_bound(values.double(), seed=samples.seed)))


def _values(clean: Tensor, cued: Tensor, class_index: int, statistic: str) -> Tensor:
    effects = margin_effects(clean, cued)
    return effects[:, class_index] if statistic == "effect" else class_contrast(effects, class_index)
