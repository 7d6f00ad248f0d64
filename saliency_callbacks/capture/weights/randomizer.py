"""Re-drawing the weights of a live model, layer by layer, and putting them back byte for byte."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.spectral_norm import SpectralNorm

from saliency_callbacks.capture.isolation.attributes import unchanged_attributes
from saliency_callbacks.capture.isolation.rng import isolated_rng
from saliency_callbacks.capture.isolation.shards import resharded, whole, whole_parameters
from saliency_callbacks.capture.isolation.sigint import restoring
from saliency_callbacks.capture.isolation.tensor_copies import TensorContents, same_content
from saliency_callbacks.capture.weights.layers import WeightLayer, has_running_statistics

__all__ = ["Redraw", "WeightRandomizer", "randomizer"]

Redraw = Literal["reinitialize", "permute"] | Callable[[nn.Module], None]

_RESETS = ("reset_parameters", "_reset_parameters")
# Power iterations after which the norm of a random matrix is known well enough.
_POWER_ITERATIONS = 15


@restoring
def randomizer(model: nn.Module, redraw: Redraw = "reinitialize", *, seed: int = 0) -> Iterator[WeightRandomizer]:
    """Allow the weights of ``model`` to be re-drawn inside; outside, also after an exception, they are as before.

    One copy of all weights is kept meanwhile, besides what re-drawing the largest of them takes, and of layers that
    were drawn before one above them, whose reset may reach them. A Ctrl-C ends what runs inside, and then waits until
    the weights are back. Global random state is left alone. Sharded weights are gathered layer by layer: each process
    re-draws the whole layer and keeps its part, so that they become the same as in one process.

    Args:
        model: The model.
        redraw: ``"reinitialize"`` as the layers initialize themselves, and permute what they do not; ``"permute"`` the
            values of every parameter (in both, orthogonal weights are drawn anew); or a callable ``module -> None``
            that changes the module's own parameters in place, drawing from torch's default generator.
        seed: Seed of all draws.
    """
    resharded(model)
    weights = _Weights(model.modules())
    records_gradients = torch.is_grad_enabled()
    # A weight that older norms compute from others is a plain attribute, which resets write into.
    with unchanged_attributes(model):
        try:
            yield WeightRandomizer(model, weights, redraw, seed)
        finally:
            # A Ctrl-C may have come just where a context that switches them off ends.
            torch.set_grad_enabled(records_gradients)
            resharded(model)
            weights.restore()


class WeightRandomizer:
    """Re-draws layers; see `randomizer`."""

    def __init__(self, model: nn.Module, weights: _Weights, redraw: Redraw, seed: int) -> None:
        self._drawn: set[str] = set()
        self._changed: set[str] = set()
        self._model = model
        self._weights = weights
        self._redraw = redraw
        self._seed = seed
        # While a layer is drawn: ``id`` of its whole parameters → the sharded ones that they stand for.
        self._sharded: Mapping[int, Tensor] = {}

    @property
    def unchanged(self) -> set[str]:
        """Names of what no re-draw has changed: constants that nothing draws anew, and frozen statistics."""
        return self._drawn - self._changed

    def restore(self) -> None:
        """Put all weights back."""
        resharded(self._model)
        self._weights.restore()

    def draw(self, layers: Iterable[WeightLayer], number: int) -> None:
        """Re-draw ``layers`` in place, and nothing else: what their resets do to layers below them is undone.

        Args:
            layers: What is randomized.
            number: Which draw; each layer has its own random numbers in each, whatever else is drawn with it.
        """
        for layer in layers:
            with _drawing(layer, _seed_of(self._seed, number, layer.name)) as self._sharded:
                for name, module in layer.modules.items():
                    self._draw_module(name, module, layer, number)
                for module in layer.modules.values():
                    _settle(module)

    def _draw_module(self, name: str, module: nn.Module, layer: WeightLayer, number: int) -> None:
        redraw = self._redraw_of(module)
        if redraw is not None:
            # It may reach further: what is below belongs to layers of its own, drawn or not.
            below = _below(module, layer, self._weights.contents)
            redraw(module)
            below.restore()
        for parameter_name, parameter in module.named_parameters(recurse=False):
            full_name = f"{name}.{parameter_name}".strip(".")
            original = self._original(parameter)
            if not callable(self._redraw) and original is not None and same_content(parameter, original):
                if _draw_orthogonal(module, parameter):
                    # The parameter itself may be as it was: what has changed is the base that it stands on.
                    original = None
                else:
                    _permute(parameter, original, _seed_of(self._seed, number, full_name))
            self._note(full_name, parameter, original)
        reset_statistics: Any = getattr(module, "reset_running_stats", None)
        if reset_statistics is not None:
            reset_statistics()
        elif has_running_statistics(module):
            # Frozen ones: a layer without parameters, of which nothing but a callable changes anything.
            for buffer_name, buffer in module.named_buffers(recurse=False):
                self._note(f"{name}.{buffer_name}".strip("."), buffer, self._original(buffer))

    def _note(self, name: str, tensor: Tensor, original: Tensor | None) -> None:
        self._drawn.add(name)
        if name not in self._changed and (original is None or not same_content(tensor, original)):
            self._changed.add(name)

    def _redraw_of(self, module: nn.Module) -> Callable[[nn.Module], Any] | None:
        """Return what draws the module's parameters, before what it leaves alone is permuted."""
        if callable(self._redraw):
            return self._redraw
        has_reset = any(hasattr(module, name) for name in _RESETS)
        return _reset if self._redraw == "reinitialize" and has_reset else None

    def _original(self, parameter: Tensor) -> Tensor | None:
        """Return what the parameter held before the first draw; ``None`` of one that a draw has made."""
        original = self._weights.contents.of(self._sharded.get(id(parameter), parameter))
        return None if original is None else whole(original)


