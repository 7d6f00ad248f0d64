"""Which part of a batch holds the labels: what could, which is taken, and what is to be said about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from saliency_callbacks.config.batch_names import LABEL_KEYS, TOKEN_KEYS, names_labels
from saliency_callbacks.config.fields import fields_of
from saliency_callbacks.config.nested import describe
from saliency_callbacks.errors import ProbeError
from saliency_callbacks.probe.labels.classes import class_indices, label_sets

__all__ = ["LabelColumn", "chosen_column", "columns_of", "labels_in", "named_labels", "unread"]

_ADVICE = "Name them with Probe(labels={example}), or Probe(labels=None) where there are none"


@dataclass(frozen=True, eq=False)
class LabelColumn:
    """A part of a batch that can be read as labels.

    Args:
        path: Where it is, as a user writes it: ``1``, ``"label"`` or ``"target.label"``.
        labels: ``int64 [N]``, or ``bool [N, K]`` where a sample can have several.
    """

    path: int | str
    labels: Tensor


def labels_in(value: Any, size: int | None = None) -> Tensor | None:
    """Return ``value`` as ``int64 [N]``, as ``bool [N, K]`` where a sample can have several, or ``None``.

    Args:
        value: As for :func:`~saliency_callbacks.probe.labels.classes.class_indices`.
        size: Number of samples N; labels of another number are none.
    """
    if isinstance(value, list | tuple) and any(isinstance(each, Tensor) and each.ndim for each in value):
        # A container of columns, and not a column.
        return None
    classes = class_indices(value)
    found = label_sets(value) if classes is None else classes
    return None if found is None or (size is not None and len(found) != size) else found


def columns_of(batch: Any, inputs_at: int | None, size: int | None) -> list[LabelColumn]:
    """Return all that could be the labels of a batch, the likeliest first.

    Args:
        batch: What a dataloader delivers.
        inputs_at: Position of the inputs in a tuple or list; ``None`` for a batch with named parts.
        size: Number of samples.
    """
    fields = fields_of(batch)
    if inputs_at is None and fields is not None:
        found = list(_named_columns(fields, "", size, _tokens_shape(fields)))
    elif isinstance(batch, list | tuple):
        tokens = _tokens_shape({TOKEN_KEYS[0]: batch[inputs_at or 0]})
        found = _columns_among([(place, batch[place]) for place in _beside(batch, inputs_at or 0)], size, tokens)
    else:
        found = []
    # What holds one class a sample is likelier to be meant than what holds several, such as a mask of tokens.
    return sorted(found, key=lambda column: column.labels.ndim)


def chosen_column(
    columns: Sequence[LabelColumn], known: Tensor | None = None, indices: Sequence[int] | None = None
) -> tuple[LabelColumn | None, str | None]:
    """Return the column that is taken, and what is to be said where another could be meant.

    Args:
        columns: From :func:`columns_of`.
        known: The labels that the dataset itself tells of these samples, ``[N]``.
        indices: Positions of the samples in the dataset; a column that repeats them holds no labels, if there is
            another.
    """
    matching = [column for column in columns if known is not None and torch.equal(column.labels.cpu(), known)]
    if matching:
        return matching[0], None
    positions = None if indices is None else torch.as_tensor(list(indices), device="cpu")
    left = [column for column in columns if positions is None or not torch.equal(column.labels.cpu(), positions)]
    left = left or list(columns)
    if not left:
        return None, None
    taken, *others = left
    others = [other for other in others if not torch.equal(other.labels, taken.labels)]
    if not others:
        return taken, None
    return taken, (
        f"several parts of the batch could be the labels: {', '.join(map(_shown, [taken, *others]))}. "
        f"{taken.path!r} is taken. Say which with Probe(labels={taken.path!r}) or Probe(labels={others[0].path!r})"
    )


def named_labels(batch: Any, path: int | str) -> Tensor:
    """Return the labels that a user has named.

    Args:
        batch: What a dataloader delivers.
        path: A position, a name, or several of them with dots between: ``2``, ``"label"``, ``"target.label"``.

    Raises:
        ProbeError: There is no such part, or it holds no labels.
    """
    part = batch
    for step in [path] if isinstance(path, int) else path.split("."):
        part = _entry(part, step, batch, path)
    found = labels_in(part)
    if found is None:
        found = _whole_numbers(part)
    if found is None:
        raise ProbeError(
            f"Probe(labels={path!r}) is {describe(part)}; one integer a sample, floats that are whole numbers, or "
            "one-hot or multi-hot rows [N, classes], were expected. Name another part of the batch "
            f"{describe(batch)}, or make integers of it with Probe(unpack_batch=...)."
        )
    return found


def unread(batch: Any, inputs_at: int | None) -> str | None:
    """Return what is to be said of a batch in which no labels were found; ``None`` where nothing looks like any."""
    fields = fields_of(batch)
    if inputs_at is None and fields is not None:
        candidates = {key: each for key, each in fields.items() if names_labels(key)}
        tokens = _tokens_shape(fields)
        left = [key for key, each in candidates.items() if _may_hold_labels(each, tokens)]
    elif isinstance(batch, list | tuple):
        left = [place for place in _beside(batch, inputs_at or 0) if _may_hold_labels(batch[place], None)]
    else:
        left = []
    if not left:
        return None
    advice = _ADVICE.format(example=repr(left[0]))
    return (
        f"no class labels were found in the batch {describe(batch)}, so that classes are neither balanced nor compared "
        f"with predictions. {advice}; Probe(unpack_batch=...) reads a batch in any other way"
    )


def _beside(batch: Sequence[Any], inputs_at: int) -> list[int]:
    return [*range(inputs_at + 1, len(batch)), *range(inputs_at)]


def _columns_among(
    parts: Sequence[tuple[int | str, Any]], size: int | None, tokens: torch.Size | None
) -> list[LabelColumn]:
    """Return the parts that hold labels, or have them under a name that says so; else what is inside of tuples."""
    found: list[LabelColumn] = []
    for path, part in parts:
        fields = fields_of(part)
        if fields is not None:
            found.extend(_named_columns(fields, f"{path}.", size, tokens))
        elif (labels := _read(part, size, tokens)) is not None:
            found.append(LabelColumn(path, labels))
    if found:
        return found
    # A list of dictionaries has one of them a sample, as detection does.
    inner = [(path, part) for path, part in parts if isinstance(part, list | tuple) and not all(map(fields_of, part))]
    return [
        column
        for path, part in inner
        for column in _columns_among([(f"{path}.{place}", each) for place, each in enumerate(part)], size, tokens)
    ]


def _named_columns(
    fields: Mapping[Any, Any], prefix: str, size: int | None, tokens: torch.Size | None
) -> Iterator[LabelColumn]:
    keys = [key for key in fields if names_labels(key)]
    usual = [key for name in LABEL_KEYS for key in keys if str(key).lower() == name]
    for key in [*usual, *(key for key in keys if key not in usual)]:
        part = fields[key]
        inner = fields_of(part)
        if inner is not None:
            yield from _named_columns(inner, f"{prefix}{key}.", size, tokens)
        elif (labels := _read(part, size, tokens)) is not None:
            yield LabelColumn(f"{prefix}{key}", labels)


def _read(part: Any, size: int | None, tokens: torch.Size | None) -> Tensor | None:
    return None if tokens is not None and getattr(part, "shape", None) == tokens else labels_in(part, size)


def _tokens_shape(fields: Mapping[Any, Any]) -> torch.Size | None:
    """Return the shape of a text batch's tokens: labels of that shape are one a token."""
    found = (fields.get(name) for name in TOKEN_KEYS)
    return next((each.shape for each in found if isinstance(each, Tensor) and _are_tokens(each)), None)


