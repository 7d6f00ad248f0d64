"""What is fed to a model: one tensor, or a tuple or dict of which one tensor is explained."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor
from typing_extensions import Self

from saliency_callbacks.capture.axes import channel_dim
from saliency_callbacks.capture.structure import mapped, named_key, read_structure, shared_names, tensors_of
from saliency_callbacks.config.batch_names import MASK_KEYS, names_labels
from saliency_callbacks.config.fields import FieldDict
from saliency_callbacks.errors import InputError, MethodError

__all__ = ["ModelInputs", "feed"]

_IDS = (
    "as token ids are; expected a floating-point tensor [N, C, *spatial]. Use TokenSaliencyMonitor(tokenizer=…), or "
    "`embedding='auto'` (in other callbacks, reading=ModelReading(embedding='auto'))"
)


@dataclass(frozen=True, eq=False)
class ModelInputs:
    """A batch for a model, and which of its tensors is explained.

    Of the other tensors, one whose first size is N is taken as one row a sample, unless it is named in ``shared``: it
    is fed row by row, along with what is explained. All others are fed whole.

    Args:
        structure: A tensor, a tuple (fed as positional arguments) or a dict (fed as keyword arguments).
        attribute_to: Position or key of the explained tensor; ``None`` for a single tensor.
        explained: The explained tensor ``[N, C, *spatial]``.
        shared: Names of entries that all samples share: keys and positions, joined by dots where they are nested.
        axes: Axes of the explained tensor as the model takes it, e.g. ``"NTCHW"``; ``None`` for channels second.
    """

    structure: Tensor | tuple[Any, ...] | Mapping[str, Any]
    attribute_to: int | str | None
    explained: Tensor
    shared: frozenset[str] = field(default=frozenset(), kw_only=True)
    axes: str | None = field(default=None, kw_only=True)

    @classmethod
    def of(
        cls,
        inputs: Any,
        attribute_to: int | str | None = None,
        *,
        shared: Sequence[int | str] | None = None,
        layout: str | None = None,
    ) -> ModelInputs:
        """Check a batch and find its explained tensor.

        Args:
            inputs: A tensor, or a tuple, list or mapping of tensors and constants.
            attribute_to: Position or key of the explained tensor.
            shared: Keys or positions of what all samples share.
            layout: Axes of the explained tensor, e.g. ``"NTCHW"``; by default the channels come second.

        Raises:
            InputError: If the batch is of another type, no tensor or several could be meant, the explained tensor is
                not a floating-point ``[N, C, *spatial]`` with 1 to 3 spatial dimensions, its layout has another number
                of axes, or what is shared is not among the inputs.
        """
        structure = read_structure(inputs, "[N, C, *spatial]")
        key = None if isinstance(structure, Tensor) else _explained_key(structure, attribute_to)
        explained = structure if key is None else structure[key]
        _check_explained(explained, "inputs" if key is None else f"inputs[{key!r}]")
        names = shared_names(structure, shared)
        return cls(structure, key, explained.movedim(channel_dim(layout, explained), 1), shared=names, axes=layout)

    def read_alike(self, inputs: Any) -> ModelInputs:
        """Return another batch of the same form."""
        return ModelInputs.of(inputs, self.attribute_to, shared=sorted(self.shared), layout=self.axes)

    @property
    def n_samples(self) -> int:
        """Number of samples N."""
        return self.explained.shape[0]

    @property
    def undeclared(self) -> tuple[str, ...]:
        """Names of the other tensors that have N rows, be it by chance, and are not known to be shared."""
        named = tensors_of(self.structure) if not isinstance(self.structure, Tensor) else {}
        return tuple(
            name for name, tensor in named.items() if name != str(self.attribute_to) and self._is_batched(name, tensor)
        )

    @property
    def counted(self) -> Tensor | None:
        """Which positions are part of their sample, bool ``[N, *spatial]``; ``None`` for all."""
        return None

    @property
    def positions(self) -> Tensor | None:
        """Which positions hold anything at all, bool ``[N, *spatial]``: noise is for these; ``None`` for all."""
        return None

    def disturbed(self, change: Callable[[Tensor, Tensor | None], Tensor]) -> Self:
        """Return the batch with other explained inputs: ``(explained, positions) -> explained``."""
        return replace(self, explained=change(self.explained, self.positions))

    def start(self, baseline: str) -> Tensor:
        """Return where the paths from a baseline begin that only some inputs have, ``[N, C, *spatial]``.

        Raises:
            MethodError: If these inputs do not have it.
        """
        raise MethodError(
            f"baseline {baseline!r} is for text inputs only; expected 'zeros', 'mean', 'noise' or a tensor, or "
            "`embedding='auto'` to explain text inputs"
        )

    def fed(self, explained: Tensor, samples: Tensor) -> AbstractContextManager[Any]:
        """Put rows in place once more, for whatever of the model runs while gradients are taken of :meth:`call`.

        Args:
            explained: As for :meth:`call`.
            samples: As for :meth:`call`.
        """
        return nullcontext()

    def copied(self, explained: Tensor) -> Tensor:
        """Return what is fed to the model in place of ``explained``: the model may work in place on it."""
        return explained.clone()

    def call(self, model: Callable[..., Any], explained: Tensor, samples: Tensor) -> Any:
        """Run ``model`` on rows of this batch.

        Args:
            model: The model, or a function with the signature of its ``forward``.
            explained: What is fed in place of the explained tensor, ``[M, C, *spatial]``.
            samples: The sample each row belongs to, ``[M]``; the other tensors' rows are selected by it.
        """
        return feed(model, self.with_explained(explained, samples), self.attribute_to)

    def with_explained(self, explained: Tensor, samples: Tensor) -> Any:
        """Return the batch as it was given, for some samples and with another explained tensor.

        Args:
            explained: What takes the place of the explained tensor, ``[M, C, *spatial]``.
            samples: The sample each row belongs to, ``[M]``.
        """
        explained = self._as_given(explained)
        if isinstance(self.structure, Tensor):
            return explained
        rows = self.rows(samples)
        if isinstance(rows, tuple):
            return tuple(explained if position == self.attribute_to else row for position, row in enumerate(rows))
        return {**rows, self.attribute_to: explained}

    def _as_given(self, explained: Tensor) -> Tensor:
        """Return ``explained`` with its axes where the model takes them."""
        dim = channel_dim(self.axes, explained)
        return explained if dim == 1 else explained.movedim(1, dim).contiguous()

    def rows(self, samples: Tensor) -> Any:
        """Return copies of all inputs for some samples ``[M]``."""

        def rows_of(name: str, tensor: Tensor) -> Tensor:
            # Always a copy: the model may work in place on what it is fed.
            is_batched = self._is_batched(name, tensor)
            return tensor.index_select(0, samples.to(tensor.device)) if is_batched else tensor.clone()

        return mapped(self.structure, rows_of)

    def _is_batched(self, name: str, tensor: Tensor) -> bool:
        if tensor.ndim == 0 or tensor.shape[0] != self.n_samples:
            return False
        return not any(name == whole or name.startswith(f"{whole}.") for whole in self.shared)


def feed(model: Callable[..., Any], inputs: Any, explained: int | str | None = None) -> Any:
    """Run a model on a tensor, a tuple (as positional arguments) or a dictionary (by name, or whole).

    A dictionary that is fed whole has its entries as attributes, too: a model may read the batch as an object.

    Args:
        model: The model, or a function with the signature of its ``forward``.
        inputs: What to feed.
        explained: Key of the entry without which the forward cannot be meant to take them by name.
    """
    if isinstance(inputs, tuple):
        return model(*inputs)
    if not isinstance(inputs, Mapping):
        return model(inputs)
    accepted = _accepted(model, dict(inputs), explained)
    return model(FieldDict(inputs)) if accepted is None else model(**accepted)


def _explained_key(structure: tuple[Any, ...] | Mapping[str, Any], attribute_to: int | str | None) -> int | str:
    named = named_key(structure, attribute_to)
    if named is not None:
        return named
    entries: dict[Any, Any] = dict(structure) if isinstance(structure, Mapping) else dict(enumerate(structure))
    candidates = [
        key
        for key, value in entries.items()
        if isinstance(value, Tensor) and value.is_floating_point() and 3 <= value.ndim <= 5
    ]
    # A mask may look like an image; its name tells.
    likely = [key for key in candidates if str(key).lower() not in MASK_KEYS and not names_labels(key)]
    if len(likely) != 1:
        raise InputError(_ambiguity(entries, likely or candidates))
    key: int | str = likely[0]
    return key


def _ambiguity(entries: Mapping[Any, Any], candidates: Sequence[Any]) -> str:
    """Return what to do where not exactly one of the inputs could be explained."""
    if candidates:
        are_pictures = all(isinstance(key, int) and entries[key].ndim == 3 for key in candidates)
        advice = ". Pictures [C, H, W] in a list become one tensor first, torch.stack(pictures)" if are_pictures else ""
        return (
            f"{len(candidates)} of the inputs {sorted(map(str, entries))} could be explained: {candidates}; expected "
            "exactly one floating-point tensor [N, C, *spatial]. If the model takes all of them, name the one to "
            f"explain with `attribute_to={candidates[0]!r}` (ModelReading(attribute_to=…) of a callback); if it takes "
            f"only one, choose it with Probe(unpack_batch=…), a function batch -> (inputs, labels){advice}"
        )
    if any(
        isinstance(value, Tensor) and value.ndim == 2 and not value.is_floating_point() for value in entries.values()
    ):
        return f"the inputs {sorted(map(str, entries))} are integers, {_IDS}"
    shapes = {key: list(value.shape) for key, value in entries.items() if isinstance(value, Tensor)}
    return (
        f"none of the inputs {shapes} could be explained; expected a floating-point tensor [N, C, *spatial]. Tabular "
        "data [N, features] is not supported, because maps need positions; give a signal [N, T] a channel with "
        "`x.unsqueeze(1)`"
    )


def _check_explained(tensor: Any, name: str) -> None:
    if not isinstance(tensor, Tensor):
        raise InputError(f"{name} is of type {type(tensor).__name__}; expected a tensor [N, C, *spatial]")
    if not tensor.is_floating_point() and tensor.ndim <= 2:
        raise InputError(f"{name} has shape {list(tensor.shape)} and dtype {tensor.dtype}, {_IDS}")
    if not tensor.is_floating_point():
        raise InputError(
            f"{name} has dtype {tensor.dtype}; expected floating point, because gradients are taken with respect to "
            "it. Convert it as in training, e.g. `.float() / 255`; text inputs are explained with "
            "TokenSaliencyMonitor, or with `embedding='auto'`"
        )
    if tensor.ndim == 2 and tensor.numel():
        raise InputError(
            f"{name} has shape {list(tensor.shape)}; expected [N, C, *spatial] with 1, 2 or 3 spatial dimensions. "
            "Tabular data [N, features] is not supported, because maps need positions. Signals [N, T] need a channel, "
            "[N, 1, T], and a single image [H, W] or [C, H, W] needs a batch dimension: `x.unsqueeze(…)`"
        )
    if not 3 <= tensor.ndim <= 5 or tensor.numel() == 0:
        raise InputError(
            f"{name} has shape {list(tensor.shape)}; expected [N, C, *spatial] with N ≥ 1 and 1, 2 or 3 spatial "
            "dimensions. Add a batch or channel dimension, e.g. `x.unsqueeze(0)`"
        )


def _accepted(
    model: Callable[..., Any], arguments: dict[Any, Any], explained: int | str | None
) -> dict[Any, Any] | None:
    """Return the arguments that the forward takes by their names; ``None`` where it takes the dictionary itself."""
    # The forward of a compiled module takes anything; that of the module inside does not.
    inner = getattr(model, "_orig_mod", model)
    try:
        signature = inspect.signature(getattr(inner, "forward", inner))
    except (TypeError, ValueError):
        return None
    # A batch may hold more than the model is interested in.
    known = {name: value for name, value in arguments.items() if name in signature.parameters}
    for chosen in (arguments, known if explained is None or explained in known else {}):
        try:
            signature.bind(**chosen)
        except TypeError:
            continue
        if chosen:
            return chosen
    return None
