"""A probe without and with a cue, whatever the samples are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor

from saliency_callbacks.callbacks.cue.pictures import Pair
from saliency_callbacks.callbacks.runtime import notices
from saliency_callbacks.callbacks.runtime.appearance import Appearance
from saliency_callbacks.config.wording import counted
from saliency_callbacks.cues.basic import Cue
from saliency_callbacks.cues.checks import as_name
from saliency_callbacks.cues.token import TokenCue
from saliency_callbacks.errors import CueError, TargetError
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.types import Attribution

__all__ = ["AnyCue", "CueProbe", "checked_cue", "foreign_samples", "usable_samples"]

AnyCue = Cue | TokenCue
"""A suspected shortcut of images, or of text inputs."""

_FEW = 8


class CueProbe(Protocol):
    """The same samples without and with a cue: what an evaluation needs of them.

    There is one for images, signals and volumes, and one for text inputs.
    """

    @property
    def usable(self) -> Tensor:
        """Samples that can tell: not of the suspect class, and changed by the cue; bool ``[N]``."""

    @property
    def shown(self) -> Tensor:
        """Positions ``[P]`` of the samples in the picture."""

    @property
    def bearing(self) -> Tensor:
        """Samples from which the cue can be removed, bool ``[N]``."""

    @property
    def is_global(self) -> bool:
        """Whether the cue changes most of a sample, and so may move every class."""

    @property
    def clean_inputs(self) -> Any:
        """The probe's inputs."""

    @property
    def cued_inputs(self) -> Any:
        """The probe's inputs with the cue."""

    @property
    def removed_inputs(self) -> Any | None:
        """The probe's inputs with the cue removed; ``None`` where that was not asked for."""

    def like(self, batch: ProbeBatch) -> CueProbe:
        """Return other samples of the same kind without and with the cue; none of them has to tell anything."""

    def insert(self, batch: ProbeBatch) -> Any:
        """Return the inputs of another batch with the cue."""

    def pairs(self) -> Any:
        """Return the inputs of the picture: each shown sample without and with the cue in turn, ``[2 P, …]``."""

    def pair_regions(self) -> Tensor:
        """Return where the cue is, bool ``[2 P, *spatial]``."""

    def picture(
        self, attribution: Attribution | None, pairs: Sequence[Pair], title: str, appearance: Appearance
    ) -> npt.NDArray[np.uint8]:
        """Draw the shown samples without and with the cue, with their maps."""


def checked_cue(cue: Any) -> AnyCue:
    """Return ``cue``.

    Raises:
        CueError: If it is none, or its name cannot be part of a tag.
    """
    if isinstance(cue, type) or not isinstance(cue, Cue | TokenCue):
        raise CueError(
            f"cue={cue!r} is of type {type(cue).__name__}; expected a cue of saliency_callbacks.probe, such as "
            "PatchCue((0, 0, 4, 4)) or TokenCue('word', tokenizer=…), or an object with `name`, `insert(images)` and "
            "`mask(images)`"
        )
    as_name(cue, cue.name, default="")
    return cue


def foreign_samples(changed: Tensor, batch: ProbeBatch, suspect_class: int) -> Tensor:
    """Return which samples can tell something about a cue, bool ``[N]``: of other classes, and changed by it.

    Args:
        changed: Samples that the cue changes, bool ``[N]``.
        batch: The samples.
        suspect_class: The class that the cue might give away.
    """
    if batch.multi_labels is not None:
        return changed & ~batch.multi_labels[:, suspect_class]
    return changed if batch.labels is None else changed & (batch.labels != suspect_class)


def usable_samples(
    changed: Tensor, batch: ProbeBatch, cue: AnyCue, suspect_class: int, *, is_whole: bool = True
) -> Tensor:
    """Return which samples of a probe can tell something about a cue, as :func:`foreign_samples`; there has to be one.

    Args:
        changed: Samples that the cue changes, bool ``[N]``.
        batch: The probe.
        cue: The cue.
        suspect_class: The class that it might give away.
        is_whole: Whether there are no other samples than these.

    Raises:
        CueError: If there is none.
    """
    if batch.multi_labels is not None:
        _check_label(batch.multi_labels, suspect_class)
    elif batch.labels is None:
        notices.warn(
            ("cue without labels", cue.name),
            f"cue {cue.name!r}: the probe has no labels, so samples of class {suspect_class} itself are included, "
            "which weakens the effect. Give labels with Probe(unpack_batch=…) or Probe.from_tensors(inputs, labels)",
        )
    usable = foreign_samples(changed, batch, suspect_class)
    count = int(usable.sum())
    if count == 0:
        raise CueError(
            f"cue {cue.name!r}: the probe has no sample outside class {suspect_class} that the cue changes (labels "
            f"{sorted(set(batch.labels.tolist())) if batch.labels is not None else None}); expected samples of other "
            "classes without the cue. Use a larger probe, or choose samples with Probe(indices=…)"
            + ("" if is_whole else f"; this concerns the {batch.size} shown samples: show more with Probe(shown=…)")
        )
    if count < _FEW and is_whole:
        notices.warn(
            ("few samples", cue.name),
            f"cue {cue.name!r}: only {counted(count, 'sample')} of the probe can be used (outside class "
            f"{suspect_class}, and changed by the cue); with fewer than {_FEW}, the lower bound is unreliable. Use a "
            "larger probe, e.g. probe=32",
        )
    return usable


def _check_label(labels: Tensor, suspect_class: int) -> None:
    if suspect_class >= labels.shape[1]:
        raise TargetError(
            f"suspect_class={suspect_class}, but samples have {labels.shape[1]} labels; expected a class from 0 to "
            f"{labels.shape[1] - 1}"
        )
