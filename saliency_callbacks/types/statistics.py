"""What is kept of a probe of thousands of samples, most of which are not shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

__all__ = ["ClassMaps", "Mistakes", "ProbeStatistics"]


@dataclass(frozen=True, eq=False)
class ClassMaps:
    """Means of one method's maps over the samples of each class; maps that are not finite are left out.

    Maps with more than 72 pixels a side (512 of signals, 24 of volumes) are kept at that size, each pixel the mean of
    the area that it covers.

    Args:
        mean: Mean magnitude, ``[K, *spatial]``; NaN of a class without a map. Samples with large gradients count most.
        mean_rank: Mean rank of the magnitude among its sample's positions, over their number, ``[K, *spatial]`` in
            (0, 1]. Every sample counts alike; unrelated maps have a mean rank of ½ everywhere.
        counts: Number of maps behind the means, ``int64 [K]``.

    Example:
        >>> maps = ClassMaps(torch.ones(1, 2, 2), torch.full((1, 2, 2), 0.5), torch.tensor([1000]))
        >>> maps.mean.shape
        torch.Size([1, 2, 2])
    """

    mean: Tensor
    mean_rank: Tensor
    counts: Tensor


@dataclass(frozen=True, eq=False)
class Mistakes:
    """The wrong predictions that the model is surest of, the surest first, at the size of a filmstrip's frames.

    Args:
        positions: Where these samples are in the dataset, ``int64 [M]``.
        labels: Their labels ``[M]``.
        predictions: The predicted classes ``[M]``.
        confidences: The probabilities of these ``[M]``.
        images: The samples as pictures, ``uint8 [M, H, W, 3]``.
        maps: Method → the maps that are drawn, ``[M, *spatial]``.

    Example:
        >>> one = torch.tensor([1])
        >>> Mistakes(one, one, one - 1, torch.tensor([0.9]), torch.zeros(1, 8, 8, 3, dtype=torch.uint8), {}).positions
        tensor([1])
    """

    positions: Tensor
    labels: Tensor
    predictions: Tensor
    confidences: Tensor
    images: Tensor
    maps: Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class ProbeStatistics:
    """What one observation found of all samples of a large probe, those that are shown first.

    Args:
        positions: Where the samples are in the dataset, ``int64 [N]``; those that could not be read are left out.
        sample_scores: The values ``[N]`` behind the scores that are means over the samples.
        class_indices: The classes of ``classes``, ``int64 [K]``; -1 is that of all samples.
        classes: Name of each, ``"all"`` first. More than 100 classes are not told apart here.
        maps: Method → the means of its maps by class; none of text inputs.
        images: Mean input of each class as a picture, ``uint8 [K, H, W, 3]``; ``None`` of text inputs.
        labels: Label of each sample ``[N]``, where each has one.
        predictions: Predicted class of each sample ``[N]``; ``None`` for models that do not classify.
        confidences: Probability of the predicted class ``[N]``, in [0, 1].
        mistakes: The wrong predictions that the model is surest of; ``None`` where there are none.
        unreadable: Position → why the dataset could not read the item, of those that are left out.

    Example:
        >>> labels, scores = torch.tensor([0, 1, 1]), {"saliency/gradient/gini": torch.tensor([0.1, 0.2, 0.6])}
        >>> pictures = torch.zeros(3, 8, 8, 3, dtype=torch.uint8)
        >>> found = ProbeStatistics(
        ...     torch.arange(3), scores, torch.tensor([-1, 0, 1]), ("all", "cat", "dog"), {}, pictures, labels
        ... )
        >>> found.of_class(2, found.sample_scores["saliency/gradient/gini"])
        tensor([0.2000, 0.6000])
    """

    positions: Tensor
    sample_scores: Mapping[str, Tensor]
    class_indices: Tensor
    classes: tuple[str, ...]
    maps: Mapping[str, ClassMaps]
    images: Tensor | None
    labels: Tensor | None = None
    predictions: Tensor | None = None
    confidences: Tensor | None = None
    mistakes: Mistakes | None = None
    unreadable: Mapping[str, str] = field(default_factory=dict)

    def of_class(self, number: int, values: Tensor) -> Tensor:
        """Return of ``values [N]`` those of the samples of one of ``classes``."""
        if self.labels is None or int(self.class_indices[number]) < 0:
            return values
        return values[self.labels == self.class_indices[number]]

    def quantiles(self, number: int, tag: str, shares: tuple[float, ...] = (0.1, 0.5, 0.9)) -> Tensor:
        """Return quantiles of one score over the samples of one of ``classes``; NaN where none has a score.

        Args:
            number: Position in ``classes``.
            tag: A tag of ``sample_scores``.
            shares: Which quantiles, in [0, 1].
        """
        values = self.of_class(number, self.sample_scores[tag]).double()
        finite = values[values.isfinite()]
        asked = torch.tensor(shares, dtype=torch.float64)
        return torch.quantile(finite, asked) if len(finite) else torch.full_like(asked, torch.nan)
