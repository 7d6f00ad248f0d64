"""What callbacks carry from one observation to the next, and through a checkpoint."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cache
from types import NoneType
from typing import Any, cast, get_args, get_origin, get_type_hints

from torch import Tensor
from typing_extensions import Self, override

from saliency_callbacks.callbacks.runtime.arguments import is_auto
from saliency_callbacks.capture.isolation.arithmetic import Arithmetic
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.targets.link import Kind

__all__ = ["ADDED", "PinnedState", "RunState", "Stateful"]


ADDED = "added"
"""Marks, in the metadata of a field, what earlier versions lack: it is in a checkpoint where it says something."""


class Stateful:
    """A dataclass whose fields are what a checkpoint holds of it: tensors, lists, dicts, numbers and strings only.

    So that a checkpoint loads with ``weights_only``. Tuples become lists, and other stateful values dictionaries; the
    annotations of the fields say what they are made into again.

    Example:
        >>> @dataclass
        ... class Walk(Stateful):
        ...     steps: tuple[int, ...] = ()
        >>> Walk((1, 2)).state_dict()
        {'steps': [1, 2]}
        >>> Walk.from_state_dict({"steps": [1, 2]})
        Walk(steps=(1, 2))
    """

    def state_dict(self) -> dict[str, Any]:
        """Return the value of each field, for a checkpoint; of those that earlier versions lack, where there is one."""
        kept = [one for one in _fields(self) if ADDED not in one.metadata or not _is_empty(getattr(self, one.name))]
        return {one.name: _plain(getattr(self, one.name)) for one in kept}

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Any]) -> Self:
        """Restore what :meth:`state_dict` returned; a field that an older version did not save keeps its default."""
        kinds = _kinds(cast(Hashable, cls))
        return cls(
            **{one.name: _restored(kinds[one.name], state[one.name]) for one in _fields(cls) if one.name in state}
        )


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, dict) and not value)


@cache
def _kinds(owner: Hashable) -> dict[str, Any]:
    return get_type_hints(owner)


def _fields(owner: Any) -> tuple[Any, ...]:
    assert is_dataclass(owner), "a stateful class is a dataclass"
    return fields(owner)


def _plain(value: Any) -> Any:
    if isinstance(value, Stateful):
        return value.state_dict()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _restored(kind: Any, value: Any) -> Any:
    """Return a value of a checkpoint as what its field is annotated with."""
    if value is None:
        return None
    optional = [one for one in get_args(kind) if one is not NoneType]
    if NoneType in get_args(kind):
        return _restored(optional[0], value)
    if get_origin(kind) is tuple:
        return tuple(_restored(get_args(kind)[0], item) for item in value)
    if get_origin(kind) is dict:
        return {key: _restored(get_args(kind)[1], item) for key, item in value.items()}
    if isinstance(kind, type) and issubclass(kind, Stateful):
        return kind.from_state_dict(value)
    return value


@dataclass(kw_only=True)
class RunState(Stateful):
    """Which probe is observed, and what was last found.

    Args:
        indices: Positions of the probe's samples in their dataset; ``None`` before the probe is frozen.
        fingerprint: Fingerprint of the probe.
        scores: Scores of the last observation.
        last_observed: Epoch of the last scheduled observation; the one before the training does not count.
        n_observations: How many observations there were.
        thinning: One of how many scheduled observations is made, see
            :class:`~saliency_callbacks.callbacks.runtime.schedule.ObservationCost`.
        skipped: How many were not made since the last one.
        finite: The last finite value of each score.
        outputs: What the outputs of the model are, a kind of :class:`~saliency_callbacks.targets.link.Link`; ``None``
            before the first observation.
        arithmetic: Name of the :class:`~saliency_callbacks.capture.isolation.arithmetic.Arithmetic` that was chosen for
            ``precision="fast"``; ``None`` where none was.
        place: Name of the directory in the run's directory, where it is not the callback's own: an earlier run's was
            there.
        run: Name of the run's directory at an address; ``None`` where there is no address.
    """

    indices: tuple[int, ...] | None = None
    fingerprint: str | None = None
    scores: dict[str, float] = field(default_factory=dict)
    last_observed: int | None = None
    n_observations: int = 0
    thinning: int = 1
    skipped: int = 0
    finite: dict[str, float] = field(default_factory=dict, metadata={ADDED: True})
    outputs: Kind | None = field(default=None, metadata={ADDED: True})
    arithmetic: str | None = field(default=None, metadata={ADDED: True})
    place: str | None = field(default=None, metadata={ADDED: True})
    run: str | None = field(default=None, metadata={ADDED: True})

    def settled(self, settings: Settings) -> Settings:
        """Return settings with what was found out at an earlier observation."""
        if not settings.is_fast or self.arithmetic is None:
            return settings
        return replace(settings, arithmetic=Arithmetic.named(self.arithmetic))

    def is_settled_for(self, settings: Settings) -> bool:
        """Return whether the model need not be run to know how it is explained."""
        return self.outputs is not None and not (settings.is_fast and self.arithmetic is None)

    def restarted(self) -> Self:
        """Return the state without what compares with the maps of another probe."""
        return self


@dataclass(kw_only=True)
class PinnedState(RunState):
    """The state of a callback that explains the same classes at the same layers for as long as the training runs.

    Args:
        target_layers: Names of the target layers, found at the first observation.
        pinned: The explained classes, ``[N]``.
        pins: What a target has found at the first observation, by its own names, a row for each sample: embeddings
            that later ones are compared with, boxes, regions.
        target: The target with a name that they belong to, see
            :func:`~saliency_callbacks.targets.identity.target_identity`; ``None`` where none was explained yet.
    """

    target_layers: tuple[str, ...] = ()
    pinned: Tensor | None = None
    pins: dict[str, Tensor] = field(default_factory=dict, metadata={ADDED: True})
    target: str | None = field(default=None, metadata={ADDED: True})

    @classmethod
    @override
    def from_state_dict(cls, state: Mapping[str, Any]) -> Self:
        """Restore a state; earlier versions kept the embeddings on their own."""
        reference = state.get("reference")
        return super().from_state_dict(state if reference is None else {"pins": {"reference": reference}, **state})

    @override
    def settled(self, settings: Settings) -> Settings:
        """Return settings with the target layers that were found, too, so that maps compare.

        Layers that were named are the user's to change.
        """
        settings = super().settled(settings)
        if not self.target_layers or not is_auto(settings.target_layers):
            return settings
        return replace(settings, target_layers=list(self.target_layers))

    @override
    def restarted(self) -> Self:
        return replace(self, pinned=None, pins={}, target=None)
