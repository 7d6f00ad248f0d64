"""What can be plugged in: a saliency method, and a sink."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from saliency_callbacks.types.attribution import Evidence, Quantity, RawMap
from saliency_callbacks.types.passes import Pass
from saliency_callbacks.types.snapshot import Picture, Snapshot

__all__ = ["Method", "Sink"]


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
