"""Which part of a batch holds the labels: what could, which is taken, and what is to be said about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from saliency_callbacks.config.batch_names import LABEL_KEYS, TOKEN_KEYS, names_labels, names_something_else
from saliency_callbacks.config.fields import fields_of
from saliency_callbacks.config.nested import describe
from saliency_callbacks.errors import ProbeError
from saliency_callbacks.probe.labels.classes import class_indices, label_sets, one_hot_rows
from saliency_callbacks.probe.labels.paths import entry_at, first_missing, keys_to

__all__ = ["LabelColumn", "chosen_column", "columns_of", "labels_in", "named_column", "unread"]

_N_SUGGESTED = 4


@dataclass(frozen=True, eq=False)
class LabelColumn:
    """A part of a batch that can be read as labels.

    Args:
        path: Where it is, as a user writes it: ``1``, ``"label"`` or ``"target.label"``.
        labels: ``int64 [N]``, or ``bool [N, K]`` where a sample can have several.
        one_hot: The rows ``bool [N, K]`` that ``labels [N]`` were made of, where they were: other samples of the same
            data may have several.
    """

    path: int | str
    labels: Tensor
    one_hot: Tensor | None = None


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
        f"several parts of the batch could be the labels: {', '.join(map(_shown, [taken, *others]))}. {taken.path!r} "
        f"is used. Choose with Probe(labels={taken.path!r}) or Probe(labels={others[0].path!r})"
    )


def named_column(batch: Any, path: int | str, setting: str = "Probe(labels") -> LabelColumn:
    """Return the labels that a user has named.

    Args:
        batch: What a dataloader delivers.
        path: A position, a name, or several of them with dots between: ``2``, ``"label"``, ``"target.label"``.
        setting: Where it was named, as messages say it.

    Raises:
        ProbeError: There is no such part, or it holds no labels.
    """
    opening, end = ("Probe(", ")") if "(" in setting else ("", "")
    keys = keys_to(batch, path)
    if keys is None:
        raise ProbeError(
            f"{setting}={path!r}{end} names {first_missing(batch, path)!r}, which the batch {describe(batch)} does "
            "not have; expected a position, a name or a dotted path, such as 2 or 'target.label'"
        )
    part = entry_at(batch, keys)
    found = labels_in(part)
    if found is None:
        found = _whole_numbers(part)
    if found is None:
        raise ProbeError(
            f"{setting}={path!r}{end} is {describe(part)}; expected one integer per sample, floats that are whole "
            f"numbers, or one-hot or multi-hot rows [N, classes]. Name another part of the batch {describe(batch)}, "
            f"or convert it to integers with {opening}unpack_batch=…{end}"
        )
    return _column(path, found, part)


def unread(batch: Any, inputs_at: int | None, size: int | None = None) -> str | None:
    """Return what is to be said of a batch in which no labels were found; ``None`` where nothing looks like any.

    Args:
        batch: What a dataloader delivers.
        inputs_at: As for :func:`columns_of`.
        size: Number of samples.
    """
    paths = _suggested(batch, inputs_at, size)
    if not paths:
        return None
    readable = [path for path in paths if _may_be_named(entry_at(batch, keys_to(batch, path) or ()))]
    ways = " or ".join(f"Probe(labels={path!r})" for path in readable[:_N_SUGGESTED])
    by_name = f"Name them with {ways}, or" if ways else "Return them as integers with Probe(unpack_batch=…), or write"
    otherwise = "; Probe(unpack_batch=…) reads a batch in any other way" if ways else ""
    return (
        f"no class labels were found in the batch {describe(batch)}, so the probe is not balanced by class, and "
        f"predictions are not compared with labels. {by_name} Probe(labels=None) if there are none{otherwise}"
    )


def _may_be_named(part: Any) -> bool:
    """Whether a part can be read as labels once it is named, as texts and one dictionary a sample never are."""
    return not isinstance(part, list | tuple) or all(isinstance(each, int | float) for each in part)


def _suggested(batch: Any, inputs_at: int | None, size: int | None) -> list[int | str]:
    """Return where labels could be: what can be read as some, else what is called so, else what has their shape."""
    fields = fields_of(batch)
    if inputs_at is None and fields is not None:
        tokens, parts = _tokens_shape(fields), list(fields.items())
        leaves = [leaf for leaf in _leaves(parts, "") if _may_hold_labels(leaf[1], tokens)]
        meant = [path for path, _ in leaves if any(names_labels(step) for step in str(path).split("."))]
    elif isinstance(batch, list | tuple):
        tokens = _tokens_shape({TOKEN_KEYS[0]: batch[inputs_at or 0]})
        leaves = list(_leaves([(place, batch[place]) for place in _beside(batch, inputs_at or 0)], ""))
        leaves = [leaf for leaf in leaves if _may_hold_labels(leaf[1], None)]
        meant = [path for path, _ in leaves]
    else:
        return []
    own = [(path, part) for path, part in leaves if not names_something_else(_last(path))]
    read = [(path, labels) for path, part in own if (labels := _read(part, size, tokens)) is not None]
    readable = [path for path, labels in read if path in meant or _repeats(labels)]
    preferred = [path for path in meant if not names_something_else(_last(path))]
    return readable or preferred or meant


def _leaves(parts: Iterable[tuple[Any, Any]], prefix: str) -> Iterator[tuple[int | str, Any]]:
    """Yield the path and the value of all that holds nothing further, of parts and of what is in them."""
    for key, part in parts:
        path = key if isinstance(key, int) and not prefix else f"{prefix}{key}"
        fields = fields_of(part)
        holds_columns = isinstance(part, list | tuple) and any(isinstance(each, Tensor) for each in part)
        if fields is not None:
            yield from _leaves(fields.items(), f"{path}.")
        elif holds_columns:
            yield from _leaves(enumerate(part), f"{path}.")
        else:
            yield path, part


def _repeats(labels: Tensor) -> bool:
    """Whether some samples are alike and others are not: sizes and times may be integers, and are no classes."""
    return labels.ndim > 1 or 1 < len(labels.unique()) < len(labels)


def _last(path: int | str) -> str:
    return str(path).rpartition(".")[2]


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
            found.append(_column(path, labels, part))
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
            path = f"{prefix}{key}."
            yield from list(_named_columns(inner, path, size, tokens)) or _only_column(inner, path, size, tokens)
        elif (labels := _read(part, size, tokens)) is not None:
            yield _column(f"{prefix}{key}", labels, part)


def _only_column(
    fields: Mapping[Any, Any], prefix: str, size: int | None, tokens: torch.Size | None
) -> list[LabelColumn]:
    """Return the one part of what is called labels that can be read as some; none where there are several."""
    own = [(f"{prefix}{key}", part) for key, part in fields.items() if not names_something_else(key)]
    found = [_column(path, labels, part) for path, part in own if (labels := _read(part, size, tokens)) is not None]
    return found if len(found) == 1 else []


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


def _whole_numbers(part: Any) -> Tensor | None:
    """Return floats that are whole numbers ``[N]`` or ``[N, 1]`` as classes, which somebody has named as labels."""
    if not isinstance(part, Tensor) or not part.is_floating_point() or part.shape[1:] not in {(), (1,)}:
        return None
    values = part.detach().flatten()
    return values.long() if part.ndim and bool((values == values.round()).all()) else None


def _column(path: int | str, labels: Tensor, part: Any) -> LabelColumn:
    return LabelColumn(path, labels, one_hot_rows(part) if labels.ndim == 1 else None)


def _shown(column: LabelColumn) -> str:
    return f"{column.path!r} (from {int(column.labels.min())} to {int(column.labels.max())})"
