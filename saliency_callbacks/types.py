"""The values that travel between the layers, and the protocols of what can be plugged in.

Data moves one way: probe → evidence → attribution → score → snapshot → panel → sink. Everything here is
frozen; nothing here touches a model, a file or a logger. What holds tensors is compared by identity.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Flag, auto
from typing import Any, Literal, Protocol, runtime_checkable

from torch import Tensor

from saliency_callbacks.passes import Baseline, Noise, Pass, Path, PathRule, ReluRule, TensorBaseline

__all__ = [
    "Attribution",
    "Baseline",
    "Evidence",
    "Method",
    "Noise",
    "Pass",
    "Path",
    "PathRule",
    "Picture",
    "ProbeView",
    "Quantity",
    "RawMap",
    "Reduction",
    "ReluRule",
    "Sink",
    "Snapshot",
    "TensorBaseline",
]

Reduction = Literal["abs_max", "positive_max", "l2", "abs_sum", "sum"]


class Quantity(Flag):
    """What a method wants kept of a pass; the union over all methods decides what is computed."""

    GRADIENT = auto()
    GRADIENT_SQUARE = auto()
    PATH_INTEGRAL = auto()
    ACTIVATIONS = auto()


@dataclass(frozen=True, eq=False)
class Evidence:
    """What one pass measured for one target; what no method asked for is ``None`` or empty.

    Args:
        inputs: The explained input, ``[N, C, *spatial]``.
        target: Explained class of each sample ``[N]``, -1 where the target is a callable.
        score: Explained score of each sample ``[N]``; the mean over the rows of a multi-sample pass.
        gradient: Mean over the pass of the gradient of the score, ``[N, C, *spatial]``.
        gradient_square: Mean over the pass of the squared gradient.
        path_integral: Mean over the paths of Σ weight · (end - start) ⊙ gradient.
        score_change: Mean over the paths of score(end) - score(start), ``[N]``.
        activations: Output of each target layer as ``[N, K, *layer_spatial]``, in execution order.
        activation_gradients: Gradient of the score with respect to each of ``activations``.
    """

    inputs: Tensor
    target: Tensor
    score: Tensor
    gradient: Tensor | None = None
    gradient_square: Tensor | None = None
    path_integral: Tensor | None = None
    score_change: Tensor | None = None
    activations: Mapping[str, Tensor] = field(default_factory=dict)
    activation_gradients: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class RawMap:
    """What a method makes of the evidence, before it is brought to the input's resolution.

    Args:
        values: Signed values, ``[N, C, *spatial]`` or ``[N, 1, h, w]``.
        reduction: How the channels become one non-negative map.
        layer: Where the map was taken; ``None`` for methods at the input.
        extras: Further tensors, one row per sample.
    """

    values: Tensor
    reduction: Reduction = "sum"
    layer: str | None = None
    extras: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Attribution:
    """The explanation of one batch by one method.

    Args:
        method: Name of the method.
        values: Raw signed values: ``[N, C, *spatial]`` for input methods, ``[N, 1, h, w]`` at the layer's
            own resolution for class activation maps.
        magnitude: Non-negative, unnormalised map at the input's resolution, ``[N, *spatial]``. Comparable
            between epochs.
        heatmap: ``magnitude`` clipped at its 99th percentile and scaled to [0, 1], each map on its own.
        target: Explained class of each sample ``[N]``, -1 where the target is a callable.
        score: Explained score (a logit) of each sample ``[N]``.
        layer: Target layer; ``None`` for input methods, names joined by ``+`` for several.
        extras: Further tensors, e.g. ``convergence_delta [N]`` of integrated gradients.
        reduction: How ``magnitude`` follows from the channels of ``values``, before it is resized; ``None`` where it
            does not.
        counted: Which places are part of the sample, bool ``[N, *spatial]``: padding and special tokens are not. Only
            these are compared and scaled; ``None`` where all are.
    """

    method: str
    values: Tensor
    magnitude: Tensor
    heatmap: Tensor
    target: Tensor
    score: Tensor
    layer: str | None = None
    extras: Mapping[str, Tensor] = field(default_factory=dict)
    reduction: Reduction | None = None
    counted: Tensor | None = None

    def cpu(self) -> Attribution:
        """Return a copy whose tensors are on the CPU."""
        return replace(
            self,
            values=self.values.cpu(),
            magnitude=self.magnitude.cpu(),
            heatmap=self.heatmap.cpu(),
            target=self.target.cpu(),
            score=self.score.cpu(),
            extras={name: value.cpu() for name, value in self.extras.items()},
            counted=None if self.counted is None else self.counted.cpu(),
        )


@dataclass(frozen=True, eq=False)
class ProbeView:
    """The probe as people look at it; the same in every observation.

    Args:
        fingerprint: Fingerprint of the probe's inputs and labels.
        ids: A stable name for each sample.
        images: The inputs as pictures, ``uint8 [N, H, W, 3]``; ``None`` for texts.
        tokens: The words or tokens of each text, in the order of the places of its map, without padding.
        special: Which of ``tokens`` are no words of the text, such as separators.
        labels, class_names, masks, groups: As in :class:`~saliency_callbacks.probe.batch.ProbeBatch`.
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
        texts: Markdown under its tag, for dashboards that show text.
        html: HTML fragments under their tags, for dashboards that show these; they take the place of a text there.
        alerts: Title → what somebody should be told at once, for services that send messages.
        probe: What was explained, for those who show it elsewhere than in the pictures.
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
    html: Mapping[str, str] = field(default_factory=dict)
    alerts: Mapping[str, str] = field(default_factory=dict)
    probe: ProbeView | None = None

    @property
    def moment(self) -> str:
        """A short title of the moment, as shown above a picture."""
        return {"initial": "start", "validate": "validation", "final": "end"}.get(self.stage, f"epoch {self.epoch}")


Picture = Any
"""A rendered picture: a ``uint8`` NumPy array ``[height, width, 3]``; with a fourth dimension in front,
``[frames, height, width, 3]``, an animation."""


@runtime_checkable
class Method(Protocol):
    """A saliency method: declares the passes it needs, and reduces their evidence to a map."""

    @property
    def name(self) -> str:
        """Key of the result and ``{method}`` in the logged tags."""

    def requires(self) -> Mapping[Pass, Quantity]:
        """Return what has to be run, and what has to be kept of it."""

    def attribute(self, evidence: Mapping[Pass, Evidence]) -> RawMap:
        """Reduce the evidence of the required passes to a map; pure."""


@runtime_checkable
class Sink(Protocol):
    """A place where observations are written.

    Called from a thread beside the training, one observation after the other; with ``on_error="raise"`` from the
    training itself.
    """

    def write(self, snapshot: Snapshot, pictures: Mapping[str, Picture]) -> None:
        """Write one observation.

        Args:
            snapshot: What was found.
            pictures: Tag → ``uint8 [height, width, 3]``, or ``uint8 [frames, height, width, 3]`` for an animation;
                drawn on demand. A sink that cannot show animations leaves them out.
        """