@restoring
def _drawing(layer: WeightLayer, seed: int) -> Iterator[Mapping[int, Tensor]]:
    # No gradient could be taken of parameters that a reset makes under inference mode.
    gathered = whole_parameters(layer.modules.values())
    with torch.inference_mode(False), torch.no_grad(), isolated_rng(seed), gathered as sharded:
        yield sharded


class _Weights:
    """What modules hold: which parameters, buffers and submodules, where these lie, and what is in them.

    Args:
        modules: Whose own parameters and buffers are kept, without those of their submodules.
        around: Of which only the submodules are kept.
        known: Contents that need no further copy.
    """

    def __init__(
        self, modules: Iterable[nn.Module], around: Sequence[nn.Module] = (), known: TensorContents | None = None
    ) -> None:
        # Nothing of a TorchScript module can be rebound.
        modules = list(modules)
        rebindable = [module for module in modules if not isinstance(module, torch.jit.ScriptModule)]
        registries = [
            *(module._modules for module in [*around, *rebindable]),
            *(registry for module in rebindable for registry in (module._parameters, module._buffers)),
        ]
        self._registered: list[tuple[dict[str, Any], dict[str, Any]]] = [
            (registry, dict(registry)) for registry in registries
        ]
        elsewhere = {id(parameter) for module in around for parameter in module.parameters(recurse=False)}
        own = {id(parameter): parameter for module in modules for parameter in module.parameters(recurse=False)}
        parameters = [parameter for key, parameter in own.items() if key not in elsewhere]
        buffers = [buffer for module in modules for buffer in module.buffers(recurse=False)]
        self.contents = TensorContents([*parameters, *buffers], known)
        self._places = [
            (parameter, parameter.detach())
            for parameter in parameters
            if type(parameter) is nn.Parameter and parameter.layout == torch.strided
        ]

    def restore(self) -> None:
        for registry, own in self._registered:
            # A reset may have put new parameters in the place of those that the optimizer knows, and new submodules.
            if any(registry.get(name) is not one for name, one in own.items()) or len(registry) != len(own):
                registry.clear()
                registry.update(own)
        for parameter, data in self._places:
            # … or new memory in the place of that which fused kernels and other views know.
            if parameter.data_ptr() != data.data_ptr():
                parameter.data = data
        self.contents.restore()


def _below(module: nn.Module, layer: WeightLayer, known: TensorContents) -> _Weights:
    """Return what submodules hold that are not of the same layer, without what it shares with them."""
    own = [one for one in layer.modules.values() if not isinstance(one, torch.jit.ScriptModule)]
    below = set(module.modules()).difference(layer.modules.values())
    return _Weights(below, own, known)


def _reset(module: nn.Module) -> None:
    """Let a module initialize itself, if it can."""
    reset: Any = next(getattr(module, name) for name in _RESETS if hasattr(module, name))
    # It may want arguments that only its author knows.
    with suppress(TypeError):
        reset()


def _permute(parameter: Tensor, original: Tensor, seed: int) -> None:
    """Write the values of ``original``, which are those of ``parameter``, into ``parameter`` in a random order."""
    # Of its own: whether a parameter is permuted depends on the weights, and what is drawn after it must not.
    generator = torch.Generator().manual_seed(seed)
    # Half the size of the default, which would be two more copies of the parameter.
    dtype = torch.int32 if parameter.numel() < 2**31 else torch.int64
    order = torch.randperm(parameter.numel(), dtype=dtype, generator=generator).to(parameter.device)
    if type(parameter) is nn.Parameter and parameter.is_contiguous():
        # From one to the other, as indexing would make another copy in between.
        torch.index_select(original.view(-1), 0, order, out=parameter.detach().view(-1))
    else:
        parameter.copy_(original.flatten()[order].view_as(parameter))
    if torch.equal(parameter, original):
        # As likely as not where there are two values; a shift leaves nothing but constants as they are.
        parameter.copy_(original.flatten().roll(1).view_as(parameter))


def _draw_orthogonal(module: nn.Module, parameter: Tensor) -> bool:
    """Draw the parameter of an orthogonal weight; return whether it is one. Permuted, it makes a weight of zeros."""
    parametrization: Any = module[0] if isinstance(module, parametrize.ParametrizationList) else None
    if type(parametrization).__name__ == "_Orthogonal":
        # Exponentials and Cayley transforms without a base cannot be inverted, but permuted.
        with suppress(NotImplementedError):
            parameter.copy_(parametrization.right_inverse(torch.randn_like(parameter)))
            return True
    return False


def _settle(module: nn.Module) -> None:
    """Let a spectral norm find the norm of the new weight; it does not in evaluation mode."""
    for hook in module._forward_pre_hooks.values():
        if isinstance(hook, SpectralNorm):
            with _training(module):
                for _ in range(_POWER_ITERATIONS):
                    hook(module, None)
    if parametrize.is_parametrized(module):
        for name, parametrizations in module.parametrizations.items():  # type: ignore[operator, union-attr]
            if any(True for _ in parametrizations.buffers()):
                with _training(*parametrizations.modules()):
                    for _ in range(_POWER_ITERATIONS):
                        getattr(module, name)


@contextmanager
def _training(*modules: nn.Module) -> Iterator[None]:
    flags: Sequence[bool] = [module.training for module in modules]
    try:
        for module in modules:
            module.training = True
        yield
    finally:
        for module, flag in zip(modules, flags, strict=True):
            module.training = flag


def _seed_of(seed: int, number: int, layer: str) -> int:
    digest = hashlib.sha256(f"{seed}/{number}/{layer}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
