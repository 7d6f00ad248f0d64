"""What targets with names have in common: what they are told of the samples, and what they keep of the first look."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import Field, dataclass, fields, is_dataclass
from typing import Any, NamedTuple

from torch import Tensor, nn

from saliency_callbacks.config.recorded import recorded
from saliency_callbacks.errors import TargetError, nearest_names
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.types.outlines import Outlines

__all__ = ["Columns", "NamedTarget", "Samples", "checked_label", "class_index", "is_same_value"]


@dataclass(frozen=True, eq=False)
class Samples:
    """What a target can know of the samples before the model has seen them.

    Args:
        n_samples: Their number N.
        size: Spatial size of the explained input; ``None`` where that is not known.
        class_names: Name of each class, by index.
        probe: The frozen probe with labels, masks and annotations; ``None`` where only inputs are explained.
    """

    n_samples: int
    size: tuple[int, ...] | None = None
    class_names: Sequence[str] | None = None
    probe: ProbeBatch | None = None


class Columns(NamedTuple):
    """Scores of rows that do not say of which sample they are.

    Args:
        of_output: What the model returned for M rows → scores ``[M, P]``.
        of_samples: Which of them is explained of each sample, ``[N]``.
    """

    of_output: Callable[[Any], Tensor]
    of_samples: Tensor


class NamedTarget:
    """A target that says in words what is explained, and keeps what it found at the first observation.

    A target that moved with the model would be mistaken for drift. So what it has to look up in the model's answer (a
    class, a box, a region) is pinned: :attr:`needs_pins` says that something is missing, :meth:`pins_of` reads it,
    :meth:`pinned` holds it, and :attr:`kept` is what a checkpoint keeps.
    """

    about_classes = False
    """Whether it is about class scores, so that embeddings cannot be explained by it."""

    def of(self, samples: Samples) -> NamedTarget:
        """Return the target of some samples, with names, labels, masks and boxes looked up.

        Raises:
            TargetError: If one of them is not known, or does not fit the samples.
        """
        return self

    @property
    def needs_pins(self) -> bool:
        """Whether something has to be read from the model's answer first."""
        return False

    @property
    def is_fixed(self) -> bool:
        """Whether it asks the same of a model whenever it is asked."""
        return not self.needs_pins

    @property
    def kept(self) -> dict[str, Tensor]:
        """What is pinned, one row a sample; a row that says nothing is still to be found."""
        return {}

    def pins_of(self, output: Any, samples: Tensor) -> dict[str, Tensor]:
        """Read what is pinned from the output of the rows of ``samples [M]``."""
        return {}

    def pinned(self, pins: Mapping[str, Tensor]) -> NamedTarget:
        """Return the target with what was found; rows that were found before stay as they are."""
        return self

    def columns(self) -> Columns | None:
        """Return how it is read of rows of any samples; ``None`` where it has to know of which they are."""
        return None

    def reaching(self, output: Any, samples: Tensor) -> Tensor:
        """Return a score ``[M]`` with a gradient wherever the target may have one, to find what it depends on."""
        return self(output, samples)

    def watching(self, model: nn.Module) -> AbstractContextManager[None]:
        """Look into the model while it runs, for what its output does not tell."""
        return nullcontext()

    def outlines(self, samples: Samples) -> Outlines | None:
        """Return where what is explained lies; ``None`` for a target without a place."""
        return None

    def __call__(self, output: Any, samples: Tensor) -> Tensor:
        """Return the score of each row ``[M]``.

        Args:
            output: What the model returned for M rows.
            samples: The sample that each row belongs to, ``[M]``.
        """
        raise NotImplementedError

    def __repr__(self) -> str:
        # A subclass may take other arguments, of which nobody knows where it keeps them.
        kept: list[Field[Any]] = [one for one in fields(self) if one.init] if is_dataclass(self) else []
        values = [(one.name, getattr(self, one.name, one.default), one.default) for one in kept]
        told = [f"{name}={recorded(value)}" for name, value, default in values if not is_same_value(value, default)]
        return f"{type(self).__name__}({', '.join(told)})"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and is_same_value(vars(self), vars(other))

    def __hash__(self) -> int:
        return hash(repr(self))


def is_same_value(one: Any, other: Any) -> bool:
    """Return whether two values are equal, tensors by what they hold."""
    if one is other or type(one) is not type(other):
        return one is other
    if isinstance(one, Tensor):
        a, b = one.cpu(), other.cpu()
        is_alike = a.dtype == b.dtype and a.shape == b.shape
        return is_alike and bool(((a == b) | (a.isnan() & b.isnan())).all())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(is_same_value, one, other))
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(is_same_value(one[key], other[key]) for key in one)
    return bool(one == other)


def checked_label(name: str, label: Any) -> int | str:
    """Return a class index or the name of a class.

    Raises:
        TargetError: If it is neither, or a negative index.
    """
    if isinstance(label, str) and label:
        return label
    if isinstance(label, int) and not isinstance(label, bool) and label >= 0:
        return label
    raise TargetError(f"{name}={label!r}; expected the index of a class, from 0 up, or its name")


def class_index(name: str, label: int | str, samples: Samples) -> int:
    """Return the index of a class.

    Raises:
        TargetError: If no class has this name.
    """
    if isinstance(label, int):
        return label
    names = list(samples.class_names or ())
    if label in names:
        return names.index(label)
    if not names:
        raise TargetError(
            f"{name}={label!r}, but the classes have no names here; expected a class index. In a callback, give names "
            "with Appearance(class_names=…) or a dataset with `classes`"
        )
    raise TargetError(f"{name}={label!r} is no class; {nearest_names(label, names)} Expected one of {names[:20]}")
