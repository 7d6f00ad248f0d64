"""A method that is a function of a person's own, or of any library."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from torch import Tensor, nn

from saliency_callbacks.config.checks import checked_choice, checked_flag
from saliency_callbacks.config.dotted_paths import resolve_callable
from saliency_callbacks.config.hydra import plain
from saliency_callbacks.config.recorded import recorded_settings
from saliency_callbacks.errors import MethodError
from saliency_callbacks.types import Pass, Quantity, Reduction, TargetLayers

__all__ = ["TARGET_LAYERS", "Explainer", "ExternalMethod", "ModelRun"]

Rows = Literal["batch", "one"]
Explainer = Callable[[Tensor, Tensor, Tensor], Any]
"""``(inputs [n, C, *spatial], target [n], samples [n]) -> maps``."""

TARGET_LAYERS = "target_layers"
"""What ``layer`` is where a method is about the target layers of the callback."""


@dataclass(frozen=True, kw_only=True, repr=False)
class ModelRun:
    """What all methods that run the model themselves are told; base of the presets."""

    name: str
    layer: Any = None
    signed: bool = True
    reduction: Reduction = "abs_sum"
    stochastic: bool = False
    rows: Rows = "batch"

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not any(map(str.isalnum, self.name)):
            raise MethodError(f"name={self.name!r}; expected a name with letters, which becomes part of tags")
        checked_choice(f"{self.name}: reduction", self.reduction, get_args(Reduction), error=MethodError)
        checked_choice(f"{self.name}: rows", self.rows, get_args(Rows), error=MethodError)
        checked_flag(f"{self.name}: signed", self.signed, error=MethodError)
        checked_flag(f"{self.name}: stochastic", self.stochastic, error=MethodError)
        layer = plain(self.layer)
        self._set("layer", tuple(layer) if isinstance(layer, list) else layer)

    def __repr__(self) -> str:
        return recorded_settings(self)

    def requires(self) -> Mapping[Pass, Quantity]:
        """Return no pass."""
        return {}

    def check(self, model: nn.Module, layers: Mapping[str, nn.Module]) -> None:
        """Find what is wrong with a model before it is run: nothing, unless a preset knows better.

        Args:
            model: The explained model.
            layers: The layers that the method is about, by name; empty where they are not known yet.

        Raises:
            ExternalMethodError: If the method cannot explain it.
        """

    def _set(self, field: str, value: Any) -> None:
        object.__setattr__(self, field, value)


@dataclass(frozen=True, repr=False)
class ExternalMethod(ModelRun):
    """Any function that explains a model, with the probe, drift, tests, dashboards and report of the built-in methods.

    It runs after the shared passes, on the same samples and for the same classes, in evaluation mode and full
    precision, with seeded noise. Its model takes the explained tensor alone, ``[M, C, *spatial]`` (of text inputs the
    embeddings ``[M, D, T]``); all else that the real model is fed is added. It returns class scores ``[M, K]``; of a
    ``ContrastTarget`` a column for each pair of classes; of another callable the explained score ``[M, 1]``, of which
    ``target`` is 0. Afterwards everything is as
    before. Changed parameters, modules or ``requires_grad`` are put back and are an error, as are maps of another
    shape, or that are not finite. With ``on_error="warn"`` a callback then leaves out this map only.

    Values are ``[N, C, *spatial]`` or ``[N, 1, h, w]``, in whatever units the function returns.

    Args:
        name: Key of the result and ``{method}`` in the logged tags.
        explain: ``(explainer or model, inputs, target, samples) -> maps``, or its dotted path. The maps are a tensor
            or NumPy array ``[N, C, *spatial]``, ``[N, *spatial]`` or ``[N, 1, h, w]``; ``target`` is ``[N]``, and
            ``samples [N]`` are the numbers of the samples in the batch that is explained now: the
            probe, or a part of a larger one.
        make: ``(model, layers) -> explainer``, or its dotted path: builds what ``explain`` is given in place of the
            model, anew for every observation and every random copy. ``layers`` is a sequence of modules with a
            ``reshape_transform``, see :class:`~saliency_callbacks.types.TargetLayers`.
        layer: Dotted name of the layer that ``make`` is given, or a list of these; ``"target_layers"`` for those of the
            callback. By default none, for methods at the input.
        signed: Whether signs mean something; if not, absolute values are taken.
        reduction: How channels become one map, as of :class:`~saliency_callbacks.methods.Gradient`.
        stochastic: Whether two seeds give two maps, so that a test measures how alike these are.
        rows: ``"batch"`` for as many samples at once as are run together. Where other inputs or the target differ from
            sample to sample, one at a time, as with ``"one"``: the model could not tell which sample a row is of.

    Raises:
        MethodError: If an argument cannot be used.

    Example:
        >>> import torch
        >>> from saliency_callbacks import explain
        >>> def occlusion(model, inputs, target, samples):
        ...     rows = torch.arange(len(inputs))
        ...     with torch.no_grad():
        ...         score = model(inputs)[rows, target]
        ...         maps = torch.zeros(len(inputs), *inputs.shape[2:])
        ...         for column in range(inputs.shape[-1]):
        ...             hidden = inputs.clone()
        ...             hidden[..., column] = 0
        ...             maps[..., column] = (score - model(hidden)[rows, target])[:, None]
        ...     return maps
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2))
        >>> found = explain(model, torch.rand(5, 3, 2, 2), methods=["gradient", ExternalMethod("occlusion", occlusion)])
        >>> found["occlusion"].values.shape, found["occlusion"].heatmap.shape
        (torch.Size([5, 1, 2, 2]), torch.Size([5, 2, 2]))
    """

    name: str
    # OmegaConf, in which Hydra keeps an object in a list, knows no unions of callables.
    explain: Any
    make: Any = None

    def __post_init__(self) -> None:
        super().__post_init__()
        try:
            self._set("explain", resolve_callable(f"{self.name}: explain", self.explain))
            self._set("make", resolve_callable(f"{self.name}: make", self.make))
        except ValueError as error:
            raise MethodError(str(error)) from error
        if self.explain is None:
            raise MethodError(
                f"{self.name}: explain=None; expected a function (model, inputs, target, samples) -> maps"
            )

    def explainer(self, model: nn.Module, layers: TargetLayers) -> Explainer:
        """Return the function for the model as it is now."""
        explain, explained = self.explain, model if self.make is None else self.make(model, layers)
        return lambda inputs, target, samples: explain(explained, inputs, target, samples)
