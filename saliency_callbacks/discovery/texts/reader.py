"""How a search asks a model of texts: from ids alone, with masks and all else that goes with them made anew."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from saliency_callbacks.capture.inputs import ModelInputs
from saliency_callbacks.config.nested import describe
from saliency_callbacks.discovery.texts.samples import PADDING
from saliency_callbacks.engine.run import run_logits
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.errors import InputError
from saliency_callbacks.targets.link import LOGITS, Link
from saliency_callbacks.text.ids import entries_of

__all__ = ["TextReader"]

Companion = Callable[[Tensor], Any]
"""From which tokens are padding, bool ``[N, T]``, to what goes with them."""


class TextReader:
    """Asks a model of texts.

    Args:
        model: Takes ids ``[N, T]``, alone or in a tuple or dictionary with masks and such.
        batch: The inputs as they were given: their form, and what goes with the ids.
        padding: Which of their tokens are padding, bool ``[N, T]``.
        settings: How the model is run.
        link: How its outputs are read.

    Raises:
        InputError: If something goes with the tokens that cannot be made for other texts.

    Example:
        >>> model = nn.Sequential(nn.Embedding(9, 2, padding_idx=0), nn.Flatten(), nn.Linear(4, 3))
        >>> from saliency_callbacks.capture.text.settings import TokenSettings, read_ids
        >>> ids = torch.tensor([[4, 0]])
        >>> settings = Settings(methods=(), tokens=TokenSettings())
        >>> reader = TextReader(model, read_ids(ids), ids == 0, settings)
        >>> torch.equal(reader.logits(torch.tensor([[4, PADDING]])), model(ids).detach())
        True
    """

    def __init__(
        self,
        model: nn.Module,
        batch: ModelInputs,
        padding: Tensor,
        settings: Settings,
        link: Link = LOGITS,
    ) -> None:
        self._model = model
        self._settings = settings
        self._link = link
        self._key = batch.attribute_to
        self._is_mapping = isinstance(batch.structure, Mapping)
        ids = batch.explained
        self._pad_id = int(ids[padding].mode().values) if padding.any() else 0
        self._dtype = ids.dtype
        self._companions = {
            name: _companion(name, value, padding.cpu(), ids)
            for name, value in entries_of(batch.structure).items()
            if name != batch.attribute_to
        }

    def logits(self, inputs: Tensor) -> Tensor:
        """Return the logits of all classes ``[N, K]`` for ids with :data:`~.samples.PADDING` for padding."""
        return self._link.columns(run_logits(self._model, self._fed(inputs), self._settings).cpu())

    def gradients(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Return nothing: ids have no gradient.

        Raises:
            InputError: Always.
        """
        raise InputError(
            f"Gradients were asked for of ids {list(inputs.shape)}, which have none; expected a generator of text "
            "inputs, which asks for logits alone"
        )

    def _fed(self, ids: Tensor) -> Any:
        device = next((weight.device for weight in self._model.parameters()), torch.device("cpu"))
        padding = ids == PADDING
        filled = ids.masked_fill(padding, self._pad_id).to(device, self._dtype)
        if self._key is None:
            return filled
        made = {name: make(padding) for name, make in self._companions.items()}
        moved = {name: value.to(device) if isinstance(value, Tensor) else value for name, value in made.items()}
        entries = {**moved, self._key: filled}
        # In a tuple, the ids have a place of their own.
        return entries if self._is_mapping else tuple(entries[name] for name in sorted(entries))


def _companion(name: Any, value: Any, padding: Tensor, ids: Tensor) -> Companion:
    """Return what makes a part of the inputs for other texts.

    Raises:
        InputError: If it says something of each text that ids do not tell.
    """
    if not isinstance(value, Tensor) or not value.ndim or len(value) != len(ids):
        return lambda _: value
    given = value.cpu()
    counts = (~padding).sum(dim=1)
    if given.shape == padding.shape:
        if torch.equal(given.bool(), ~padding) and bool(((given == 0) | (given == 1)).all()):
            return lambda empty: (~empty).to(given.dtype)
        if torch.equal(given.bool(), padding) and bool(((given == 0) | (given == 1)).all()):
            return lambda empty: empty.to(given.dtype)
        if torch.equal(given, torch.arange(given.shape[1]).expand_as(given).to(given)):
            return lambda empty: torch.arange(empty.shape[1]).expand(empty.shape).to(given.dtype)
        if bool((given[~padding] == given[~padding][0]).all()):
            return lambda empty: torch.full(empty.shape, given[~padding][0].item(), dtype=given.dtype)
    if given.shape == counts.shape and torch.equal(given, counts.to(given)):
        return lambda empty: (~empty).sum(dim=1).to(given.dtype)
    raise InputError(
        f"inputs[{name!r}], {describe(value)}, says something of each text that its ids do not tell; expected a mask "
        "of padding, positions from 0 up, lengths, or one value for all tokens. Leave it out of the inputs, e.g. with "
        "Probe(unpack_batch=…), or let a function around the model make it from the ids"
    )
