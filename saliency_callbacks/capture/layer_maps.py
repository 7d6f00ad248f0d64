"""Target layers of a model, and how the output of each is read as a map."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from saliency_callbacks.capture.auto_layer import find_target_layer, trace_grids
from saliency_callbacks.capture.grids import Grid, find_grid
from saliency_callbacks.capture.inputs import ModelInputs
from saliency_callbacks.capture.layers import find_layers
from saliency_callbacks.errors import LayerError

__all__ = ["LayerMaps"]


@dataclass(frozen=True)
class LayerMaps:
    """The target layers and the layout of their outputs.

    Args:
        model: The model, quiescent while maps are read.
        inputs: A batch for the model.
        layers: Name → module.
        reshape_transform: ``output -> [N, K, *spatial]``; ``None`` finds channels and tokens by itself.
        forward_context: Opened around every forward, e.g. for autocast.
    """

    model: nn.Module
    inputs: ModelInputs
    layers: Mapping[str, nn.Module]
    reshape_transform: Callable[[Tensor], Tensor] | None = None
    forward_context: Callable[[], AbstractContextManager[Any]] = nullcontext
    _grids: dict[str, Grid] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def resolve(
        cls,
        model: nn.Module,
        inputs: ModelInputs,
        target_layers: Any,
        score: Callable[[Any, Tensor], Tensor],
        reshape_transform: Callable[[Tensor], Tensor] | None = None,
        *,
        n_rows: Sequence[int] = (1,),
        forward_context: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> LayerMaps:
        """Resolve ``target_layers``; ``"auto"`` runs the model on ``n_rows`` samples.

        Raises:
            LayerError: If a layer is unknown, or ``"auto"`` finds none.
        """
        if isinstance(target_layers, str) and target_layers == "auto":
            with forward_context():
                target_layers = find_target_layer(model, inputs, score, n_rows=n_rows)
        return cls(model, inputs, find_layers(model, target_layers), reshape_transform, forward_context)

    def to_map(self, name: str, output: Tensor) -> Tensor:
        """Return a layer's output, or the gradient with respect to it, as ``[N, K, *spatial]``.

        Raises:
            LayerError: If the output has no spatial map, or ``reshape_transform`` returns none.
        """
        if self.reshape_transform is not None:
            return self._reshaped(name, output)
        if name not in self._grids:
            self._grids[name] = self._find_grid(name, output)
        return self._grids[name].to_map(output)

    def _reshaped(self, name: str, output: Tensor) -> Tensor:
        reshaped = self.reshape_transform(output) if self.reshape_transform else output
        n_spatial = self.inputs.explained.ndim - 2
        if not isinstance(reshaped, Tensor) or reshaped.ndim != n_spatial + 2:
            shape = list(reshaped.shape) if isinstance(reshaped, Tensor) else type(reshaped).__name__
            raise LayerError(
                f"reshape_transform turned the output {list(output.shape)} of layer {name!r} into {shape}; "
                f"expected [N, K, *spatial] with {n_spatial} spatial dimensions"
            )
        return reshaped

    def _find_grid(self, name: str, output: Tensor) -> Grid:
        spatial = self.inputs.explained.shape[2:]
        grid = find_grid(output.shape, spatial, module=self.layers[name])
        if grid is None or output.ndim == 3:
            # Earlier maps of the same forward tell the patches of a token sequence apart for certain, and a single row
            # tells samples from tokens.
            with self.forward_context():
                grid = trace_grids(self.model, self.inputs).get(name)
        if grid is None:
            raise LayerError(
                f"layer {name!r} has output {list(output.shape)}, which is no spatial map of an input with spatial "
                f"size {list(spatial)}; choose an earlier layer, 'auto', or give `reshape_transform=`"
            )
        return grid
