"""What is measured on: a ResNet-18 with fixed random weights, and crops of photographs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from sklearn.datasets import load_sample_images
from torch import Tensor
from torch.nn import functional as F
from torchvision.models import ResNet, resnet18

from benchmarks.cost.measure import Clock

__all__ = ["FULL", "MEAN", "QUICK", "STD", "Workload", "floor", "photographs", "random_resnet18", "score"]

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Workload:
    """Sizes of the measurements.

    Args:
        size: Height and width of the images.
        images: How many are explained at once; also the chunk of the methods with many passes.
        rounds: Interleaved rounds of the short comparisons.
        path_images: How many images the methods with many passes explain.
        path_steps: Their steps or noisy copies.
        path_rounds: Interleaved rounds of these long comparisons.
        large_size: Height and width of the large pictures.
        memory_size: Height and width of the images in the memory measurements.
        memory_steps: Few and many steps, which should need the same memory.
        streamed: How many samples a large probe has: few, and ten times as many.
        clock: What the seconds are.
    """

    size: int = 224
    images: int = 16
    rounds: int = 9
    path_images: int = 4
    path_steps: int = 50
    path_rounds: int = 3
    large_size: tuple[int, int] = (768, 1024)
    memory_size: int = 64
    memory_steps: tuple[int, int] = (50, 500)
    streamed: tuple[int, int] = (1000, 10_000)
    clock: Clock = "wall"


FULL = Workload()
QUICK = Workload(
    size=64,
    images=4,
    rounds=2,
    path_images=2,
    path_steps=4,
    path_rounds=2,
    large_size=(96, 128),
    memory_steps=(8, 16),
    streamed=(128, 1280),
)


def random_resnet18() -> ResNet:
    """Return a ResNet-18 in evaluation mode; the weights do not matter for the cost."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return resnet18(weights=None).eval()


def photographs(count: int, size: int) -> tuple[Tensor, Tensor]:
    """Return normalized crops of scikit-learn's two photographs ``[count, 3, size, size]``, and made-up labels."""
    crops = [crop for _, crop in zip(range(count), _crops(), strict=False)]
    images = F.interpolate(torch.stack(crops), size=(size, size), mode="bilinear", antialias=True)
    mean, std = (torch.tensor(values).reshape(3, 1, 1) for values in (MEAN, STD))
    return (images - mean) / std, torch.arange(count) * 37 % 1000


def _crops() -> Iterator[Tensor]:
    pictures = [torch.from_numpy(image.copy()).permute(2, 0, 1) / 255 for image in load_sample_images().images]
    while True:
        for top in (0, 203):
            for left in (0, 104, 208, 312):
                yield from (picture[:, top : top + 224, left : left + 224] for picture in pictures)


def score(logits: Tensor, target: Tensor) -> Tensor:
    """Return the sum of the explained logits."""
    return logits.gather(1, target[:, None]).sum()


def floor(model: ResNet, images: Tensor, target: Tensor) -> Tensor:
    """Return the gradient by hand: one forward, and one backward to the input; nothing can be cheaper."""
    inputs = images.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(score(model(inputs), target), inputs)
    return gradient
