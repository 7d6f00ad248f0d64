"""How a search asks the model: logits of any inputs, and where its decisions look."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from saliency_callbacks.config.nested import describe
from saliency_callbacks.engine.logits import run_logits
from saliency_callbacks.engine.run import run_engine
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.methods.gradients import Gradient
from saliency_callbacks.targets.link import LOGITS, Link
from saliency_callbacks.targets.logits import read_logits

__all__ = ["ModelReader", "PlainReader", "true_class_margin"]


class ModelReader(Protocol):
    """Asks the model about inputs as they are searched; see :class:`~saliency_callbacks.discovery.samples.Samples`."""

    def logits(self, inputs: Tensor) -> Tensor:
        """Return the logits of all classes ``[N, K]``, K ≥ 2, on the CPU."""

    def gradients(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Return the gradient of each sample's margin of its own class, like ``inputs``, on the CPU."""


class PlainReader:
    """Asks a model without a Trainer.

    Args:
        model: Takes ``preprocess(images)``.
        preprocess: From display images ``[N, C, H, W]`` in [0, 1] to what the model takes; nothing by default.
        settings: How the model is run.
        link: How its outputs are read.
    """

    def __init__(
        self,
        model: nn.Module,
        preprocess: Callable[[Tensor], Tensor] | None,
        settings: Settings,
        link: Link = LOGITS,
    ) -> None:
        self._model = model
        self._preprocess: Callable[[Tensor], Tensor] = preprocess or (lambda images: images)
        self._settings = replace(settings, methods=(Gradient(),))
        self._link = link

    def logits(self, inputs: Tensor) -> Tensor:
        """Return the logits of all classes ``[N, K]``."""
        return self._link.columns(run_logits(self._model, self.fed(inputs), self._settings).cpu())

    def gradients(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Return the gradient of each sample's margin of its own class, like ``inputs``."""
        shown = inputs.to(torch.float32, copy=True).requires_grad_()
        fed = self._recorded(shown)
        target = true_class_margin(labels, self._link)
        found = run_engine(self._model, fed.detach().to(self._device()), self._settings, [target])
        values = found.attributions[0]["gradient"].values.to(fed)
        if fed.requires_grad:
            return torch.autograd.grad(fed, shown, values)[0].cpu()
        # Of what cannot be differentiated, such as a detour over NumPy, only the places are known.
        places = values.abs().mean(dim=1, keepdim=True)
        return F.interpolate(places, shown.shape[2:], mode="bilinear").expand_as(shown).cpu()

    def fed(self, inputs: Tensor) -> Tensor:
        """Return inputs as the model takes them, on its device."""
        return self._preprocessed(inputs.float()).to(self._device())

    def _recorded(self, shown: Tensor) -> Tensor:
        """Return inputs as the model takes them, with the way back to the display images where there is one."""
        try:
            with torch.enable_grad():
                return self._preprocessed(shown)
        except RuntimeError:
            # NumPy and PIL refuse images that record gradients.
            return self._preprocessed(shown.detach())

    def _preprocessed(self, images: Tensor) -> Tensor:
        # A copy: normalizations often work in place.
        made: object = self._preprocess(images.clone())
        if not isinstance(made, Tensor) or len(made) != len(images):
            raise ConfigurationError(
                f"preprocess={self._preprocess!r} returns {describe(made)} for {describe(images)}; expected a tensor "
                "with one model input per image"
            )
        return made

    def _device(self) -> torch.device:
        return next((weight.device for weight in self._model.parameters()), torch.device("cpu"))


def true_class_margin(labels: Tensor, link: Link) -> Callable[[Any, Tensor], Tensor]:
    """Return a target: the margin m_y = z_y - max_{j≠y} z_j of each sample's own class y.

    Args:
        labels: Class of each sample, ``int64 [N]``.
        link: How outputs are read, as the ``output_fn`` of the settings returns them.
    """

    def margin_of_own_class(output: Any, samples: Tensor) -> Tensor:
        outputs = read_logits(output)
        columns = outputs if outputs.shape[1] > 1 else torch.cat([torch.zeros_like(outputs), outputs], dim=1)
        if link.gives_probabilities:
            columns = columns.clamp(min=torch.finfo(columns.dtype).tiny).log()
        own = labels.to(columns.device)[samples][:, None]
        others = columns.scatter(1, own, -torch.inf)
        return columns.gather(1, own)[:, 0] - others.amax(dim=1)

    return margin_of_own_class
