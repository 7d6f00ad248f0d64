"""One forward with the graph of every layer, read for where the explained input's places are."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node

from saliency_callbacks.capture.hooks import ActivationRecorder, LayerCall
from saliency_callbacks.capture.inputs import ModelInputs
from saliency_callbacks.capture.layers.dataflow import Dataflow, keeps_positions, node_of, picks

__all__ = ["Score", "Trace", "traced_modules"]

Score = Callable[[Any, Tensor], Tensor]
"""``(model output, samples [M]) -> [M]`` explained scores."""


@dataclass(frozen=True, eq=False)
class Trace:
    """What one forward of a few samples showed.

    Args:
        rows: What was fed, ``[M, C, *spatial]``, the source of the graph.
        score: The explained scores, summed.
        calls: Every call of every layer, in execution order.
        modules: Name → layer.
        outputs: The tensors of the model's output.
        without_graph: Calls that begin a graph of their own, as they ran under ``torch.no_grad()`` or behind a
            ``detach``, and that depend on the explained input.
    """

    rows: Tensor
    score: Tensor
    calls: list[LayerCall]
    modules: Mapping[str, nn.Module]
    outputs: list[Tensor]
    without_graph: list[Tensor]

    @classmethod
    def of(
        cls,
        model: nn.Module,
        inputs: ModelInputs,
        score: Score | None = None,
        n_rows: int = 1,
        parameters: Mapping[str, Tensor] | None = None,
    ) -> Trace | None:
        """Run the first ``n_rows`` samples; ``None`` where the score has no gradient at all.

        Args:
            model: The model, quiescent.
            inputs: A batch.
            score: What is explained; ``None`` for all that the model and its layers return.
            n_rows: Number of samples.
            parameters: Weights that take the place of the model's own.
        """
        modules = traced_modules(model)
        running = _with_parameters(model, parameters)
        samples = torch.arange(min(n_rows, inputs.n_samples), device=inputs.explained.device)
        rows = inputs.explained.index_select(0, samples).requires_grad_(True)
        with torch.enable_grad(), ActivationRecorder(modules) as recorder:
            # A clone: the model may work in place on what it is fed.
            output = inputs.call(running, rows.clone(), samples)
            total = _everything(output, recorder.calls) if score is None else score(output, samples).sum()
        if not total.requires_grad:
            return None
        calls = recorder.calls
        starting = [call.output for call in calls if call.output.is_leaf]
        is_cut_off = _is_cut_off(total if score is not None else _everything(output, ()), rows)
        if starting or is_cut_off:
            starting = _tainted(running, inputs, samples, modules, calls, with_graph=is_cut_off)
        return cls(rows, total, calls, modules, list(_tensors(output)), starting)

    @classmethod
    def up_to(
        cls, model: nn.Module, inputs: ModelInputs, until: Callable[[], AbstractContextManager[Any]]
    ) -> Trace | None:
        """Run the first sample until ``until`` leaves its context by an exception that it swallows.

        Args:
            model: The model, quiescent.
            inputs: A batch.
            until: Opened around the forward.

        Returns:
            What was seen until then; ``None`` where that has no gradient, or some of it begins a graph of its own.
        """
        modules = traced_modules(model)
        samples = torch.arange(1, device=inputs.explained.device)
        rows = inputs.explained.index_select(0, samples).requires_grad_(True)
        with torch.enable_grad(), ActivationRecorder(modules) as recorder, until():
            inputs.call(model, rows.clone(), samples)
        calls = recorder.calls
        total = _everything((), calls)
        if not total.requires_grad or any(call.output.is_leaf for call in calls) or _is_cut_off(total, rows):
            return None
        return cls(rows, total, calls, modules, [], [])

    @cached_property
    def flow(self) -> Dataflow:
        """The graph below the score."""
        return Dataflow(self.score)

    @cached_property
    def sources(self) -> list[Node]:
        """Where the explained input enters the graph."""
        return [node_of(self.rows), *map(node_of, self.without_graph)]

    @cached_property
    def dependent(self) -> set[Node]:
        """Nodes that depend on the explained input, of those that the score depends on."""
        return self.flow.reaching(self.sources) & set(self.flow.nodes)

    @cached_property
    def positioned(self) -> set[Node]:
        """Nodes whose positions come from those of the explained input; those of queries and latents do not."""
        return self.flow.reaching(self.sources, keeps_positions)

    @cached_property
    def unpicked(self) -> set[Node]:
        """Nodes of :attr:`positioned` whose positions were neither picked nor reordered by index."""
        return self.flow.reaching(
            self.sources, lambda node, position: keeps_positions(node, position) and not picks(node)
        )

    def depends(self, call: LayerCall) -> bool:
        """Whether a call depends on the explained input, and the score on the call."""
        return node_of(call.output) in self.dependent


def traced_modules(model: nn.Module) -> dict[str, nn.Module]:
    """Return the layers of ``model`` whose calls can be seen; TorchScript runs no hooks."""
    return {
        name: module
        for name, module in model.named_modules()
        if name and not isinstance(module, torch.jit.ScriptModule)
    }


def _is_cut_off(end: Tensor, rows: Tensor) -> bool:
    """Whether what comes out has a gradient, but none with respect to what was fed."""
    return end.requires_grad and node_of(end) not in Dataflow(end).reaching([node_of(rows)])


def _tainted(
    model: Callable[..., Any],
    inputs: ModelInputs,
    samples: Tensor,
    modules: Mapping[str, nn.Module],
    calls: Sequence[LayerCall],
    *,
    with_graph: bool,
) -> list[Tensor]:
    """Return outputs without a graph that depend on the explained input: not-a-numbers that are fed arrive there.

    They pass weights that are zero, as those of fresh normalizations are. Where a model refuses them, no output is
    ruled out.

    Where the explained input itself is detached, outputs that have a graph, of the model's weights alone, may be meant
    as well (``with_graph``); of those that follow from each other, the first is returned.
    """
    rows = inputs.explained.index_select(0, samples)
    try:
        with torch.no_grad(), ActivationRecorder(modules) as recorder:
            inputs.call(model, torch.full_like(rows, math.nan), samples)
    except (ArithmeticError, LookupError, RuntimeError, ValueError, AssertionError):
        return [call.output for call in calls if call.output.is_leaf]
    found = [
        call.output
        for call, other in zip_longest(calls, recorder.calls)
        if call is not None
        and (with_graph or call.output.is_leaf)
        and (other is None or call.name != other.name or bool(other.output.isnan().any()))
    ]
    return _beginnings(found) if with_graph else found


def _beginnings(outputs: Sequence[Tensor]) -> list[Tensor]:
    """Return those outputs that follow from no other one."""
    first: list[Tensor] = []
    for output in outputs:
        if not first or node_of(output) not in Dataflow(output).reaching(map(node_of, first)):
            first.append(output)
    return first


def _everything(output: Any, calls: Sequence[LayerCall]) -> Tensor:
    found = [tensor for tensor in (*_tensors(output), *(call.output for call in calls)) if tensor.requires_grad]
    if not found:
        return torch.zeros((), device="cpu")
    sums = [(torch.view_as_real(one) if one.is_complex() else one).sum().double() for one in found]
    return torch.stack([one.to(sums[0].device) for one in sums]).sum()


def _tensors(output: Any) -> Iterator[Tensor]:
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, Mapping):
        for item in output.values():
            yield from _tensors(item)
    elif isinstance(output, (tuple, list)):
        for item in output:
            yield from _tensors(item)
    elif is_dataclass(output):
        for field in fields(output):
            yield from _tensors(getattr(output, field.name, None))


def _with_parameters(model: nn.Module, parameters: Mapping[str, Tensor] | None) -> Callable[..., Any]:
    if not parameters:
        return model

    @functools.wraps(model.forward)
    def run(*args: Any, **kwargs: Any) -> Any:
        return torch.func.functional_call(model, dict(parameters), args, kwargs)

    return run
