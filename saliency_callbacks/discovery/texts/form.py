"""The inputs of a model of texts, made of ids alone: masks and all else that goes with them follow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from typing_extensions import Self

from saliency_callbacks.capture.inputs import ModelInputs
from saliency_callbacks.config.nested import describe
from saliency_callbacks.discovery.texts.samples import PADDING
from saliency_callbacks.errors import InputError
from saliency_callbacks.text.ids import entries_of

__all__ = ["TextForm"]

Companion = Callable[[Tensor], Any]
"""From which tokens are padding, bool ``[N, T]``, to what goes with them."""


@dataclass(frozen=True, eq=False)
class TextForm:
    """How ids become what a model takes.

    Args:
        key: Key or position of the ids; ``None`` where they are all of the inputs.
        pad_id: What texts are padded with.
        dtype: Type of the ids.
        companions: Name of everything else → what makes it.
        is_mapping: Whether the inputs are a dictionary, or else a tuple.

    Example:
        >>> from saliency_callbacks.capture.text.settings import read_ids
        >>> ids = torch.tensor([[4, 5], [6, 0]])
        >>> form = TextForm.of(read_ids({"input_ids": ids, "attention_mask": (ids > 0).long()}), ids == 0)
        >>> form.fed(torch.tensor([[7, PADDING]]))
        {'input_ids': tensor([[7, 0]]), 'attention_mask': tensor([[1, 0]])}
    """

    key: int | str | None
    pad_id: int
    dtype: torch.dtype
    companions: Mapping[Any, Companion]
    is_mapping: bool

    @classmethod
    def of(cls, batch: ModelInputs, padding: Tensor) -> Self:
        """Return the form of a batch.

        Args:
            batch: The inputs as they were given.
            padding: Which of their tokens are padding, bool ``[N, T]``.

        Raises:
            InputError: If something goes with the tokens that cannot be made for other texts.
        """
        ids, empty = batch.explained.cpu(), padding.cpu()
        key = batch.attribute_to
        return cls(
            key=key,
            pad_id=int(ids[empty].mode().values) if empty.any() else 0,
            dtype=ids.dtype,
            companions={
                name: _companion(name, value, empty)
                for name, value in entries_of(batch.structure).items()
                if name != key
            },
            is_mapping=isinstance(batch.structure, Mapping),
        )

    def fed(self, ids: Tensor) -> Any:
        """Return inputs of the model for ids ``[N, T]`` that have :data:`~.samples.PADDING` for padding."""
        padding = ids == PADDING
        filled = ids.masked_fill(padding, self.pad_id).to(self.dtype)
        if self.key is None:
            return filled
        made = {name: make(padding) for name, make in self.companions.items()}
        entries: dict[Any, Any] = {self.key: filled, **made}
        return entries if self.is_mapping else tuple(entries[position] for position in sorted(entries))


def _companion(name: Any, value: Any, padding: Tensor) -> Companion:
    """Return what makes a part of the inputs for other texts.

    Raises:
        InputError: If it says something of each text that ids do not tell.
    """
    if not isinstance(value, Tensor) or not value.ndim or len(value) != len(padding):
        return lambda _: value
    given = value.cpu()
    for make in _makers(given, padding):
        made = make(padding)
        if made.shape == given.shape and torch.equal(made.to(given), given):
            return partial(_as, make, given.dtype)
    raise InputError(
        f"inputs[{name!r}], {describe(value)}, holds information on each text that its ids do not; expected a padding "
        "mask, positions from 0 up, lengths, or one value for all tokens. Leave it out of the inputs, e.g. with "
        "Probe(unpack_batch=…), or derive it from the ids in a function around the model"
    )


def _makers(given: Tensor, padding: Tensor) -> Iterator[Callable[[Tensor], Tensor]]:
    # In this order, as the mask of texts without padding is one value for all tokens: 1, and of bools either.
    yield torch.logical_not
    if given.dtype == torch.bool or padding.any():
        yield torch.clone
    yield lambda empty: torch.arange(empty.shape[1]).expand(empty.shape)
    yield lambda empty: (~empty).sum(dim=1)
    if given.shape == padding.shape:
        one, of_padding = given[~padding][0].item(), given[padding][0].item() if padding.any() else 0
        yield lambda empty: torch.where(empty, of_padding, one)


def _as(make: Callable[[Tensor], Tensor], dtype: torch.dtype, padding: Tensor) -> Tensor:
    return make(padding).to(dtype)
