"""A probe of images, signals or volumes without and with a cue, made once."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from saliency_callbacks.callbacks.cue.pictures import Pair, draw_pairs, interleaved
from saliency_callbacks.callbacks.cue.probe import foreign_samples, warn_without_labels
from saliency_callbacks.callbacks.cue.survey import FurtherSamples, no_further_samples, survey
from saliency_callbacks.callbacks.runtime.appearance import Appearance, shown_bands
from saliency_callbacks.capture.inputs import ModelInputs
from saliency_callbacks.cues.basic import Cue
from saliency_callbacks.cues.checks import check_changed
from saliency_callbacks.cues.display_range import DisplayRange
from saliency_callbacks.cues.inpainting import Fill, remove
from saliency_callbacks.cues.pictures import BackgroundCue
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.errors import CueError, ProbeError
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.types import Attribution

__all__ = ["ImageCueProbe"]


@dataclass(frozen=True, eq=False)
class ImageCueProbe:
    """The same samples without and with a cue.

    Args:
        batch: The probe.
        cue: The cue.
        range: How the probe's values relate to display images.
        inputs: The probe's inputs, and which of them is explained.
        cued: The explained tensor with the cue.
        region: Where the cue is, bool ``[N, *spatial]``.
        removed: The explained tensor with the region of the probe's masks painted over, where that was asked for.
        bearing: Samples that have such a region, bool ``[N]``.
        changed: Samples that the cue changes, bool ``[N]``.
        usable: Samples that can tell: not of the suspect class, and changed by the cue; bool ``[N]``.
        shown: Positions of the samples in the picture.
        suspect_class: The class that the cue might give away.
        painting: With what the region is painted over, and the seed of noise.
        is_global: Whether the cue changes most of the image, over all samples of the probe, and so may move every
            class.
    """

    batch: ProbeBatch
    cue: Cue
    range: DisplayRange
    inputs: ModelInputs
    cued: Tensor
    region: Tensor
    removed: Tensor | None
    bearing: Tensor
    changed: Tensor
    usable: Tensor
    shown: Tensor
    suspect_class: int
    painting: tuple[Fill | None, int]
    is_global: bool = False

    @classmethod
    def prepare(
        cls,
        batch: ProbeBatch,
        cue: Cue,
        suspect_class: int,
        *,
        settings: Settings,
        normalization: Sequence[Sequence[float]] | None,
        removal: Fill | None,
        n_shown: int,
        others: FurtherSamples = no_further_samples,
    ) -> ImageCueProbe:
        """Put the cue into the probe.

        Args:
            batch: The probe.
            cue: The cue.
            suspect_class: The class that it might give away.
            settings: How the model is explained.
            normalization: Mean and standard deviation of each channel; by default those that the data tells.
            removal: With what the region of the masks is painted over; ``None`` for nothing.
            n_shown: Most samples in the picture.
            others: Yields the samples of the probe that are not in ``batch``. The range of values, and whether the cue
                changes most of the image, are those of all samples.

        Raises:
            CueError: If the cue does not fit the probe, changes nothing, or no sample can tell anything.
        """
        inputs = settings.read_alone(batch.inputs)
        values = _range(inputs, others, normalization or batch.normalization)
        own = _with_cue(batch, cue, values, inputs, suspect_class, (removal, settings.seed))
        found = survey(own, others)
        check_changed(found.changed, cue)
        if removal is not None:
            _check_bearing(found.bearing, removal)
        warn_without_labels(batch, cue, suspect_class)
        found.check_usable(cue, suspect_class)
        return replace(own, shown=own.usable.nonzero()[:n_shown, 0], is_global=found.is_global)

    def like(self, batch: ProbeBatch) -> ImageCueProbe:
        """Return other samples of the same range without and with the cue; none of them has to tell anything."""
        inputs = self.inputs.read_alike(batch.inputs)
        return _with_cue(batch, self.cue, self.range, inputs, self.suspect_class, self.painting)

    @property
    def covered(self) -> Tensor:
        """Share of each image that the cue covers, ``[N]``."""
        return self.region.flatten(1).double().mean(dim=1)

    def with_explained(self, explained: Tensor) -> Any:
        """Return the probe's inputs with another explained tensor ``[N, …]``."""
        return self.inputs.with_explained(explained, torch.arange(len(explained)))

    @property
    def clean_inputs(self) -> Any:
        """The probe's inputs."""
        return self.batch.inputs

    @property
    def cued_inputs(self) -> Any:
        """The probe's inputs with the cue."""
        return self.with_explained(self.cued)

    @property
    def removed_inputs(self) -> Any | None:
        """The probe's inputs with the region painted over."""
        return None if self.removed is None else self.with_explained(self.removed)

    def insert(self, batch: ProbeBatch) -> Any:
        """Return the inputs of another batch of the same range with the cue."""
        inputs = self.inputs.read_alike(batch.inputs)
        cued = self.range.apply(_fitted(self.cue, batch), inputs.explained)
        return inputs.with_explained(cued, torch.arange(len(cued)))

    def pairs(self) -> Any:
        """Return the inputs of the picture: each shown sample without and with the cue in turn, ``[2 P, …]``."""
        explained = interleaved(self.inputs.explained[self.shown], self.cued[self.shown])
        return self.inputs.with_explained(explained, self.shown.repeat_interleave(2))

    def pair_images(self) -> Tensor:
        """Return the display images of the picture, ``[2 P, C, *spatial]``."""
        pairs = interleaved(self.inputs.explained[self.shown], self.cued[self.shown])
        return self.range.to_display(pairs).clamp(0, 1)

    def pair_regions(self) -> Tensor:
        """Return where the cue is, or would be, bool ``[2 P, *spatial]``."""
        return self.region[self.shown].repeat_interleave(2, dim=0)

    def picture(
        self, attribution: Attribution | None, pairs: Sequence[Pair], title: str, appearance: Appearance
    ) -> npt.NDArray[np.uint8]:
        """Draw the shown samples without and with the cue, each with its map."""
        assert attribution is not None, "images always have maps"
        bands = shown_bands(appearance, self.batch, self.inputs.explained)
        return draw_pairs(self.pair_images(), attribution, pairs, replace(appearance, bands=bands), title=title)