def _are_tokens(value: Tensor) -> bool:
    return value.ndim == 2 and not value.is_floating_point()


def _may_hold_labels(part: Any, tokens: torch.Size | None) -> bool:
    """Whether a part could have been meant as labels: no map of pixels, no label of each token, no text."""
    shape = getattr(part, "shape", None)
    if shape is not None:
        return len(shape) in (1, 2) and shape != tokens
    return isinstance(part, list | tuple) or fields_of(part) is not None


def _entry(part: Any, step: int | str, batch: Any, path: int | str) -> Any:
    fields = fields_of(part)
    is_position = isinstance(step, int) or step.lstrip("-").isdigit()
    try:
        if isinstance(part, list | tuple) and is_position:
            return part[int(step)]
        if fields is not None:
            return fields[step] if step in fields else fields[int(step)]
    except (IndexError, KeyError, ValueError):
        pass
    raise ProbeError(
        f"Probe(labels={path!r}) names {step!r}, which the batch {describe(batch)} does not have; a position, a name, "
        "or several with dots between, such as 2 or 'target.label', was expected."
    )


def _whole_numbers(part: Any) -> Tensor | None:
    """Return floats that are whole numbers ``[N]`` or ``[N, 1]`` as classes, which somebody has named as labels."""
    if not isinstance(part, Tensor) or not part.is_floating_point() or part.shape[1:] not in {(), (1,)}:
        return None
    values = part.detach().flatten()
    return values.long() if part.ndim and bool((values == values.round()).all()) else None


def _shown(column: LabelColumn) -> str:
    return f"{column.path!r} (from {int(column.labels.min())} to {int(column.labels.max())})"
