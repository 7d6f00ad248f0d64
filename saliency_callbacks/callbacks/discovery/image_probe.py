"""Training images that are searched: kept small between the evaluations, and fed as the model takes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from saliency_callbacks.callbacks.discovery.probe import labels_of
from saliency_callbacks.callbacks.runtime.host import Host
from saliency_callbacks.capture.inputs import ModelInputs
from saliency_callbacks.capture.structure import tensors_of
from saliency_callbacks.config.nested import describe
from saliency_callbacks.cues.display_range import DisplayRange
from saliency_callbacks.discovery.candidate import Generator
from saliency_callbacks.discovery.checks import check_sides, searched_classes
from saliency_callbacks.discovery.kinds import generators_of
from saliency_callbacks.discovery.reader import true_class_margin
from saliency_callbacks.discovery.samples import Samples
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.errors import ProbeError
from saliency_callbacks.methods.gradients import Gradient
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.targets.link import Link

__all__ = ["ImageDiscoveryProbe", "ImageReader"]

_AT_ONCE = 256
"""So many images are on the model's device at a time."""

_ROWS = 64
"""So many are run at once where nobody says otherwise."""

_CHUNK = _KEPT = 64
_ROUNDING = 0.02
"""How far a value may lie from one of 256 levels, in levels, after it was normalized and back."""


@dataclass(frozen=True, eq=False)
class ImageDiscoveryProbe:
    """Images of a run with their classes.

    They are kept as display images in 8 bits where that loses nothing, as of images out of files, else in half
    precision, which is exact to 0.0003; an evaluation holds them in single precision while it lasts. What the model is
    fed is made of them.

    Args:
        images: ``uint8`` or ``float16 [N, C, H, W]``.
        labels: ``int64 [N]``.
        ids: A name for each.
        class_names: Name of each class.
        template: The inputs of the probe, of one sample.
        range: How the model's inputs relate to display images.
        settings: How the model is run.
        seed: Of the split, and of every draw.
    """

    images: Tensor
    labels: Tensor
    ids: tuple[str, ...]
    class_names: tuple[str, ...] | None
    template: ModelInputs
    range: DisplayRange
    settings: Settings
    seed: int

    @classmethod
    def prepare(
        cls,
        batch: ProbeBatch,
        settings: Settings,
        *,
        normalization: Sequence[Sequence[float]] | None = None,
        class_names: Sequence[str] | None = None,
    ) -> ImageDiscoveryProbe:
        """Check a probe, and keep of it what is searched.

        Args:
            batch: The frozen probe.
            settings: How the model is run.
            normalization: What the images were normalized with; what the batch tells by default.
            class_names: Name of each class; those of the batch by default.

        Raises:
            ProbeError: If it holds no images with classes, or too few of them.
        """
        inputs = settings.read_alone(batch.inputs)
        _check_images(inputs)
        kept = searched_classes(labels_of(batch)).nonzero()[:, 0]
        mean_std = normalization or batch.normalization
        values = DisplayRange.of(inputs.explained, None if mean_std is None else (mean_std[0], mean_std[1]))
        names = class_names or batch.class_names
        template = _one_sample(inputs, settings)
        return cls(
            images=_compact(values, inputs.explained, kept),
            labels=labels_of(batch)[kept],
            ids=tuple(batch.ids[position] for position in kept.tolist()),
            class_names=None if names is None else tuple(names),
            template=template,
            range=values,
            settings=replace(
                settings,
                shared=tuple(template.shared) if template.shared else settings.shared,
                internal_batch_size=settings.internal_batch_size or _ROWS,
            ),
            seed=settings.seed,
        )

    @property
    def size(self) -> int:
        """Number of images N."""
        return len(self.labels)

    @property
    def samples(self) -> Samples:
        """The images in single precision, which are made anew each time."""
        images = self.images.float() / 255 if self.images.dtype == torch.uint8 else self.images.float()
        return Samples(images, self.labels, self.ids, self.class_names, self.seed)

    def reader(self, model: nn.Module, host: Host, link: Link) -> ImageReader:
        """Return what asks the model as it is now."""
        settings = replace(self.settings, forward_context=host.forward_context)
        return ImageReader(model, host, settings, link, self.template, self.range)

    def generators(self, kinds: Sequence[str]) -> Sequence[Generator]:
        """Return what proposes candidates of these kinds."""
        return generators_of(kinds)

    def kept(self, batch: ProbeBatch) -> ProbeBatch:
        """Return the first samples of the probe."""
        if batch.size <= _KEPT:
            return batch
        rows = torch.arange(_KEPT)
        inputs = self.settings.read_alone(batch.inputs)
        return replace(
            batch,
            inputs=inputs.with_explained(inputs.explained[rows], rows),
            labels=None if batch.labels is None else batch.labels[rows],
            ids=batch.ids[:_KEPT],
            indices=None if batch.indices is None else batch.indices[:_KEPT],
            masks=None,
            groups=None,
        )

    def facts(self) -> dict[str, Any]:
        """Return what a record of the run should tell of it."""
        return {"n_images": self.size, "n_classes": len(self.labels.unique())}