def _fitted(cue: Cue, batch: ProbeBatch) -> Cue:
    return cue.with_masks(batch.masks) if isinstance(cue, BackgroundCue) else cue


def _range(shown: ModelInputs, others: FurtherSamples, normalization: Sequence[Sequence[float]] | None) -> DisplayRange:
    """Return the range of values of all samples, for which the others are read where the normalization is unknown."""
    mean_std = None if normalization is None else (normalization[0], normalization[1])
    with closing(others()) as chunks:
        further = (shown.read_alike(chunk.inputs).explained for chunk in chunks)
        return DisplayRange.of_batches(chain([shown.explained], further), mean_std)


def _with_cue(
    batch: ProbeBatch,
    cue: Cue,
    values: DisplayRange,
    inputs: ModelInputs,
    suspect_class: int,
    painting: tuple[Fill | None, int],
) -> ImageCueProbe:
    explained, fitted = inputs.explained, _fitted(cue, batch)
    display = values.to_display(explained).clamp(0, 1)
    removed, bearing = _removed(explained, display, values, batch.masks, painting)
    cued = values.apply(fitted, explained)
    changed = (cued != explained).flatten(1).any(dim=1)
    return ImageCueProbe(
        batch=batch,
        cue=cue,
        range=values,
        inputs=inputs,
        cued=cued,
        region=fitted.mask(display),
        removed=removed,
        bearing=bearing,
        changed=changed,
        usable=foreign_samples(changed, batch, suspect_class),
        shown=torch.zeros(0, dtype=torch.int64),
        suspect_class=suspect_class,
        painting=painting,
    )


def _removed(
    explained: Tensor, display: Tensor, values: DisplayRange, masks: Tensor | None, painting: tuple[Fill | None, int]
) -> tuple[Tensor | None, Tensor]:
    fill, seed = painting
    if fill is None:
        return None, torch.zeros(len(explained), dtype=torch.bool)
    if masks is None:
        raise CueError(
            f"removal={fill!r}, but the probe has no masks of the cue; expected one per sample. Give them with "
            "Probe.from_tensors(inputs, labels, masks=…), or leave out `removal`"
        )
    painted = values.to_model(remove(display, masks, fill=fill, seed=seed)).to(explained.dtype)
    inside = (masks >= 0.5).unsqueeze(1)
    return torch.where(inside, painted, explained), inside.flatten(1).any(dim=1)


def _check_bearing(bearing: Tensor, fill: Fill) -> None:
    if not bearing.any():
        raise ProbeError(
            f"removal={fill!r}, but all masks of the probe are empty; expected samples with the cue, and masks of "
            "where it is"
        )
