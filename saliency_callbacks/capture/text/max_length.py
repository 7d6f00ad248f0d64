"""Texts that are longer than a model takes, said instead of what torch raises then."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from saliency_callbacks.capture.oom import is_out_of_memory
from saliency_callbacks.errors import InputError, SaliencyError

__all__ = ["check_places", "known_lengths"]


@contextmanager
def known_lengths(model: Any, ids: Tensor) -> Iterator[None]:
    """Turn what is raised while ``model`` runs on text inputs that are too long into an error that says so.

    Many models take any length whatever their configuration says, so that nothing is refused that runs.

    Args:
        model: The model that is run inside, on ``ids`` or what they are embedded as.
        ids: ``[N, T]``, or embeddings ``[N, T, D]``.

    Raises:
        InputError: If T is more than the model's configuration or its table of positions has.
    """
    try:
        yield
    except SaliencyError:
        raise
    except (IndexError, RuntimeError, ValueError) as error:
        length = ids.shape[1]
        limit = None if is_out_of_memory(error) else _table(error, length) or _configured(model, length)
        if limit is None:
            raise
        raise InputError(_too_long(length, *limit) + f". It raised {type(error).__name__}: {error}") from error


def check_places(name: str, layer: nn.Module, given: Tensor | None, length: int) -> None:
    """Check, before a table of positions is looked up, that it has those of text inputs of ``length`` tokens.

    On an accelerator an index out of range ends the whole process.

    Raises:
        InputError: If it has not.
    """
    if isinstance(layer, nn.Embedding) and given is not None and _is_beyond(layer, given, length):
        raise InputError(_too_long(length, layer.num_embeddings, f"layer {name!r} has positions for"))


def _too_long(length: int, limit: int, who: str) -> str:
    return (
        f"the text inputs have {length} tokens, but {who} {limit}; expected a length that the model accepts. Truncate "
        f"them, e.g. with `tokenizer(…, truncation=True, max_length={limit})`, or cut `ids[:, :{limit}]` and the "
        "masks alike"
    )


def _is_beyond(layer: nn.Embedding, given: Tensor, length: int) -> bool:
    if given.is_floating_point() or given.is_complex() or not given.numel() or int(given.max()) < layer.num_embeddings:
        return False
    # Positions differ from token to token; segments and the like, which may be wrong as well, do not.
    return bool(2 * given.unique().numel() > length)


def _table(error: BaseException, length: int) -> tuple[int, str] | None:
    """Return the size of the table of positions in which ``error`` arose."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        layer, given = frame.f_locals.get("self"), frame.f_locals.get("input")
        if isinstance(layer, nn.Embedding) and isinstance(given, Tensor) and _is_beyond(layer, given, length):
            return layer.num_embeddings, "the model has positions for"
    return None


def _configured(model: Any, length: int) -> tuple[int, str] | None:
    """Return the longest text input in the configuration of a model of Hugging Face, if they are longer."""
    modules = model.modules() if isinstance(model, nn.Module) else ()
    limits = (getattr(getattr(module, "config", None), "max_position_embeddings", None) for module in modules)
    found = [limit for limit in limits if isinstance(limit, int) and limit < length]
    return (min(found), "the model's configuration has max_position_embeddings =") if found else None
