"""What the numbers of a model's output are, and what it answers by them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

__all__ = ["LOGITS", "Kind", "Link", "Predictions"]

Kind = Literal["logits", "label_logits", "softmax", "sigmoid", "embeddings"]


class Predictions(NamedTuple):
    """What a model answers; each is ``None`` where it does not classify, or that is not known.

    Args:
        classes: Predicted class of each sample ``[N]``; where a sample can have several, the most probable one.
        confidences: Its probability ``[N]``.
        correct: 1 where the prediction is the label, else 0, ``[N]``; where a sample can have several labels, the share
            of them that is predicted right. NaN where an output is not finite.
    """

    classes: Tensor | None = None
    confidences: Tensor | None = None
    correct: Tensor | None = None


@dataclass(frozen=True)
class Link:
    """How outputs ``[N, K]`` are read as probabilities of classes.

    Everything that is said of a model's answers goes by the logits behind its outputs, so that a model that returns
    probabilities and one that returns their logits are judged alike. Log-probabilities are logits: the softmax of a
    log-softmax is the softmax.

    ================  ==========================  =================================  ===================
    Kind              An output is                Its logit                          The answer
    ================  ==========================  =================================  ===================
    ``logits``        a logit z                   z                                  the largest
    ``label_logits``  a logit z of its own label  z                                  each with z > 0
    ``softmax``       a probability p             log p; rows of p sum to 1          the largest
    ``sigmoid``       a probability p             log p - log(1 - p)                 the largest, each with p > ½
                                                                                     where labels are several
    ``embeddings``    no class                    none                               none
    ================  ==========================  =================================  ===================

    A single column is the second of two classes.

    Args:
        kind: What the outputs are.
        is_multi_label: Whether a sample can have several labels, so that each column is a question of its own.
    """

    kind: Kind = "logits"
    is_multi_label: bool = False

    @property
    def classifies(self) -> bool:
        """Whether the columns are classes."""
        return self.kind != "embeddings"

    @property
    def gives_probabilities(self) -> bool:
        """Whether the outputs are probabilities."""
        return self.kind in ("softmax", "sigmoid")

    def logits(self, outputs: Tensor) -> Tensor:
        """Return the logits behind ``outputs [N, K]``, in at least float32.

        Probabilities that are rounded to 0 or 1 are taken for the nearest that their precision can tell from that.
        """
        values = outputs.detach()
        wide = values.to(torch.promote_types(values.dtype, torch.float32))
        if not self.gives_probabilities:
            return wide
        log_probability = wide.clamp(min=torch.finfo(wide.dtype).tiny).log()
        if self.kind == "softmax":
            return log_probability
        return log_probability - (1 - wide).clamp(min=torch.finfo(values.dtype).eps / 2).log()

    def columns(self, outputs: Tensor) -> Tensor:
        """Return the logits of all classes ``[N, K]``, of at least two where they exclude each other."""
        logits = self.logits(outputs)
        if logits.shape[1] > 1 or self.is_multi_label:
            return logits
        return torch.cat([torch.zeros_like(logits), logits], dim=1)

    def probabilities(self, outputs: Tensor) -> Tensor:
        """Return the probability of each class, as :meth:`columns`."""
        columns = self.columns(outputs)
        if self.is_multi_label or (self.kind == "sigmoid" and outputs.shape[1] > 1):
            return columns.sigmoid()
        return columns.softmax(dim=1)

    def decisions(self, outputs: Tensor) -> Tensor:
        """Return which classes each sample is predicted to have, ``bool [N, K]``; none where an output is not finite.

        Args:
            outputs: ``[N, K]``.
        """
        columns = self.columns(outputs)
        best = columns.argmax(dim=1, keepdim=True)
        chosen = columns > 0 if self.is_multi_label else torch.zeros_like(columns, dtype=torch.bool).scatter(1, best, 1)
        return chosen & columns.isfinite().all(dim=1, keepdim=True)

    def predictions(
        self, outputs: Tensor | None, labels: Tensor | None, multi_labels: Tensor | None = None
    ) -> Predictions:
        """Return what the model answers, on the CPU.

        A single logit is read as a regression where there are no labels.

        Args:
            outputs: ``[N, K]``; ``None`` where there are none.
            labels: Label of each sample ``[N]``.
            multi_labels: Labels of each sample, ``bool [N, K]``.
        """
        is_labeled = labels is not None or multi_labels is not None
        if outputs is None or not self.classifies:
            return Predictions()
        if outputs.shape[1] == 1 and not is_labeled and not self.gives_probabilities:
            return Predictions()
        probabilities = self.probabilities(outputs).cpu()
        confidences, classes = probabilities.max(dim=1)
        is_finite = probabilities.isfinite().all(dim=1)
        confidences = confidences.masked_fill(~is_finite, torch.nan)
        correct = None
        if labels is not None:
            correct = (classes == labels.cpu()).float()
        elif multi_labels is not None and multi_labels.shape == probabilities.shape:
            correct = ((probabilities > 0.5) == multi_labels.cpu()).float().mean(dim=1)
        # Where an output is not finite, the predicted class is none; it is not the first one by chance.
        correct = None if correct is None else correct.masked_fill(~is_finite, torch.nan)
        return Predictions(classes, confidences, correct)


LOGITS = Link()
"""Logits of classes that exclude each other."""
