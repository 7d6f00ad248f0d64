"""Where the tokens of an attention lie in the explained input."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from saliency_callbacks.capture.attention.chain import chained
from saliency_callbacks.capture.attention.recorder import AttentionRecorder
from saliency_callbacks.capture.hooks import ActivationRecorder
from saliency_callbacks.capture.inputs import ModelInputs
from saliency_callbacks.capture.layers.auto import without_zero_weights
from saliency_callbacks.capture.layers.grids import call_layouts, known_grids
from saliency_callbacks.capture.layers.layout import SpatialLayout
from saliency_callbacks.capture.layers.maps import LayerMaps
from saliency_callbacks.capture.layers.order import lies_in_place
from saliency_callbacks.capture.layers.trace import Score, Trace
from saliency_callbacks.capture.norm_gradients import order_gradients
from saliency_callbacks.errors import LayerError

__all__ = ["TokenPositions"]

_VIDEO_DIMENSIONS = 3


class _Tokens(NamedTuple):
    """A sequence of tokens.

    Args:
        layout: Where they lie.
        name: The module that puts them out; ``None`` where none does.
    """

    layout: SpatialLayout
    name: str | None = None


class TokenPositions:
    """Finds the token at each place of the input, and which queries the score is computed from.

    Args:
        model: The model, quiescent while it is asked.
        inputs: A batch for the model.
        score: What is explained.
        reshape_transform: ``[N, tokens, K] -> [N, K, *spatial]``; ``None`` infers it.
        forward_context: Opened around every forward.
    """

    def __init__(
        self,
        model: nn.Module,
        inputs: ModelInputs,
        score: Score,
        reshape_transform: Callable[[Tensor], Tensor] | None = None,
        forward_context: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        self.model = model
        self.inputs = inputs
        self.score = score
        self.reshape_transform = reshape_transform
        self.forward_context = forward_context
        self._known: dict[int, Tensor] = {}

    def of(self, n_tokens: int, n_attentions: int = 1) -> Tensor:
        """Return the number of the token at each place, ``[*spatial]``.

        Args:
            n_tokens: Number of tokens that the first attention attends to.
            n_attentions: How many attentions have run once that one has.

        Raises:
            LayerError: If the tokens have no known places.
        """
        if n_tokens not in self._known:
            self._known[n_tokens] = self._find(n_tokens, n_attentions).to(self.inputs.explained.device)
        return self._known[n_tokens]

    @cached_property
    def usual_readout(self) -> Tensor:
        """Whether the score depends on each query of the last attention, ``[heads · T]`` reduced to ``[T]``.

        Of a model whose weights are not zero: a head that is initialized with zeros hides it.
        """
        with self.forward_context(), AttentionRecorder() as recorder:
            trace = Trace.of(self.model, self.inputs, self.score, 1, without_zero_weights(self.model))
        if trace is None:
            raise LayerError(
                "the explained score does not depend on any attention of the model; expected one that it does"
            )
        order_gradients(trace.score)
        last = chained(recorder, self.model, trace.rows, trace.score)[-1]
        (gradient,) = torch.autograd.grad(trace.score, last.output, allow_unused=True)
        n_queries = last.shape[-2]
        if gradient is None:
            return torch.ones(n_queries, dtype=torch.bool, device=trace.rows.device)
        is_read = gradient.reshape(-1, n_queries, gradient.shape[-1]).ne(0).any(dim=2).any(dim=0)
        # A gradient of zeros tells nothing: of blocks that add nothing to their input yet, for instance.
        return is_read if bool(is_read.any()) else torch.ones_like(is_read)

    def _find(self, n_tokens: int, n_attentions: int) -> Tensor:
        numbers = torch.arange(n_tokens, device="cpu")
        space = tuple(self.inputs.explained.shape[2:])
        if self.reshape_transform is not None:
            return self._reshaped(numbers)
        if space == (n_tokens,):
            return numbers
        # The patches are known by their first attention, mostly.
        found = self._sequences(n_attentions).get(n_tokens)
        if found is not None and not self._is_in_place(found, n_tokens, n_attentions):
            raise LayerError(
                f"the {n_tokens} tokens of {type(self.model).__name__} do not come from the places of a grid "
                f"{list(found.layout.spatial)}, row by row: they are shuffled or dropped (for masking), or read in "
                "another order; expected patches row by row. Give `reshape_transform=` (tokens "
                f"[N, {n_tokens}, K] -> [N, K, *spatial]) if their order is always the same; otherwise use methods "
                "that need no attention, e.g. 'gradient'"
            )
        if found is None:
            known = self._sequences(None)
            found, sizes = known.get(n_tokens), sorted(known) or "none"
        if found is None:
            raise LayerError(
                f"an attention of {type(self.model).__name__} is over {n_tokens} tokens, whose places in an input of "
                f"size {list(space)} are not known; expected a sequence of patches with a grid (sequences that have "
                f"one: {sizes}). Give `reshape_transform=` (tokens [N, {n_tokens}, K] -> [N, K, *spatial])"
            )
        return found.layout.to_map(numbers[None, :, None])[0, 0]

    def _sequences(self, n_attentions: int | None) -> Mapping[int, _Tokens]:
        """Number of tokens → all outputs that are sequences with a map, until some attentions have run."""
        with self.forward_context():
            if n_attentions is None:
                trace = Trace.of(self.model, self.inputs)
            else:
                trace = Trace.up_to(self.model, self.inputs, lambda: AttentionRecorder(n_attentions))
        if trace is None:
            return {}
        layouts = zip(trace.calls, call_layouts(trace), strict=True)
        # The last of each length: what is known of the patches grows along the way.
        found = {
            layout.n_prefix + math.prod(layout.spatial) + layout.n_suffix: (call.name, layout)
            for call, layout in layouts
            if layout is not None and not layout.n_frames and call.output.ndim == 3
            if layout.order == "tokens" or (layout.order == "channels_last" and len(layout.spatial) == 1)
        }
        # Of a model that lays out its patches without a module.
        grids = {math.prod(grid): grid for grid in known_grids(trace) if len(grid) < _VIDEO_DIMENSIONS}
        unseen = {n_tokens: _Tokens(SpatialLayout("tokens", grid)) for n_tokens, grid in grids.items()}
        return unseen | {
            n_tokens: _Tokens(self._settled(trace, name, layout), name) for n_tokens, (name, layout) in found.items()
        }

    def _is_in_place(self, tokens: _Tokens, n_tokens: int, n_attentions: int) -> bool:
        """Return whether tokens come from where they lie, as far as is known before an attention mixes them."""
        if tokens.name is None:
            return True
        modules = {tokens.name: self.model.get_submodule(tokens.name)}
        samples = torch.arange(1, device=self.inputs.explained.device)

        def run(rows: Tensor) -> Tensor:
            with self.forward_context(), ActivationRecorder(modules) as recorder, AttentionRecorder(n_attentions):
                self.inputs.call(self.model, rows.clone(), samples)
            outputs = [call.output.detach() for call in recorder.calls if n_tokens in call.output.shape[:2]]
            return outputs[-1]

        return lies_in_place(run, self.inputs.explained[:1].detach(), tokens.layout)

    def _settled(self, trace: Trace, name: str, layout: SpatialLayout) -> SpatialLayout:
        layout = replace(layout, batch_dim=0)
        if len(layout.spatial) < _VIDEO_DIMENSIONS:
            return layout
        maps = LayerMaps(self.model, self.inputs, {name: trace.modules[name]}, forward_context=self.forward_context)
        return replace(layout, frames_last=maps.frames_last(name, layout))

    def _reshaped(self, numbers: Tensor) -> Tensor:
        # As float32, as a transform may be made for activations; numbers of tokens are exact in it.
        assert self.reshape_transform is not None
        try:
            found = self.reshape_transform(numbers[None, :, None].float())
            positions = found[0, 0].round().long()
        except Exception as error:
            raise LayerError(
                f"reshape_transform fails ({type(error).__name__}: {error}) on tokens [1, {len(numbers)}, 1]; expected "
                "a function output -> [N, K, *spatial]"
            ) from error
        if positions.ndim != self.inputs.explained.ndim - 2:
            raise LayerError(
                f"reshape_transform turned tokens [1, {len(numbers)}, 1] into {list(found.shape)}; expected "
                f"[N, K, *spatial] with {self.inputs.explained.ndim - 2} spatial dimensions"
            )
        return positions