@dataclass(frozen=True, eq=False)
class ImageReader:
    """Asks the model of a run about display images, together with the other processes, which all get the same answers.

    Args:
        model: The explained module.
        host: The run.
        settings: How the model is run.
        link: How its outputs are read.
        template: Inputs of one sample, whose image is replaced.
        range: How the model's inputs relate to display images.
    """

    model: nn.Module
    host: Host
    settings: Settings
    link: Link
    template: ModelInputs
    range: DisplayRange

    def logits(self, inputs: Tensor) -> Tensor:
        """Return the logits of all classes ``[N, K]``, K ≥ 2, on the CPU."""
        parts = [self.host.ranks.logits(self.model, self._fed(part), self.settings) for part in inputs.split(_AT_ONCE)]
        return self.link.columns(torch.cat(parts).cpu()).float()

    def gradients(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Return the gradient of each image's margin of its own class by the display image, like ``inputs``."""
        parts = [self._gradients(*part) for part in zip(inputs.split(_AT_ONCE), labels.split(_AT_ONCE), strict=True)]
        return torch.cat(parts) * self._slope(inputs)

    def _gradients(self, inputs: Tensor, labels: Tensor) -> Tensor:
        settings, ranks = replace(self.settings, methods=(Gradient(),)), self.host.ranks
        target = true_class_margin(labels, self.link)
        found = ranks.explain(self.model, self._fed(inputs), settings, [target]).attributions[0]["gradient"]
        values = found.values.cpu().float()
        # Devices may round differently, and what is proposed must not.
        return values if ranks.shards_probe else ranks.from_zero(values)

    def _slope(self, images: Tensor) -> Tensor:
        """Return how fast the model's inputs change with the display images, ``[1, C, 1, 1]``."""
        black = torch.zeros(1, images.shape[1], 1, 1)
        return self.range.to_model(black + 1) - self.range.to_model(black)

    def _fed(self, images: Tensor) -> Any:
        like = self.template.explained
        values = self.range.to_model(images).to(like.dtype)
        return self.host.to_device(self.template.with_explained(values, torch.zeros(len(images), dtype=torch.int64)))


def _check_images(inputs: ModelInputs) -> None:
    if inputs.explained.ndim != 4:
        raise ProbeError(
            f"the probe contains {describe(inputs.explained)}; expected images [N, C, H, W]. Shortcuts in signals and "
            "volumes are not supported"
        )
    check_sides(inputs.explained)
    if inputs.undeclared:
        raise ProbeError(
            f"besides its image, the model takes {', '.join(map(repr, inputs.undeclared))} for each sample, so parts "
            "of images cannot be exchanged between samples. Name a submodule that takes only images with "
            "reading=ModelReading(module=…), or the inputs that all samples share with ModelReading(shared=…)"
        )


def _one_sample(inputs: ModelInputs, settings: Settings) -> ModelInputs:
    """Return the inputs of one sample; whatever else there is, all samples share."""
    first = inputs.with_explained(inputs.explained[:1].clone(), torch.zeros(1, dtype=torch.int64))
    template = settings.read_alone(first)
    if isinstance(template.structure, Tensor):
        return template
    return replace(template, shared=frozenset(tensors_of(template.structure)) - {str(template.attribute_to)})


def _compact(values: DisplayRange, explained: Tensor, kept: Tensor) -> Tensor:
    """Return display images in 8 bits where they are made of such, else in half precision."""

    def chunks() -> Iterator[Tensor]:
        # So that there is never a second copy in full precision.
        return (values.to_display(explained[rows]).clamp(0, 1).float() for rows in kept.split(_CHUNK))

    if all(_has_levels(chunk) for chunk in chunks()):
        return torch.cat([(chunk * 255).round().to(torch.uint8) for chunk in chunks()])
    return torch.cat([chunk.half() for chunk in chunks()])


def _has_levels(images: Tensor) -> bool:
    levels = images * 255
    return bool(((levels - levels.round()).abs() <= _ROUNDING).all())
