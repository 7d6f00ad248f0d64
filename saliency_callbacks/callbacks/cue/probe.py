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
from saliency_callbacks.cues.basic import Cue
from saliency_callbacks.cues.checks import as_name
from saliency_callbacks.cues.token import TokenCue
from saliency_callbacks.errors import CueError, TargetError
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.types import Attribution

__all__ = ["AnyCue", "CueProbe", "checked_cue", "foreign_samples", "warn_without_labels"]

AnyCue = Cue | TokenCue
"""A suspected shortcut of images, or of text inputs."""


class CueProbe(Protocol):
    """The same samples without and with a cue: what an evaluation needs of them.

    There is one for images, signals and volumes, and one for text inputs.
    """

    @property
    def batch(self) -> ProbeBatch:
        """The samples."""

    @property
    def changed(self) -> Tensor:
        """Samples that the cue changes, bool ``[N]``."""

    @property
    def usable(self) -> Tensor:
        """Samples that can tell: not of the suspect class, and changed by the cue; bool ``[N]``."""

    @property
    def shown(self) -> Tensor:
        """Positions ``[P]`` of the samples in the picture; there may be none."""

    @property
    def bearing(self) -> Tensor:
        """Samples from which the cue can be removed, bool ``[N]``."""

    @property
    def covered(self) -> Tensor:
        """Share of each sample that the cue covers, ``[N]``."""

    @property
    def is_global(self) -> bool:
        """Whether the cue changes most of a sample, over all samples of the probe, and so may move every class."""

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

    Raises:
        TargetError: If samples can have several labels, and this is none of them.
    """
    if batch.multi_labels is not None:
        _check_label(batch.multi_labels, suspect_class)
        return changed & ~batch.multi_labels[:, suspect_class]
    return changed if batch.labels is None else changed & (batch.labels != suspect_class)


def warn_without_labels(batch: ProbeBatch, cue: AnyCue, suspect_class: int) -> None:
    """Warn of samples of the suspect class, which nobody can tell from others."""
    if batch.labels is None and batch.multi_labels is None:
        notices.warn(
            ("cue without labels", cue.name),
            f"cue {cue.name!r}: the probe has no labels, so samples of class {suspect_class} itself are included, "
            "which weakens the effect. Give labels with Probe(unpack_batch=…) or Probe.from_tensors(inputs, labels)",
        )


def _check_label(labels: Tensor, suspect_class: int) -> None:
    if suspect_class >= labels.shape[1]:
        raise TargetError(
            f"suspect_class={suspect_class}, but samples have {labels.shape[1]} labels; expected a class from 0 to "
            f"{labels.shape[1] - 1}"
        )
