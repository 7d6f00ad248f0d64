"""What can be plugged in: a saliency method of either kind, and a sink."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, overload, runtime_checkable

from torch import Tensor, nn

from saliency_callbacks.types.attribution import Evidence, Quantity, RawMap, Reduction
from saliency_callbacks.types.passes import Pass
from saliency_callbacks.types.snapshot import Picture, Snapshot

__all__ = ["AnyMethod", "Method", "ModelMethod", "PreparingSink", "Sink", "TargetLayers"]


@runtime_checkable
class Method(Protocol):
    """A saliency method: declares the passes it needs, and reduces their evidence to a map.

    Example:
        >>> class SquaredGradient:
        ...     name = "squared_gradient"
        ...
        ...     def requires(self):
        ...         return {Pass(): Quantity.GRADIENT}
        ...
        ...     def attribute(self, evidence):
        ...         return RawMap(evidence[Pass()].gradient ** 2)
        >>> isinstance(SquaredGradient(), Method)
        True
    """

    @property
    def name(self) -> str:
        """Key of the result and ``{method}`` in the logged tags."""

    def requires(self) -> Mapping[Pass, Quantity]:
        """Return what has to be run, and what has to be kept of it."""

    def attribute(self, evidence: Mapping[Pass, Evidence]) -> RawMap:
        """Reduce the evidence of the required passes to a map; pure."""


@dataclass(frozen=True, eq=False)
class TargetLayers(Sequence[nn.Module]):
    """The layers that a method is about, in a sequence; empty for a method at the input.

    Args:
        modules: Dotted name → module.
        reshape_transform: ``layer output -> [N, K, *spatial]``; ``None`` where the outputs are that already.

    Example:
        >>> layers = TargetLayers({"layer4": nn.Identity()})
        >>> layers[0], len(layers)
        (Identity(), 1)
    """

    modules: Mapping[str, nn.Module] = field(default_factory=dict)
    reshape_transform: Callable[[Tensor], Tensor] | None = None

    @overload
    def __getitem__(self, index: int) -> nn.Module: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[nn.Module]: ...

    def __getitem__(self, index: int | slice) -> nn.Module | Sequence[nn.Module]:
        """Return a layer by its position."""
        return list(self.modules.values())[index]

    def __iter__(self) -> Iterator[nn.Module]:
        """Return the layers in turn."""
        return iter(self.modules.values())

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.modules)


@runtime_checkable
class ModelMethod(Protocol):
    """A saliency method that runs the model itself, as those of other libraries do.

    The model that it is given takes the explained tensor alone and returns class scores, see
    :class:`~saliency_callbacks.methods.ExternalMethod`.

    Example:
        >>> from saliency_callbacks.methods import ExternalMethod
        >>> isinstance(ExternalMethod("zeros", lambda model, inputs, target, samples: 0 * inputs), ModelMethod)
        True
    """

    @property
    def name(self) -> str:
        """Key of the result and ``{method}`` in the logged tags."""

    @property
    def layer(self) -> Any:
        """Layers as a person names them, ``"target_layers"`` for those of the callback; ``None`` for the input."""

    @property
    def signed(self) -> bool:
        """Whether the sign of a value means something."""

    @property
    def reduction(self) -> Reduction:
        """How channels become one map."""

    @property
    def stochastic(self) -> bool:
        """Whether two seeds give two maps."""

    @property
    def rows(self) -> Literal["batch", "one"]:
        """Whether it is given several samples at once."""

    def requires(self) -> Mapping[Pass, Quantity]:
        """Return no pass."""

    def explainer(self, model: nn.Module, layers: TargetLayers) -> Callable[[Tensor, Tensor, Tensor], Any]:
        """Return ``(inputs [n, C, *spatial], target [n], samples [n]) -> maps`` for the model as it is now."""


AnyMethod = Method | ModelMethod
"""A saliency method of either kind."""


@runtime_checkable
class Sink(Protocol):
    """Where observations are written.

    Called from a background thread, one observation after the other; with ``on_error="raise"`` from the thread that
    trains.

    Example:
        >>> class Printer:
        ...     def write(self, snapshot, pictures):
        ...         print(snapshot.moment, *pictures)
        >>> isinstance(Printer(), Sink)
        True
    """

    def write(self, snapshot: Snapshot, pictures: Mapping[str, Picture]) -> None:
        """Write one observation.

        Args:
            snapshot: What was found.
            pictures: Tag → ``uint8 [height, width, 3]``, or ``uint8 [frames, height, width, 3]`` for an animation;
                drawn on demand. A sink that cannot show animations leaves them out. After Ctrl-C no more are drawn: the
                mapping then ends early, and a tag that it had before is a ``KeyError``.
        """


@runtime_checkable
class PreparingSink(Sink, Protocol):
    """A sink whose client may be called from the thread that trains only: ``write`` prepares, ``commit`` hands over.

    Example:
        >>> class Printer:
        ...     def __init__(self):
        ...         self.lines = []
        ...     def write(self, snapshot, pictures):
        ...         self.lines.append(snapshot.moment)
        ...     def commit(self):
        ...         while self.lines:
        ...             print(self.lines.pop(0))
        >>> isinstance(Printer(), PreparingSink)
        True
    """

    def commit(self) -> None:
        """Hand over what is prepared. Called before training steps, so it has to be quick where there is nothing."""
