"""What one observation found, and what it is shown as."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

from saliency_callbacks.types.attribution import Attribution
from saliency_callbacks.types.outlines import Outlines
from saliency_callbacks.types.statistics import ProbeStatistics
from saliency_callbacks.types.tables import Table

__all__ = ["Picture", "ProbeView", "Snapshot"]


@dataclass(frozen=True, eq=False)
class ProbeView:
    """The probe as people look at it; the same in every observation.

    Args:
        fingerprint: Fingerprint of the probe's inputs and labels.
        ids: A stable name for each sample.
        images: The inputs as pictures, ``uint8 [N, H, W, 3]``; of volumes the middle slice, ``None`` for text inputs.
        volumes: Of volumes and videos the pictures of all slices, ``uint8 [N, D, H, W, 1]`` in grey or
            ``[N, D, H, W, 3]``; ``H`` and ``W`` may be smaller than those of the inputs.
        axis_names: Names of the spatial axes, such as ``("depth", "height", "width")``, where they are known.
        tokens: The words or tokens of each text, in the order of the positions of its map, without padding.
        special: Which of ``tokens`` are not words of the text, such as separators.
        labels, class_names, masks, groups: As in :class:`~saliency_callbacks.probe.batch.ProbeBatch`.

    Example:
        >>> import torch
        >>> view = ProbeView("5f3a", ids=("val/0", "val/7"), labels=torch.tensor([1, 0]), class_names=("cat", "dog"))
        >>> [view.class_names[label] for label in view.labels]
        ['dog', 'cat']
    """

    fingerprint: str
    ids: tuple[str, ...]
    images: Tensor | None = None
    tokens: tuple[tuple[str, ...], ...] | None = None
    special: tuple[tuple[bool, ...], ...] | None = None
    labels: Tensor | None = None
    class_names: tuple[str, ...] | None = None
    masks: Tensor | None = None
    groups: tuple[str, ...] | None = None
    volumes: Tensor | None = None
    axis_names: tuple[str, ...] | None = None


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Everything one observation found, on the CPU.

    Args:
        epoch: The Trainer's epoch, counted from 0.
        step: The step under which the Trainer's own metrics of this moment are logged.
        stage: ``"initial"`` before the first training step, ``"fit"`` or ``"validate"`` after it, ``"final"`` after the
            last.
        attributions: One attribution a method.
        predictions: Predicted class of each probe sample ``[N]``; ``None`` for models that do not classify.
        confidences: Probability of the predicted class ``[N]``, in [0, 1].
        labels: Labels of the probe ``[N]``, where it has them.
        ids: A stable name for each probe sample.
        scores: Every scalar of this observation under its full tag.
        sample_scores: The values ``[N]`` behind those of ``scores`` that are means over the samples.
        metadata: Facts about the observation, e.g. the precision or the weights that were explained.
        texts: Prose as Markdown under its tag.
        tables: Results in rows and columns under their tags.
        html: HTML fragments under their tags, for dashboards that show these; they replace a text of the same tag.
        alerts: Title → what somebody should be told at once, for services that send messages.
        probe: What was explained, for sinks that show it outside the pictures.
        statistics: What was found of all samples of a probe that is larger than what is shown of it; everything else
            here that has a row for each sample is of the shown ones.
        explained: Where what is explained lies, of targets that have a place: a detected box, a segmented region.
        localized: Method → where its map says that the object is, where that is asked for.

    Example:
        To try out a sink of your own, make what it is given:

        >>> snapshot = Snapshot(3, step=40, stage="fit", attributions={}, scores={"saliency/gradient/entropy": 0.8})
        >>> snapshot.moment, snapshot.scores["saliency/gradient/entropy"]
        ('epoch 3', 0.8)
    """

    epoch: int
    step: int
    stage: Literal["initial", "fit", "validate", "final"]
    attributions: Mapping[str, Attribution]
    predictions: Tensor | None = None
    confidences: Tensor | None = None
    labels: Tensor | None = None
    ids: tuple[str, ...] = ()
    scores: Mapping[str, float] = field(default_factory=dict)
    sample_scores: Mapping[str, Tensor] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[str, Table] = field(default_factory=dict)
    html: Mapping[str, str] = field(default_factory=dict)
    alerts: Mapping[str, str] = field(default_factory=dict)
    probe: ProbeView | None = None
    statistics: ProbeStatistics | None = None
    explained: Outlines | None = None
    localized: Mapping[str, Outlines] = field(default_factory=dict)

    @property
    def moment(self) -> str:
        """A short title of the moment, as shown above a picture."""
        return {"initial": "start", "validate": "validation", "final": "end"}.get(self.stage, f"epoch {self.epoch}")

    @property
    def markdown(self) -> dict[str, str]:
        """Texts and tables as Markdown under their tags, for dashboards that show text."""
        return {**self.texts, **{tag: table.markdown() for tag, table in self.tables.items()}}


Picture = Any
"""A rendered picture: a ``uint8`` NumPy array ``[height, width, 3]``; with a fourth dimension in front,
``[frames, height, width, 3]``, an animation."""
