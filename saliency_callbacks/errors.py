"""Everything that can go wrong, as one tree.

::

    SaliencyError
    ├── ConfigurationError (ValueError)   found before the first training step, always raised
    │   ├── MethodError                   unknown or duplicate method, bad hyperparameter
    │   │   └── ExternalMethodError       a method of another library that fails; an ObservationError, too
    │   ├── LayerError                    unknown layer, a layer that never runs or has no map
    │   ├── TargetError                   a class that does not exist, a target that cannot be read
    │   ├── InputError                    inputs that cannot be explained
    │   ├── OutputError                   a model output that is not ``[N, classes]``
    │   ├── ReluError                     a guided method on a model without a ReLU
    │   ├── GradientError                 a score without a gradient; an ObservationError, too
    │   ├── ProbeError                    data from which no probe can be made
    │   │   ├── CollateError              samples that make no batch, such as images of several sizes
    │   │   └── ItemError                 an item that the dataset cannot read
    │   └── CueError                      a cue that cannot be put into the probe's images
    ├── ObservationError (RuntimeError)   one observation failed while the training runs
    │   └── PictureError                  a picture could not be drawn
    └── RankError (RuntimeError)          the processes of a training are out of sync; it cannot go on

    SaliencyWarning (UserWarning)
    ├── CueAlarmWarning                   the model has started to use a suspected shortcut
    ├── DegenerateMapWarning              a map that is all zero, constant or not finite
    └── ShortcutWarning                   the model uses a shortcut that nobody named

Every message says what was given, what was expected and how to fix it. In a training each kind of warning is said once.
"""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Hashable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = [
    "CollateError",
    "ConfigurationError",
    "CueAlarmWarning",
    "CueError",
    "DegenerateMapWarning",
    "ExternalMethodError",
    "GradientError",
    "InputError",
    "ItemError",
    "LayerError",
    "MethodError",
    "ObservationError",
    "OutputError",
    "PictureError",
    "ProbeError",
    "RankError",
    "ReluError",
    "SaliencyError",
    "SaliencyWarning",
    "ShortcutWarning",
    "TargetError",
    "each_kind_once",
    "is_news",
    "nearest_names",
    "warn",
]


class SaliencyError(Exception):
    """Base of every error this package raises on purpose."""


class ConfigurationError(SaliencyError, ValueError):
    """A setting that cannot work; found before the first training step."""


class MethodError(ConfigurationError):
    """An unknown or duplicate method, or a hyperparameter out of its range."""


class LayerError(ConfigurationError):
    """A target layer that does not exist, never runs, or has no spatial map."""


class TargetError(ConfigurationError):
    """A target that does not exist in the model's output or cannot be read."""


class InputError(ConfigurationError):
    """Inputs whose type, shape or structure cannot be explained."""


class OutputError(ConfigurationError):
    """A model output from which no ``[N, classes]`` tensor can be read."""


class ReluError(ConfigurationError):
    """A ReLU backward rule was asked for on a model that runs no ReLU."""


class ProbeError(ConfigurationError):
    """Data from which no probe batch can be made."""


class CollateError(ProbeError):
    """Samples that make no batch, such as images of several sizes."""


class ItemError(ProbeError):
    """An item that the dataset cannot read."""

    position: int = -1
    """Where it is in the dataset; -1 where another process told of it."""

    @classmethod
    def of(cls, position: int, error: Exception) -> ItemError:
        """Return the error of the item at ``position``, for what the dataset raised."""
        told = cls(
            f"item {position} of the dataset cannot be read ({type(error).__name__}: {error}). Repair or remove it, "
            "or choose other samples with Probe(indices=…)"
        )
        told.position = position
        return told


class CueError(ConfigurationError):
    """A cue with a setting out of its range, or that cannot be put into, or taken out of, the probe's images."""


class ObservationError(SaliencyError, RuntimeError):
    """One observation failed; the training is not affected."""


class GradientError(ConfigurationError, ObservationError):
    """A score that has no gradient with respect to what it is to be explained by."""


class ExternalMethodError(MethodError, ObservationError):
    """A method of another library, or a person's own, that fails, returns no map, or changes the model."""


class PictureError(ObservationError):
    """A picture could not be drawn; what it shows was found and scored."""


class RankError(SaliencyError, RuntimeError):
    """One process of a training failed where the others cannot be told; raised whatever ``on_error`` says."""


class SaliencyWarning(UserWarning):
    """Base of every warning this package emits."""


class CueAlarmWarning(SaliencyWarning):
    """The model has started to use a suspected shortcut."""


class DegenerateMapWarning(SaliencyWarning):
    """A saliency map is all zero, constant or not finite."""


class ShortcutWarning(SaliencyWarning):
    """The model uses a shortcut that nobody named."""


def nearest_names(name: str, known: Iterable[str], *, limit: int = 5) -> str:
    """Return a clause that names the entries of ``known`` closest to ``name``."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=limit, cutoff=0.4)
    if close:
        return "did you mean " + " or ".join(repr(candidate) for candidate in close) + "?"
    return "known: " + ", ".join(repr(candidate) for candidate in names[-limit:])


_SAID: ContextVar[set[Hashable] | None] = ContextVar("said", default=None)


@contextmanager
def each_kind_once(said: set[Hashable]) -> Iterator[None]:
    """Let each kind of warning be said once inside, and not again for as long as ``said`` lasts.

    Args:
        said: What was said before; what is said inside is added.
    """
    token = _SAID.set(said)
    try:
        yield
    finally:
        _SAID.reset(token)


def is_news(kind: Hashable) -> bool:
    """Return whether nothing of this kind was said before, and take it as said; outside of a run, all is news."""
    said = _SAID.get()
    if said is None:
        return True
    is_new = kind not in said
    said.add(kind)
    return is_new


def warn(
    kind: Hashable, message: str, category: type[SaliencyWarning] = SaliencyWarning, *, stacklevel: int = 1
) -> None:
    """Warn of something, in a run once.

    Args:
        kind: What it is about, whatever the numbers in the message.
        message: What is said.
        category: Type of the warning.
        stacklevel: Frames above the caller that the warning points at.
    """
    if is_news(kind):
        warnings.warn(message, category, stacklevel=stacklevel + 2)
