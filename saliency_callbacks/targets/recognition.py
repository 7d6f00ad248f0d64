"""What a model's outputs are: as it computes them, as their numbers say, or as a person declares them."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from saliency_callbacks.errors import OutputError
from saliency_callbacks.targets.link import Kind

__all__ = ["DECLARED", "ClassCount", "Declared", "Recognized", "recognize"]

Declared = Literal["auto", "logits", "probabilities", "embeddings"]
DECLARED: tuple[Declared, ...] = ("auto", "logits", "probabilities", "embeddings")


class ClassCount(NamedTuple):
    """How many classes there are, as the data tells.

    Args:
        n_classes: Their number.
        n_labels: How many labels were looked through for them; ``None`` where their names tell.
    """

    n_classes: int
    n_labels: int | None = None


class Recognized(NamedTuple):
    """What the outputs are.

    Args:
        kind: As of :class:`~saliency_callbacks.targets.link.Link`.
        reason: Why nobody should take them for class scores; ``None`` where they are, or where it was declared.
    """

    kind: Kind
    reason: str | None = None


def recognize(
    outputs: Tensor,
    *,
    are_probabilities: bool = False,
    declared: Declared = "auto",
    labels: Tensor | None = None,
    is_multi_label: bool = False,
    count: ClassCount | None = None,
) -> Recognized:
    """Tell what outputs are.

    Values in [0, 1] alone make no probabilities: an untrained network has such logits by chance. Either the model is
    seen to compute them by a sigmoid or softmax, or every row sums to 1.

    Args:
        outputs: Of the probe, ``[N, K]``.
        are_probabilities: Whether a sigmoid or softmax was seen to make them.
        declared: What a person says that they are.
        labels: Label of each sample ``[N]``.
        is_multi_label: Whether a sample can have several labels.
        count: How many classes there are.

    Raises:
        OutputError: If they are declared to be probabilities, and are none.
    """
    values = outputs.detach().float().cpu()
    logits: Kind = "label_logits" if is_multi_label else "logits"
    if declared == "logits":
        return Recognized(logits)
    if declared == "embeddings":
        return Recognized("embeddings")
    if declared == "probabilities":
        if not _in_unit_interval(values):
            raise OutputError(
                f"reading.outputs='probabilities', but the model's outputs lie in [{float(values.min()):.3g}, "
                f"{float(values.max()):.3g}]; expected [0, 1]. Declare 'logits', or let output_fn return probabilities"
            )
        return Recognized(_probabilities(values, outputs.dtype, is_multi_label=is_multi_label))
    if _in_unit_interval(values) and (are_probabilities or _sum_to_one(values, outputs.dtype)):
        return Recognized(_probabilities(values, outputs.dtype, is_multi_label=is_multi_label))
    reason = _no_classes(values, outputs.dtype, labels, count)
    return Recognized(logits) if reason is None else Recognized("embeddings", reason)


def _probabilities(values: Tensor, dtype: torch.dtype, *, is_multi_label: bool) -> Kind:
    return "softmax" if _sum_to_one(values, dtype) and not is_multi_label else "sigmoid"


def _in_unit_interval(values: Tensor) -> bool:
    return bool(((values >= 0) & (values <= 1)).all())


def _sum_to_one(values: Tensor, dtype: torch.dtype) -> bool:
    sums = values.sum(dim=1)
    return values.shape[1] > 1 and bool((sums - 1).abs().max() <= _rounding(dtype)) and _in_unit_interval(values)


def _no_classes(values: Tensor, dtype: torch.dtype, labels: Tensor | None, count: ClassCount | None) -> str | None:
    """Say why the columns cannot be classes."""
    width = values.shape[1]
    if width == 1:
        return None
    if labels is not None and len(labels) and int(labels.max()) >= width:
        return f"the model returns {width} values per sample, but labels go up to {int(labels.max())}"
    if count is not None and _is_far(width, count):
        return f"the model returns {width} values per sample, but there are {count.n_classes} classes"
    if bool((values.norm(dim=1) - 1).abs().max() <= _rounding(dtype)):
        return f"the {width} values that the model returns for each sample form a vector of length 1"
    return None


def _is_far(width: int, count: ClassCount) -> bool:
    if count.n_labels is None:
        # One more than there are names is a background class.
        return width > count.n_classes + 1
    # Some classes may have no label among few.
    is_beyond_doubt = count.n_labels >= 2 * count.n_classes and width >= 4 * count.n_classes
    is_among_many = count.n_labels >= 2 * width and width >= 2 * count.n_classes
    return is_beyond_doubt or (is_among_many and width > count.n_classes + 1)


def _rounding(dtype: torch.dtype) -> float:
    """Return how far from 1 a sum may be that is 1 but for rounding."""
    return 1e-4 if dtype in (torch.float32, torch.float64) else 2e-2
