"""How a batch is fed to a model: as the tensor in it, by name, in order, or whole, by the signature of the forward."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from saliency_callbacks.config.batch_names import LABEL_KEYS, MASK_KEYS, names_labels
from saliency_callbacks.errors import ProbeError

__all__ = ["feedings", "fitting_inputs"]

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_NOT_OPTIONAL = {*LABEL_KEYS, *MASK_KEYS}


def fitting_inputs(
    model: nn.Module,
    inputs: Any,
    *,
    key: str | None,
    named: Mapping[str, Any] | None,
    ordered: tuple[Any, ...],
    runs: Callable[[Any], bool],
) -> Any:
    """Return what to feed to a model of a batch.

    Args:
        model: The explained module.
        inputs: What a batch holds as inputs by its form.
        key: Name of the inputs in ``named``, where they are one entry.
        named: All that the batch holds by name.
        ordered: The batch from its inputs on, where it is a tuple.
        runs: Whether the model runs on some inputs. Asked only where the signature does not tell.

    Returns:
        A tensor, a tuple (fed in order) or a dictionary (fed by name, or whole).

    Raises:
        ProbeError: The batch has several inputs, and the forward takes one.
    """
    candidates = feedings(model, inputs, key=key, named=named, ordered=ordered)
    chosen = candidates[0]
    if len(candidates) > 1:
        chosen = next((each for each in candidates if runs(each)), chosen)
    _check_views(model, chosen)
    return chosen


def feedings(
    model: nn.Module, inputs: Any, *, key: str | None, named: Mapping[str, Any] | None, ordered: tuple[Any, ...]
) -> list[Any]:
    """Return the ways in which a forward may take a batch, the likeliest first; see :func:`fitting_inputs`."""
    forward = _Forward.of(model)
    if forward is None:
        return [inputs]
    if named is not None:
        known = _feedable(named, inputs)
        return list(_by_name(forward, inputs, key, known)) if known else [inputs]
    required = [name for name in forward.positional if name in forward.required]
    pairs = list(zip(required, ordered, strict=False))
    fits = 1 < len(required) == len(pairs) and all(_may_be_fed(name, part) for name, part in pairs)
    return [ordered[: len(required)]] if fits and isinstance(inputs, Tensor) else [inputs]


@dataclass(frozen=True)
class _Forward:
    """What a forward takes.

    Args:
        positional: Names of the arguments that can be given by position.
        names: Names of all that can be given by name.
        required: Those without a default.
        takes_any_name: Whether there is a ``**batch``.
        takes_any_number: Whether there is an ``*args``.
        takes_tensor: Whether the first argument is annotated as a tensor.
    """

    positional: tuple[str, ...]
    names: frozenset[str]
    required: frozenset[str]
    takes_any_name: bool
    takes_any_number: bool
    takes_tensor: bool

    @classmethod
    def of(cls, model: nn.Module) -> _Forward | None:
        # The forward of a compiled module takes anything; that of the module inside does not.
        inner = getattr(model, "_orig_mod", model)
        try:
            parameters = inspect.signature(inner.forward).parameters.values()
        except (TypeError, ValueError):
            return None
        single = [each for each in parameters if each.kind in (*_POSITIONAL, inspect.Parameter.KEYWORD_ONLY)]
        annotation = single[0].annotation if single else None
        return cls(
            positional=tuple(each.name for each in single if each.kind in _POSITIONAL),
            names=frozenset(each.name for each in single if each.kind != inspect.Parameter.POSITIONAL_ONLY),
            required=frozenset(each.name for each in single if each.default is inspect.Parameter.empty),
            takes_any_name=any(each.kind == inspect.Parameter.VAR_KEYWORD for each in parameters),
            takes_any_number=any(each.kind == inspect.Parameter.VAR_POSITIONAL for each in parameters),
            # As a string where annotations are postponed.
            takes_tensor=annotation is Tensor or str(annotation) in {"Tensor", "torch.Tensor"},
        )


def _by_name(forward: _Forward, inputs: Any, key: str | None, known: Mapping[str, Any]) -> Iterator[Any]:
    own = {key: inputs} if key is not None else dict(inputs)
    # What a forward can do without is left out where it is what only a loss is made of.
    taken = {
        name: value
        for name, value in known.items()
        if name in forward.names and (name in forward.required or name.lower() not in _NOT_OPTIONAL)
    }
    if own.keys() & forward.names:
        # A single tensor stays one where nothing goes with it.
        yield inputs if taken.keys() == own.keys() and key is not None else {**own, **taken}
        return
    if not forward.positional:
        if forward.takes_any_number or not forward.takes_any_name:
            yield inputs
        if forward.takes_any_name:
            yield own
            yield {**known, **own}
        return
    first, *_ = forward.positional
    others = {name: value for name, value in taken.items() if name not in own and name != first}
    if key is None:
        yield inputs
    else:
        yield {first: inputs, **others} if others else inputs
    if forward.required <= {first} and not forward.takes_tensor:
        yield {**known, **own}


def _may_be_fed(name: str, part: Any) -> bool:
    """Whether a part of a tuple can be meant by an argument: labels only by one that is called so."""
    return isinstance(part, Tensor) and (part.ndim > 1 or names_labels(name))


def _feedable(named: Mapping[str, Any], inputs: Any) -> dict[str, Any]:
    """Return what of a batch can be given to a model row by row: tensors with a row for each sample, and constants."""
    size = next((each.shape[0] for each in _tensors(inputs)), None)
    return {
        name: value
        for name, value in named.items()
        if isinstance(value, int | float | bool | str)
        or (isinstance(value, Tensor) and (not value.ndim or value.shape[0] == size))
        or (isinstance(value, Mapping | tuple) and (found := list(_tensors(value))) and _all_rows(found, size))
    }


def _all_rows(tensors: list[Tensor], size: int | None) -> bool:
    return all(each.ndim and each.shape[0] == size for each in tensors)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _tensors(each)
    elif isinstance(value, tuple):
        for each in value:
            yield from _tensors(each)


def _check_views(model: nn.Module, inputs: Any) -> None:
    forward = _Forward.of(model)
    if not isinstance(inputs, tuple) or forward is None or forward.takes_any_number:
        return
    if len(inputs) > len(forward.positional):
        taken = ", ".join(forward.positional)
        raise ProbeError(
            f"a batch holds {len(inputs)} inputs (views of a sample, say), but {type(model).__name__}.forward({taken}) "
            f'takes {len(forward.positional)}. Choose with Probe(unpack_batch="package.function"), a function batch -> '
            "(inputs, labels): for the first view of ((view, other), label), return (batch[0][0], batch[1])"
        )
