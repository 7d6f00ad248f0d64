"""The target layer of an unknown model, found by running it once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from saliency_callbacks.capture.hooks import ActivationRecorder, LayerCall
from saliency_callbacks.capture.inputs import ModelInputs
from saliency_callbacks.capture.layers.calls import ends_of_chains
from saliency_callbacks.capture.layers.dataflow import node_of
from saliency_callbacks.capture.layers.grids import call_layouts
from saliency_callbacks.capture.layers.head import read_as_they_are
from saliency_callbacks.capture.layers.layout import SpatialLayout
from saliency_callbacks.capture.layers.trace import Score, Trace, traced_modules
from saliency_callbacks.capture.loss_scale import LossScale
from saliency_callbacks.errors import LayerError

__all__ = ["find_target_layer", "without_zero_weights"]

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

Candidates = list[tuple[LayerCall, SpatialLayout]]


def find_target_layer(model: nn.Module, inputs: ModelInputs, score: Score, *, n_rows: Sequence[int] = (1,)) -> str:
    """Return the name of the last layer with a map of the explained input and a gradient, in execution order.

    A map lies on a grid that the model is known to have, at positions that come from those of the explained input;
    what an attention multiplies is none, and neither is the prediction of a dense model itself. The gradient is looked
    at on the map alone: in the last block of a vision transformer only the class token has one, and what its last
    attention reads is found. Of nested modules with one output, the outermost wins.

    Args:
        model: The model, quiescent.
        inputs: A batch.
        score: ``(model output, samples [M]) -> [M]`` explained scores.
        n_rows: How many of the first samples are run; the next number is tried where all gradients are zero.

    Raises:
        LayerError: If no layer qualifies.
    """
    for rows in sorted(set(n_rows)):
        name = _last_with_gradient(Trace.of(model, inputs, score, rows))
        if name is not None:
            return name
    # A head that is initialized with zeros (as of vision transformers) blocks every gradient, though not for
    # long; look at how the model is wired instead of at this one value.
    trace = Trace.of(model, inputs, score, n_rows[-1], without_zero_weights(model))
    name = _last_with_gradient(trace)
    if name is None:
        raise LayerError(
            f"no layer of {type(model).__name__} has a spatial map that the explained score depends on. Give "
            "`target_layers=` (and `reshape_transform=` for an unusual layout), or use only methods that explain the "
            "input" + _possible_causes(model, inputs, n_rows[-1], trace)
        )
    return name


def _last_with_gradient(trace: Trace | None) -> str | None:
    if trace is None:
        return None
    candidates = _candidates(trace)
    # A layer that runs at several scales, as the heads of a detector do, has no one map, if anything else has.
    return _last_non_zero(trace, candidates, _has_one_map) or _last_non_zero(trace, candidates, _is_last)


def _candidates(trace: Trace) -> Candidates:
    layouts = call_layouts(trace)
    inside = trace.flow.inside_attention(trace.dependent)
    maps = [
        (call, layout)
        for call, layout in zip(trace.calls, layouts, strict=True)
        if layout is not None
        and not isinstance(trace.modules[call.name], _PASS_THROUGH)
        and node_of(call.output) not in inside
    ]
    predictions = read_as_they_are(trace, maps)
    return [(call, layout) for call, layout in maps if call not in predictions]


def _last_non_zero(trace: Trace, candidates: Candidates, accepts: Callable[[Trace, LayerCall], bool]) -> str | None:
    size, loss_scale = _FIRST_BLOCK, LossScale()
    # From the end, so that the backward stops close to the output; in growing blocks, as each one starts over.
    while candidates:
        candidates, block = candidates[:-size], candidates[-size:]
        size *= 4
        gradients = loss_scale.gradients(trace.score, [call.output for call, _ in block], keep_graph=True)
        for (call, layout), gradient in reversed(list(zip(block, gradients, strict=True))):
            if gradient is not None and layout.to_map(gradient).any() and accepts(trace, call):
                return call.name
    return None


def _is_last(trace: Trace, call: LayerCall) -> bool:
    return any(call is end for end in _ends(trace, call))


def _has_one_map(trace: Trace, call: LayerCall) -> bool:
    ends = _ends(trace, call)
    return any(call is end for end in ends) and len({end.output.shape for end in ends}) == 1


def _ends(trace: Trace, call: LayerCall) -> list[LayerCall]:
    calls = [other for other in trace.calls if other.name == call.name]
    return [calls[number] for number in ends_of_chains(trace, calls)] if len(calls) > 1 else calls


def _possible_causes(model: nn.Module, inputs: ModelInputs, n_rows: int, trace: Trace | None) -> str:
    samples = torch.arange(min(n_rows, inputs.n_samples), device=inputs.explained.device)
    with ActivationRecorder(traced_modules(model)) as recorder:
        inputs.call(model, inputs.explained.index_select(0, samples), samples)
    causes = []
    if recorder.under_no_grad:
        causes.append("parts of the model run under `torch.no_grad()`")
    if recorder.complex_valued:
        causes.append("the outputs of some layers are complex-valued")
    if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        causes.append("parts of the model are TorchScript, whose layers cannot be observed")
    if trace is not None and _feeds_frames_in_turn(trace):
        causes.append(
            "each frame of a video is fed in a separate call, so no call has the map of all frames; feed them "
            "together as rows, `frames.flatten(0, 1)`, which computes the same"
        )
    if trace is not None and any(layout is not None for layout in call_layouts(trace)):
        causes.append(
            "the only layers with a map are the explained prediction itself, or lie inside an attention block"
        )
    return f". Possible causes: {'; '.join(causes)}" if causes else ""


def _feeds_frames_in_turn(trace: Trace) -> bool:
    """Whether there are layers with a map that run once for each frame of a video."""
    whole = trace.rows.shape[2:]
    calls = Counter(call.name for call in trace.calls if call.output.ndim == len(whole) + 1 and trace.depends(call))
    return len(whole) == 3 and whole[0] > 1 and whole[0] in calls.values()


def without_zero_weights(model: nn.Module) -> dict[str, Tensor]:
    """Return random weights in place of those that are all zero, by name."""
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
