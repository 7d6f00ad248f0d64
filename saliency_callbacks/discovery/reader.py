"""How a search asks the model: logits of any inputs, and where its decisions look."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from saliency_callbacks.config.nested import describe
from saliency_callbacks.engine.run import run_engine, run_logits
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
        self._preprocess = preprocess
        self._settings = replace(settings, methods=(Gradient(),))
        self._link = link

    def logits(self, inputs: Tensor) -> Tensor:
        """Return the logits of all classes ``[N, K]``."""
        return self._link.columns(run_logits(self._model, self.fed(inputs), self._settings).cpu())

    def gradients(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Return the gradient of each sample's margin of its own class, like ``inputs``."""
        target = true_class_margin(labels, self._link, self._settings.output_fn)
        found = run_engine(self._model, self.fed(inputs), self._settings, [target])
        gradients = found.attributions[0]["gradient"].values.cpu()
        return gradients if self._preprocess is None else self._through_preprocess(inputs, gradients)

    def fed(self, inputs: Tensor) -> Tensor:
        """Return inputs as the model takes them, on its device."""
        device = next((weight.device for weight in self._model.parameters()), torch.device("cpu"))
        return self._preprocessed(inputs.float()).to(device).detach()

    def _preprocessed(self, images: Tensor) -> Tensor:
        if self._preprocess is None:
            return images
        # It may work in place.
        made: object = self._preprocess(images.clone())
        if not isinstance(made, Tensor) or len(made) != len(images):
            raise ConfigurationError(
                f"preprocess={self._preprocess!r} returns {describe(made)} for {describe(images)}; expected a tensor "
                "with one input of the model for each image"
            )
        return made

    def _through_preprocess(self, inputs: Tensor, gradients: Tensor) -> Tensor:
        """Return the gradients by display images, of those by what is made of them."""
        found = self._followed(inputs, gradients)
        if found is not None:
            return found
        if gradients.shape == inputs.shape:
            # Such as a normalization in NumPy: each pixel stays where it is, which is what counts.
            return gradients
        raise ConfigurationError(
            f"preprocess={self._preprocess!r} makes {describe(gradients)} of {describe(inputs)} by operations that "
            "gradients cannot be followed through; expected operations of torch, such as "
            "torch.nn.functional.interpolate, so that it is known which pixels the model looks at. Or leave 'copies' "
            "out of kinds=…, which alone asks for that"
        )

    def _followed(self, inputs: Tensor, gradients: Tensor) -> Tensor | None:
        """Return the gradients by display images; ``None`` where the preprocessing records none."""
        images = inputs.detach().float().requires_grad_()
        try:
            with torch.enable_grad():
                made = self._preprocessed(images).cpu()
        except RuntimeError:
            # The same images were preprocessed before: NumPy, say, refuses tensors that record gradients.
            return None
        if not made.requires_grad:
            return None
        return torch.autograd.grad(made, images, gradients.to(made), allow_unused=True)[0]


def true_class_margin(
    labels: Tensor, link: Link, output_fn: Callable[[Any], Any] | None = None
) -> Callable[[Any, Tensor], Tensor]:
    """Return a target: the margin m_y = z_y - max_{j≠y} z_j of each sample's own class y.

    Args:
        labels: Class of each sample, ``int64 [N]``.
        link: How outputs are read.
        output_fn: ``model output -> [N, classes]``.
    """

    def margin_of_own_class(output: Any, samples: Tensor) -> Tensor:
        outputs = read_logits(output, output_fn)
        columns = outputs if outputs.shape[1] > 1 else torch.cat([torch.zeros_like(outputs), outputs], dim=1)
        if link.gives_probabilities:
            columns = columns.clamp(min=torch.finfo(columns.dtype).tiny).log()
        own = labels.to(columns.device)[samples][:, None]
        others = columns.scatter(1, own, -torch.inf)
        return columns.gather(1, own)[:, 0] - others.amax(dim=1)

    return margin_of_own_class
