"""Target layers of a model, and how the output of each is read as a map."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from saliency_callbacks.capture.hooks import ActivationRecorder, LayerCall
from saliency_callbacks.capture.inputs import ModelInputs
from saliency_callbacks.capture.isolation.rng import isolated_rng
from saliency_callbacks.capture.layers.auto import find_target_layer
from saliency_callbacks.capture.layers.calls import CallMaps, choose_calls
from saliency_callbacks.capture.layers.find import find_layers
from saliency_callbacks.capture.layers.grids import call_layouts
from saliency_callbacks.capture.layers.layout import SpatialLayout, find_layout, has_channels_first, keeps_aspect
from saliency_callbacks.capture.layers.order import HalfChanged, Order, halves_changed, most_varied, order_of
from saliency_callbacks.capture.layers.trace import Score, Trace
from saliency_callbacks.errors import LayerError

__all__ = ["LayerMaps"]

_N_NAMED = 5
_VIDEO_DIMENSIONS = 3
# Model → layer → names and sizes of inputs of which its map was found in place. Training does not change that, and
# looking again at every explanation would cost a few forwards each time.
_Seen = tuple[int | str | None, tuple[int, ...]]
_IN_PLACE: MutableMapping[nn.Module, MutableMapping[nn.Module, set[_Seen]]] = WeakKeyDictionary()


class LayerMaps:
    """The target layers and the layout of their outputs.

    A layout is found when the first output of its layer is read, and kept. Where neither the type of the layer nor the
    shape of the output settles it, or a layer runs several times, that runs the model on one sample; so read
    activations before their gradients.

    Args:
        model: The model, quiescent while maps are read.
        inputs: A batch for the model.
        layers: Name → module.
        reshape_transform: ``output -> [N, K, *spatial]``; ``None`` infers channels and tokens.
        forward_context: Opened around every forward, e.g. for autocast.
    """

    def __init__(
        self,
        model: nn.Module,
        inputs: ModelInputs,
        layers: Mapping[str, nn.Module],
        reshape_transform: Callable[[Tensor], Tensor] | None = None,
        forward_context: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        self.model = model
        self.inputs = inputs
        self.layers = layers
        self.reshape_transform = reshape_transform
        self.forward_context = forward_context
        self._layouts: dict[str, SpatialLayout] = {}

    @classmethod
    def resolve(
        cls,
        model: nn.Module,
        inputs: ModelInputs,
        target_layers: Any,
        score: Score,
        reshape_transform: Callable[[Tensor], Tensor] | None = None,
        *,
        n_rows: Sequence[int] = (1,),
        forward_context: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> LayerMaps:
        """Resolve ``target_layers``; ``"auto"`` runs the model on ``n_rows`` samples.

        Raises:
            LayerError: If a layer is unknown or does not depend on the explained input, or ``"auto"`` finds none; or
                if a map does not lie where its shape says.
        """
        is_auto = isinstance(target_layers, str) and target_layers == "auto"
        if is_auto:
            with forward_context():
                target_layers = find_target_layer(model, inputs, score, n_rows=n_rows)
        maps = cls(model, inputs, find_layers(model, target_layers), reshape_transform, forward_context)
        if not is_auto and not isinstance(inputs.structure, Tensor):
            maps._check_dependent()
        maps.check_places()
        return maps

    def calls(self, name: str, n_calls: int) -> CallMaps:
        """Return which calls of a layer make its map, of ``n_calls`` in one forward."""
        if n_calls == 1:
            return CallMaps.last_of(1)
        found = self._findings.calls.get(name)
        return found if found is not None and found.n_calls == n_calls else CallMaps.last_of(n_calls)

    def to_map(self, name: str, output: Tensor) -> Tensor:
        """Return a layer's output, or the gradient with respect to it, as ``[N, K, *spatial]``.

        Raises:
            LayerError: If the output has no spatial map, or ``reshape_transform`` returns none.
        """
        if self.reshape_transform is not None:
            return self._reshaped(name, output)
        if name not in self._layouts:
            self._layouts[name] = self._find_layout(name, output)
        return self._layouts[name].to_map(output)

    def check_places(self) -> None:
        """Check that no map comes from other places of the input than its layout says; of each layer once.

        Layers that run several times, and maps that a ``reshape_transform`` makes, are not looked at.

        Raises:
            LayerError: If one does.
        """
        if self.reshape_transform is not None:
            return
        known = _IN_PLACE.setdefault(self.model, WeakKeyDictionary())
        seen = self.inputs.attribute_to, tuple(self.inputs.explained.shape[2:])
        names = [name for name, module in self.layers.items() if seen not in known.get(module, ())]
        for name, (shape, order) in self._orders(names).items():
            if order is Order.ANOTHER:
                raise LayerError(
                    f"the output {list(shape)} of layer {name!r} has the shape of a map, but its positions are in an "
                    "order of their own: those that change with a half of the input do not lie side by side; expected "
                    "them as they lie in the input, row by row. Choose a layer where they do, or give "
                    "`reshape_transform=` (output -> [N, K, *spatial]) that puts them in place"
                )
            if order is Order.AS_THE_INPUT:
                known.setdefault(self.layers[name], set()).add(seen)

    def _orders(self, names: Sequence[str]) -> dict[str, tuple[torch.Size, Order]]:
        """Return the shape of each layer's output for one sample, and what is known of the order of its positions."""
        if not names:
            return {}
        try:
            number = most_varied(self.inputs.explained)
            sample = self.inputs.explained[number : number + 1].detach()
            before = self._outputs(names, sample, number)
            changed = [
                (one.dim, self._outputs(names, one.first, number), self._outputs(names, one.last, number))
                for one in halves_changed(sample)
            ]
        except Exception:
            # Of a model that does not run on one sample, nothing is known.
            return {}
        orders = {}
        for name in names:
            every = [before[name], *(outputs[name] for _, *halves in changed for outputs in halves)]
            if any(len(outputs) != 1 for outputs in every):
                continue
            # One without a map says so when its map is read.
            with suppress(LayerError):
                layout = self._find_layout(name, before[name][0])
                halves = [HalfChanged(dim, first[name][0], last[name][0]) for dim, first, last in changed]
                orders[name] = before[name][0].shape, order_of(before[name][0], halves, layout)
        return orders

    def framewise(self) -> frozenset[str]:
        """Return the names of layers whose output was read and has the frames of a video as rows."""
        return frozenset(name for name, layout in self._layouts.items() if layout.n_frames)

    def _reshaped(self, name: str, output: Tensor) -> Tensor:
        try:
            reshaped = self.reshape_transform(output) if self.reshape_transform else output
        except Exception as error:
            raise LayerError(
                f"reshape_transform fails ({type(error).__name__}: {error}) on the output {list(output.shape)} of "
                f"layer {name!r}; expected a function output -> [N, K, *spatial]"
            ) from error
        n_spatial = self.inputs.explained.ndim - 2
        if not isinstance(reshaped, Tensor) or reshaped.ndim != n_spatial + 2:
            shape = list(reshaped.shape) if isinstance(reshaped, Tensor) else type(reshaped).__name__
            raise LayerError(
                f"reshape_transform turned the output {list(output.shape)} of layer {name!r} into {shape}; "
                f"expected [N, K, *spatial] with {n_spatial} spatial dimensions"
            )
        return reshaped

    @cached_property
    def _findings(self) -> _Findings:
        # Earlier maps of the same forward tell channels from space and the patches of a token sequence apart for
        # certain, and a single row tells samples from tokens.
        with self.forward_context():
            trace = Trace.of(self.model, self.inputs)
        if trace is None:
            return _Findings({}, {}, None)
        calls = list(zip(trace.calls, call_layouts(trace), strict=True))
        layouts, chosen = {}, {}
        for name in self.layers:
            own = [(call, layout) for call, layout in calls if call.name == name]
            if own:
                maps = [self._map_of(call, layout) for call, layout in own]
                chosen[name] = choose_calls(trace, [call for call, _ in own], maps)
                layouts[name] = own[chosen[name].views[-1][0]][1]
        dependent = dict.fromkeys(call.name for call in trace.calls if trace.depends(call))
        return _Findings(layouts, chosen, list(dependent))

    def _map_of(self, call: LayerCall, layout: SpatialLayout | None) -> Tensor | None:
        if self.reshape_transform is not None:
            return self._reshaped(call.name, call.output)
        return None if layout is None else layout.to_map(call.output)

    def _check_dependent(self) -> None:
        dependent = self._findings.dependent
        wrong = [name for name in self.layers if dependent is not None and name not in dependent]
        if not wrong:
            return
        modules = dict(self.model.named_modules())
        ends = [name for name in dependent or () if not any(True for _ in modules[name].children())]
        named = ", ".join(map(repr, ends[-_N_NAMED:])) or "none"
        raise LayerError(
            f"target layer {wrong[0]!r} does not depend on the explained input {self.inputs.attribute_to!r}, so its "
            f"map would show another input; expected a layer that does (the last are {named}). Name one of these, "
            "give target_layers='auto', or name the layer's input as `attribute_to`"
        )

    def _find_layout(self, name: str, output: Tensor) -> SpatialLayout:
        spatial = self.inputs.explained.shape[2:]
        layout = find_layout(output.shape, spatial, module=self.layers[name])
        if layout is None or not self._is_settled(name, output):
            layout = self._findings.layouts.get(name)
        if layout is None:
            raise LayerError(
                f"layer {name!r} has output {list(output.shape)}, which is not a spatial map of an input with spatial "
                f"size {list(spatial)}. Choose an earlier layer or 'auto', or give `reshape_transform=`"
            )
        if layout.order == "tokens" and len(layout.spatial) == _VIDEO_DIMENSIONS and not layout.n_frames:
            layout = replace(layout, frames_last=self.frames_last(name, layout))
        return layout

    def frames_last(self, name: str, layout: SpatialLayout) -> bool:
        """Return whether the tokens of all frames at one place come in turn, by where a change of one frame shows."""
        first = self.inputs.explained[:1].detach()
        changed = first.clone()
        changed[:, :, 0] = changed[:, :, 0].flip(-1, -2) + 1
        change = (self._output(name, changed).float() - self._output(name, first).float()).abs()
        shares = [one.to_map(change)[:, :, 0].sum() for one in (layout, replace(layout, frames_last=True))]
        return bool(shares[1] > shares[0])

    def _output(self, name: str, rows: Tensor) -> Tensor:
        return self._outputs([name], rows)[name][-1]

    def _outputs(self, names: Sequence[str], rows: Tensor, number: int = 0) -> dict[str, list[Tensor]]:
        """Return what each call of some layers puts out for one sample, with the same random numbers each time.

        Args:
            names: The layers.
            rows: What is fed, ``[1, C, *spatial]``.
            number: Which sample this is; its further inputs are fed as they are.
        """
        recorder = ActivationRecorder({name: self.layers[name] for name in names})
        with torch.no_grad(), isolated_rng(0), self.forward_context(), recorder:
            self.inputs.call(self.model, rows.clone(), torch.arange(number, number + 1, device=rows.device))
        return {name: [call.output.detach() for call in recorder.calls if call.name == name] for name in names}

    def _is_settled(self, name: str, output: Tensor) -> bool:
        """Whether the type of a layer, or of the last one in it, says that its output has channels first."""
        if output.ndim == 3:
            return False
        if has_channels_first(self.layers[name]):
            return True
        inside = [_n_channels(module) for module in self.layers[name].modules() if has_channels_first(module)]
        last = next(filter(None, reversed(inside)), None)
        return last == output.shape[1] and keeps_aspect(output.shape, self.inputs.explained.shape[2:])


@dataclass(frozen=True)
class _Findings:
    """What a trace tells of the target layers.

    Args:
        layouts: Layer → how its output is read; ``None`` for what is no map.
        calls: Layer → calls that make its map.
        dependent: Layers that depend on the explained input; ``None`` where that is not known.
    """

    layouts: Mapping[str, SpatialLayout | None]
    calls: Mapping[str, CallMaps]
    dependent: list[str] | None


def _n_channels(module: nn.Module) -> int | None:
    names = ("out_channels", "num_features", "num_channels")
    return next((getattr(module, name) for name in names if hasattr(module, name)), None)
