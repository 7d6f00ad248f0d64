"""The boxes that the data has, as what is explained."""

from __future__ import annotations

import torch
from torch import Tensor

from saliency_callbacks.errors import TargetError
from saliency_callbacks.targets.named import Samples

__all__ = ["annotated"]


def annotated(samples: Samples, label: int | None) -> tuple[Tensor, Tensor]:
    """Return the largest annotated box of each sample ``[N, 4]`` and its class ``[N]``; NaN and -1 where there is none.

    Args:
        samples: What is known of the samples.
        label: The class that is looked for; ``None`` for any.

    Raises:
        TargetError: If the data has no boxes, or no sample has one of the class.
    """
    objects = None if samples.probe is None else samples.probe.objects
    if objects is None:
        raise TargetError(
            "box='annotation', but there are no annotated boxes; expected a dataset that delivers (image, {'boxes': "
            "[K, 4], 'labels': [K]}), with collate_fn=lambda batch: tuple(zip(*batch)). Otherwise give corners "
            "(x0, y0, x1, y1), or box=None for the most probable detection"
        )
    boxes = torch.full((samples.n_samples, 4), torch.nan)
    labels = torch.full((samples.n_samples,), -1)
    for place, own in enumerate(objects):
        fits = torch.ones(len(own.labels), dtype=torch.bool) if label is None else own.labels == label
        areas = (own.boxes[:, 2:] - own.boxes[:, :2]).clamp(min=0).prod(dim=1).masked_fill(~fits, 0)
        if len(areas) and bool(areas.max() > 0):
            best = areas.argmax()
            boxes[place], labels[place] = own.boxes[best], own.labels[best]
    if bool(boxes.isnan().all()):
        known = sorted({int(one) for own in objects for one in own.labels})
        of_class = "" if label is None else f" of class {label}; expected one of the classes {known[:20]}"
        raise TargetError(
            f"box='annotation', but no sample of the probe has an annotated box{of_class}. Choose other samples with "
            f"Probe(indices=…){'' if label is None else ', or another label'}"
        )
    return boxes, labels
