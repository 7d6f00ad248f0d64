"""What a search costs, against one forward and one backward pass of the images that it looks at."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from benchmarks.cost.measure import Row, cost, interleave, peak_tensor_bytes
from benchmarks.cost.workload import MEAN, STD, Workload, random_resnet18
from benchmarks.discovery.images import SIDE
from benchmarks.discovery.training import Planted, trained
from saliency_callbacks.demo.scenes import load_digit_scenes
from saliency_callbacks.discovery.discover import discover_shortcuts
from saliency_callbacks.discovery.reader import PlainReader
from saliency_callbacks.engine.settings import Settings

__all__ = ["measure_discovery"]

_ROUNDS = 3
_CLASSES = 10
_CUED = 3
_BEYOND = 2.0
"""Seconds that a search of 1,000 small images may take beyond its two passes."""
_ON_LARGE = 3.0
"""Times its two passes that a search of large images may take."""
_MEBIBYTE = 2**20
_PHOTOGRAPHS = ("astronaut", "cat", "coffee", "hubble_deep_field", "immunohistochemistry", "rocket")

Preprocess = Callable[[Tensor], Tensor]


def measure_discovery(workload: Workload) -> list[Row]:
    """Measure a search of small images, one of large ones, and how much memory the latter needs."""
    return [_small_row(workload), *_large_rows(workload)]


def _small_row(workload: Workload) -> Row:
    is_quick = workload.images < 8
    images, labels = load_digit_scenes(seed=1, count=300 if is_quick else 1000)
    images = _with_patch(nn.functional.interpolate(images, size=(SIDE, SIDE), mode="area"), labels)
    net = trained(Planted(images, labels, [], seed=1), (1,))[1]
    ours, passes = f"search of {len(images)} of {SIDE}² beyond two passes", f"{_BEYOND:g} s"
    timings = interleave(_sides(net, images, labels, None), min(_ROUNDS, workload.rounds), workload.clock)
    beyond = [search - two for search, two in zip(timings["search"], timings["passes"], strict=True)]
    return Row(
        name="discovery/small",
        ours=ours,
        other=passes,
        ours_value=statistics.median(beyond),
        other_value=_BEYOND,
        ratio=statistics.median(beyond) / _BEYOND,
        limit=1.0,
        samples={**timings},
    )


def _large_rows(workload: Workload) -> list[Row]:
    count = 240 if workload.images >= 8 else 60
    labels = torch.arange(count) % _CLASSES
    images = _with_patch(_crops(count, workload.size), labels)
    sides = _sides(random_resnet18(), images, labels, _normalized)
    timings = interleave(sides, min(_ROUNDS, workload.rounds), workload.clock, warm_up=False)
    passes = f"one forward and one backward pass of {count} of {workload.size}², ResNet-18"
    ours = f"search of {count} of {workload.size}²"
    named = {ours: timings["search"], passes: timings["passes"]}
    peaks = [peak_tensor_bytes(sides[name]) / _MEBIBYTE for name in ("search", "passes")]
    return [
        cost("discovery/large", named, ours=ours, other=passes, limit=_ON_LARGE),
        Row(
            name="discovery/memory",
            ours="search, tensors at one time",
            other="its two passes",
            ours_value=peaks[0],
            other_value=peaks[1],
            ratio=peaks[0] / peaks[1],
            limit=None,
            unit="MiB",
            samples={"search": [peaks[0]], "passes": [peaks[1]]},
        ),
    ]


def _sides(
    model: nn.Module, images: Tensor, labels: Tensor, preprocess: Preprocess | None
) -> dict[str, Callable[[], Any]]:
    reader = PlainReader(model, preprocess, Settings(methods=(), internal_batch_size=64))
    return {
        "search": partial(discover_shortcuts, model, images, labels, preprocess=preprocess),
        "passes": partial(reader.gradients, images, labels),
    }


def _with_patch(images: Tensor, labels: Tensor) -> Tensor:
    """Put an orange patch into every other image of one class, so that there is something to find and to try."""
    side = images.shape[2] // 5
    bears = (labels == _CUED).nonzero()[::2, 0]
    images[bears, :, 2 : 2 + side, 2 : 2 + side] = torch.tensor([1.0, 0.6, 0.1])[:, None, None]
    return images


def _crops(count: int, size: int) -> Tensor:
    """Return squares cut out of photographs, in [0, 1]."""
    from skimage import data

    random = np.random.default_rng(0)
    photographs = [Image.fromarray(getattr(data, name)()) for name in _PHOTOGRAPHS]
    crops = []
    for _ in range(count):
        picture = photographs[random.integers(len(photographs))]
        side = random.uniform(size / 2, min(picture.size))
        left, top = (random.uniform(0, length - side) for length in picture.size)
        cut = picture.resize((size, size), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))
        crops.append(torch.from_numpy(np.asarray(cut).copy()))
    return torch.stack(crops).permute(0, 3, 1, 2) / 255


def _normalized(images: Tensor) -> Tensor:
    mean, std = (torch.tensor(values).reshape(3, 1, 1) for values in (MEAN, STD))
    return (images - mean) / std
