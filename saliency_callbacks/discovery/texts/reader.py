"""How a search asks a model of texts without a Trainer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from saliency_callbacks.capture.structure import mapped
from saliency_callbacks.discovery.texts.form import TextForm
from saliency_callbacks.engine.run import run_logits
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.errors import InputError
from saliency_callbacks.targets.link import LOGITS, Link

__all__ = ["TextReader", "no_gradients"]


class TextReader:
    """Asks a model of texts.

    Args:
        model: Takes what ``form`` makes of ids.
        form: How ids become its inputs.
        settings: How the model is run.
        link: How its outputs are read.

    Example:
        >>> from saliency_callbacks.capture.text.settings import TokenSettings, read_ids
        >>> model = nn.Sequential(nn.Embedding(9, 2, padding_idx=0), nn.Flatten(), nn.Linear(4, 3))
        >>> ids = torch.tensor([[4, 0]])
        >>> form = TextForm.of(read_ids(ids), ids == 0)
        >>> reader = TextReader(model, form, Settings(methods=(), tokens=TokenSettings()))
        >>> torch.equal(reader.logits(torch.tensor([[4, -1]])), model(ids).detach())
        True
    """

    def __init__(self, model: nn.Module, form: TextForm, settings: Settings, link: Link = LOGITS) -> None:
        self._model = model
        self._form = form
        self._settings = settings
        self._link = link

    def logits(self, inputs: Tensor) -> Tensor:
        """Return the logits of all classes ``[N, K]`` for ids that have :data:`~.samples.PADDING` for padding."""
        device = next((weight.device for weight in self._model.parameters()), torch.device("cpu"))
        fed = self._form.fed(inputs)
        moved = fed.to(device) if isinstance(fed, Tensor) else mapped(fed, lambda name, value: value.to(device))
        return self._link.columns(run_logits(self._model, moved, self._settings).cpu())

    def gradients(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Raise an :class:`~saliency_callbacks.errors.InputError`: ids have no gradient, and nobody asks for it."""
        raise no_gradients(inputs)


def no_gradients(inputs: Tensor) -> InputError:
    """Return the error for gradients of ids."""
    return InputError(
        f"Gradients were asked for of ids {list(inputs.shape)}, which have none; expected a generator of text "
        "inputs, which asks for logits alone"
    )
