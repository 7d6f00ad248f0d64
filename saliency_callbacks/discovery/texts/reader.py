"""How a search asks a model of texts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import Self

from saliency_callbacks.capture.structure import mapped
from saliency_callbacks.discovery.texts.form import TextForm
from saliency_callbacks.engine.logits import run_logits
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.errors import InputError
from saliency_callbacks.targets.link import LOGITS, Link

__all__ = ["TextReader"]

_AT_ONCE = 256
"""So many texts are on the model's device at a time."""


class TextReader:
    """Asks a model of texts.

    Args:
        form: How ids become inputs of the model.
        move: Puts such inputs where the model is.
        run: From these to the model's outputs ``[N, classes]``.
        link: How these are read.

    Example:
        >>> from saliency_callbacks.capture.text.settings import TokenSettings, read_ids
        >>> model = nn.Sequential(nn.Embedding(9, 2, padding_idx=0), nn.Flatten(), nn.Linear(4, 3))
        >>> ids = torch.tensor([[4, 0]])
        >>> form = TextForm.of(read_ids(ids), ids == 0)
        >>> reader = TextReader.of_model(model, form, Settings(methods=(), tokens=TokenSettings()))
        >>> torch.equal(reader.logits(torch.tensor([[4, -1]])), model(ids).detach())
        True
    """

    def __init__(
        self,
        form: TextForm,
        move: Callable[[Any], Any],
        run: Callable[[Any], Tensor],
        link: Link = LOGITS,
    ) -> None:
        self._form = form
        self._move = move
        self._run = run
        self._link = link

    @classmethod
    def of_model(cls, model: nn.Module, form: TextForm, settings: Settings, link: Link = LOGITS) -> Self:
        """Return what asks a model without a Trainer."""
        device = next((weight.device for weight in model.parameters()), torch.device("cpu"))
        return cls(
            form,
            lambda inputs: mapped(inputs, lambda name, value: value.to(device)),
            lambda inputs: run_logits(model, inputs, settings),
            link,
        )

    def fed(self, inputs: Tensor) -> Any:
        """Return what the model takes for ids that have :data:`~.samples.PADDING` for padding."""
        return self._move(self._form.fed(inputs))

    def logits(self, inputs: Tensor) -> Tensor:
        """Return the logits of all classes ``[N, K]`` for ids that have :data:`~.samples.PADDING` for padding."""
        parts = [self._run(self.fed(part)) for part in inputs.split(_AT_ONCE)]
        return self._link.columns(torch.cat(parts).cpu()).float()

    def gradients(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Raise an :class:`~saliency_callbacks.errors.InputError`: ids have no gradient, and nobody asks for it."""
        raise InputError(
            f"gradients were requested for ids {list(inputs.shape)}, which have none; expected a generator of text "
            "inputs, which requests only logits"
        )
