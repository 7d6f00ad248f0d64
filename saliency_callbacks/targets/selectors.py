"""From what a person writes for ``target`` to the score that is explained."""

from __future__ import annotations

import inspect
import numbers
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from saliency_callbacks.config.nested import describe
from saliency_callbacks.errors import OutputError, TargetError, nearest_names
from saliency_callbacks.targets.logits import read_logits

__all__ = ["Labels", "Target", "class_selector", "counts_rows", "sample_logits", "selector"]


@dataclass(frozen=True)
class Labels:
    """Labels as targets. A model with a single logit ``z`` is read as two classes with scores ``-z`` and ``z``.

    Args:
        classes: Label of each sample, ``[N]``.
    """

    classes: Tensor


Target = int | Tensor | str | Labels | Callable[..., Tensor]
Selector = Callable[[Any, Tensor], tuple[Tensor, Tensor]]
OutputFn = Callable[[Any], Any]


def selector(target: Target, n_samples: int, output_fn: OutputFn | None = None) -> Selector:
    """Return the function that picks the explained score from a model output.

    Args:
        target: A class index, one index a sample ``[N]``, ``"predicted"``, or a callable on the model's output
            (``output -> [N]``, or ``(output, samples [M]) -> [M]`` where rows are run in chunks).
        n_samples: Number of samples N.
        output_fn: ``output -> [N, classes]``.

    Returns:
        ``(output, sample of each row [M]) -> (score [M], class [M])``; the class is -1 for a callable.

    Raises:
        TargetError: If the target is of another kind, or has another length.
    """
    if isinstance(target, Labels):
        return _label_selector(_class_indices(target.classes, n_samples), output_fn)
    if isinstance(target, str):
        if target != "predicted":
            raise TargetError(
                f"target {target!r} is unknown; {nearest_names(target, ['predicted'])} Expected a class index, a "
                "tensor of N indices, 'predicted', or a callable on the model's output"
            )
        return _predicted_selector(output_fn)
    if isinstance(target, bool) or not (isinstance(target, (numbers.Integral, Tensor)) or callable(target)):
        raise TargetError(
            f"target={describe(target)}; expected a class index, a tensor of N indices, 'predicted', or a callable. "
            "For several targets per sample use `targets=[…]`"
        )
    if isinstance(target, (numbers.Integral, Tensor)):
        return class_selector(_class_indices(target, n_samples), output_fn)
    return _score_selector(target, output_fn)


def class_selector(classes: Tensor, output_fn: OutputFn | None = None) -> Selector:
    """Return the selector of one fixed class a sample; ``classes`` is ``[N]``."""

    def select(output: Any, samples: Tensor) -> tuple[Tensor, Tensor]:
        logits = sample_logits(output, output_fn, samples)
        target = classes.to(logits.device)[samples]
        if int(target.max()) >= logits.shape[1] or int(target.min()) < 0:
            wrong = sorted({int(index) for index in target if not 0 <= index < logits.shape[1]})
            raise TargetError(
                f"target {wrong} is out of range; the model has {logits.shape[1]} classes; expected 0 to "
                f"{logits.shape[1] - 1}. Check the labels, or the size of the model's head. Embeddings are explained "
                "with target=SimilarityTarget() of saliency_callbacks.targets"
            )
        return logits.gather(1, target[:, None])[:, 0], target

    return select


def counts_rows(target: Target) -> bool:
    """Return whether a target may count on as many rows as there are samples: it is not told which rows it is given."""
    return callable(target) and not _takes_two(target)


def _label_selector(classes: Tensor, output_fn: OutputFn | None) -> Selector:
    def select(output: Any, samples: Tensor) -> tuple[Tensor, Tensor]:
        logits = sample_logits(output, output_fn, samples)
        if logits.shape[1] > 1:
            return class_selector(classes)(logits, samples)
        labels = classes.to(logits.device)[samples]
        wrong = sorted(set(labels.tolist()) - {0, 1})
        if wrong:
            raise TargetError(
                f"the model returns a single score z per sample, but there are labels {wrong[:5]}; expected only 0 "
                "(explained by -z) and 1 (by z). Explain the score itself with target=0, give a callable target "
                "(output -> score [N]), or check the size of the model's head"
            )
        return class_selector(classes)(torch.cat([-logits, logits], dim=1), samples)

    return select


def _predicted_selector(output_fn: OutputFn | None = None) -> Selector:
    """Return the selector of each row's highest class."""

    def select(output: Any, samples: Tensor) -> tuple[Tensor, Tensor]:
        return sample_logits(output, output_fn, samples).max(dim=1)

    return select


def _score_selector(score: Callable[..., Tensor], output_fn: OutputFn | None = None) -> Selector:
    """Return the selector of a user's score."""
    takes_samples = _takes_two(score)

    def select(output: Any, samples: Tensor) -> tuple[Tensor, Tensor]:
        read = output_fn(output) if output_fn is not None else output
        values = score(read, samples) if takes_samples else score(read)
        if not isinstance(values, Tensor) or values.shape not in {(len(samples),), (len(samples), 1)}:
            raise TargetError(
                f"the target callable returned {describe(values)} for {len(samples)} rows; expected one score per "
                f"row, [{len(samples)}]. Reduce all other dimensions; to learn which sample a row belongs to, take a "
                "second argument, `samples` [M]"
            )
        return values.reshape(-1), torch.full_like(samples, -1)

    return select


def sample_logits(output: Any, output_fn: OutputFn | None, samples: Tensor) -> Tensor:
    """Return the class scores of ``samples [M]`` of a model output, ``[M, classes]``.

    Raises:
        OutputError: If there are none, or of another number of samples.
    """
    logits = read_logits(output, output_fn)
    if len(logits) != len(samples):
        raise OutputError(
            f"the model returned class scores {list(logits.shape)} for {len(samples)} samples; expected "
            f"[{len(samples)}, classes]. Give `output_fn=` (output -> [N, classes])"
        )
    return logits


def _class_indices(target: numbers.Integral | Tensor, n_samples: int) -> Tensor:
    if isinstance(target, numbers.Integral):
        return torch.full((n_samples,), int(target), device="cpu")
    if target.is_floating_point() or target.is_complex() or target.dtype == torch.bool:
        raise TargetError(
            f"target has dtype {target.dtype}; expected integer class indices [N]. Convert with `.long()`"
        )
    if target.ndim == 0:
        return target.detach().long().expand(n_samples)
    if target.shape != (n_samples,):
        raise TargetError(
            f"target has shape {list(target.shape)}; expected one class index per sample, [{n_samples}]. For several "
            "targets per sample use `targets=[…]`"
        )
    return target.detach().long()


def _takes_two(function: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    required = [
        parameter
        for parameter in parameters
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        and parameter.default is parameter.empty
    ]
    return len(required) >= 2
