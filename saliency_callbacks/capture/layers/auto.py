"""The target layer of an unknown model, found by running it once."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from saliency_callbacks.capture.hooks import ActivationRecorder
from saliency_callbacks.capture.inputs import ModelInputs
from saliency_callbacks.capture.layers.layout import SpatialLayout, find_layout, has_own_layout
from saliency_callbacks.capture.loss_scale import LossScale
from saliency_callbacks.errors import LayerError

__all__ = ["find_target_layer", "trace_layouts"]

# Their output has the shape of a map, but they add nothing to the layer before, or stretch a single value.
_PASS_THROUGH = (
    nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveAvgPool3d,
    nn.AdaptiveMaxPool1d,
    nn.AdaptiveMaxPool2d,
    nn.AdaptiveMaxPool3d,
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.Identity,
)
_FIRST_BLOCK = 16


def find_target_layer(
    model: nn.Module, inputs: ModelInputs, score: Callable[[Any, Tensor], Tensor], *, n_rows: Sequence[int] = (1,)
) -> str:
    """Return the name of the last layer with a spatial map and a non-zero gradient, in execution order.

    The gradient is looked at on the map alone: in the last block of a vision transformer only the class
    token has one, and the layer before it is found. Of nested modules with one output, the outermost wins.

    Args:
        model: The model, quiescent.
        inputs: A batch.
        score: ``(model output, samples [M]) -> [M]`` explained scores.
        n_rows: How many of the first samples are run; the next number is tried where all gradients are zero.

    Raises:
        LayerError: If no layer qualifies.
    """
    for rows in sorted(set(n_rows)):
        name = _last_with_gradient(model, inputs, score, rows)
        if name is not None:
            return name
    # A head that is initialized with zeros (as of vision transformers) blocks every gradient, though not for
    # long; look at how the model is wired instead of at this one value.
    name = _last_with_gradient(model, inputs, score, n_rows[-1], parameters=_without_zero_weights(model))
    if name is None:
        raise LayerError(
            f"no layer of {type(model).__name__} has a spatial map that the explained score depends on; give "
            "`target_layers=` (and `reshape_transform=` for an unusual layout), or use input methods only"
            + _possible_causes(model, inputs, n_rows[-1])
        )
    return name


def trace_layouts(model: nn.Module, inputs: ModelInputs) -> Mapping[str, SpatialLayout]:
    """Run the first sample and return the layout of every module's output that has one, in execution order."""
    candidates = _candidates(model)
    rows = torch.arange(1, device=inputs.explained.device)
    with torch.no_grad(), ActivationRecorder(candidates) as recorder:
        # A clone: the model may work in place on what it is fed.
        inputs.call(model, inputs.explained[:1].clone(), rows)
    return _layouts(recorder.outputs, candidates, inputs, len(rows))


def _candidates(model: nn.Module) -> dict[str, nn.Module]:
    # TorchScript runs no hooks.
    return {
        name: module
        for name, module in model.named_modules()
        if name and not isinstance(module, torch.jit.ScriptModule)
    }


def _possible_causes(model: nn.Module, inputs: ModelInputs, n_rows: int) -> str:
    samples = torch.arange(min(n_rows, inputs.n_samples), device=inputs.explained.device)
    with ActivationRecorder(_candidates(model)) as recorder:
        inputs.call(model, inputs.explained.index_select(0, samples), samples)
    causes = []
    if recorder.under_no_grad:
        causes.append("parts of the model run under `torch.no_grad()`")
    if recorder.complex_valued:
        causes.append("the outputs of some layers are complex, which have no map")
    if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        causes.append("parts of the model are TorchScript, whose layers cannot be seen")
    return f". Possible causes: {'; '.join(causes)}" if causes else ""


def _last_with_gradient(
    model: nn.Module,
    inputs: ModelInputs,
    score: Callable[[Any, Tensor], Tensor],
    n_rows: int,
    parameters: Mapping[str, Tensor] | None = None,
) -> str | None:
    candidates = _candidates(model)
    samples = torch.arange(min(n_rows, inputs.n_samples), device=inputs.explained.device)
    rows = inputs.explained.index_select(0, samples).requires_grad_(True)
    with ActivationRecorder(candidates) as recorder:
        total = score(inputs.call(_with_parameters(model, parameters), rows.clone(), samples), samples).sum()
        if not total.requires_grad:
            return None
        layouts = _layouts(recorder.outputs, candidates, inputs, len(samples))
        names = [name for name in layouts if not isinstance(candidates[name], _PASS_THROUGH)]
        return _last_non_zero(total, {name: recorder.outputs[name] for name in names}, layouts)


def _layouts(
    outputs: Mapping[str, Tensor], modules: Mapping[str, nn.Module], inputs: ModelInputs, n_rows: int
) -> dict[str, SpatialLayout]:
    input_spatial = tuple(inputs.explained.shape[2:])
    layouts: dict[str, SpatialLayout] = {}
    certain: dict[torch.Size, set[SpatialLayout]] = {}
    for name, output in outputs.items():
        module = modules[name]
        known = [layout.spatial for layout in layouts.values() if layout.order != "tokens"]
        layout = find_layout(output.shape, input_spatial, n_rows=n_rows, module=module, known_sizes=known)
        alike = certain.setdefault(output.shape, set())
        if layout is not None and has_own_layout(module):
            alike.add(layout)
        elif len(alike) == 1:
            # A block around linear layers and normalizations hands on what they do.
            (layout,) = alike
        if layout is not None and math.prod(layout.spatial) <= math.prod(input_spatial):
            layouts[name] = layout
    return layouts


def _last_non_zero(total: Tensor, outputs: Mapping[str, Tensor], layouts: Mapping[str, SpatialLayout]) -> str | None:
    names, size, loss_scale = list(outputs), _FIRST_BLOCK, LossScale()
    # From the end, so that the backward stops close to the output; in growing blocks, as each one starts over.
    while names:
        names, block = names[:-size], names[-size:]
        size *= 4
        gradients = loss_scale.gradients(total, [outputs[name] for name in block], keep_graph=True)
        for name, gradient in reversed(list(zip(block, gradients, strict=True))):
            if gradient is not None and layouts[name].to_map(gradient).any():
                return name
    return None


def _with_parameters(model: nn.Module, parameters: Mapping[str, Tensor] | None) -> Callable[..., Any]:
    if not parameters:
        return model

    @functools.wraps(model.forward)
    def run(*args: Any, **kwargs: Any) -> Any:
        return torch.func.functional_call(model, dict(parameters), args, kwargs)

    return run


def _without_zero_weights(model: nn.Module) -> dict[str, Tensor]:
    generator = torch.Generator("cpu").manual_seed(0)
    scripted = {
        id(weight)
        for module in model.modules()
        if isinstance(module, torch.jit.ScriptModule)
        for weight in module.parameters()
    }
    return {
        name: torch.randn(weight.shape, generator=generator, device="cpu").to(weight)
        for name, weight in model.named_parameters()
        if id(weight) not in scripted and weight.ndim >= 2 and not weight.any()
    }
