"""What maps gain in deletion and insertion that know nothing: it should be nothing, whatever their grain.

What docs/faithfulness.md says of it.

    python -m benchmarks.random_fields

It takes about 9 minutes.

Random fields in place of maps, on scikit-learn's digits of 32×32 and three models: a trained network, random ones and
linear ones. Printed for each kind of field: the mean gain, and the share of the 95% intervals that leave out 0. A field
"magnitude" is that of a field with a sign, as maps of gradients are.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.sanity import originals, train
from saliency_callbacks import Compute, ModelReading, Perturbation
from saliency_callbacks.callbacks.faithfulness.trial import Trial
from saliency_callbacks.callbacks.runtime.ranks import ALONE
from saliency_callbacks.callbacks.runtime.settings import engine_settings
from saliency_callbacks.engine.run import run_engine
from saliency_callbacks.functional.faithfulness.gains import Gain
from saliency_callbacks.functional.images.blur import gaussian_blur
from saliency_callbacks.types import Pass, Quantity, RawMap

SIZE = 32
N_SAMPLES = 64
N_ROUNDS = 23

INFORMED = "central_8"
"""The field that knows something, which the summary leaves out."""

_GAINS = ("deletion_gain", "insertion_gain", "deletion_gain_inpainted", "insertion_gain_inpainted")


@dataclass(frozen=True, eq=False)
class Field:
    """A method whose maps are given."""

    name: str
    maps: Tensor

    def requires(self) -> dict[Pass, Quantity]:
        """Return the least that a method can ask for."""
        return {Pass(): Quantity.GRADIENT}

    def attribute(self, evidence: Any) -> RawMap:
        """Return the maps."""
        return RawMap(self.maps[:, None], "sum")


def smooth(grain: int, generator: torch.Generator) -> Tensor:
    """Return Gaussian fields ``[N, H, W]`` whose regions are about so many pixels wide, the same at every place."""
    noise = torch.randn(N_SAMPLES, 1, 3 * SIZE, 3 * SIZE, generator=generator)
    found = noise if grain == 1 else gaussian_blur(noise, grain / 2.5)
    return found[:, 0, SIZE : 2 * SIZE, SIZE : 2 * SIZE]


def blobs(generator: torch.Generator) -> Tensor:
    """Return blobs at random places, in and around the picture."""
    centers = torch.rand(N_SAMPLES, 12, 2, 1, 1, generator=generator) * 2 * SIZE - SIZE / 2
    height = torch.rand(N_SAMPLES, 12, 1, 1, generator=generator) + 0.5
    along = torch.arange(SIZE).float()
    distance = (along[:, None] - centers[:, :, 0]) ** 2 + (along - centers[:, :, 1]) ** 2
    return (height * torch.exp(-distance / (2 * (SIZE / 8) ** 2))).sum(dim=1)


def cells(generator: torch.Generator) -> Tensor:
    """Return maps as those of a layer with 4×4 positions, without negative values."""
    coarse = torch.randn(N_SAMPLES, 1, 4, 4, generator=generator).relu()
    return F.interpolate(coarse, size=SIZE, mode="bilinear")[:, 0]


def central(generator: torch.Generator) -> Tensor:
    """Return fields that know where digits usually are: in the middle."""
    along = torch.linspace(-1, 1, SIZE) ** 2
    field = smooth(8, generator)
    return field / field.std() + 1.5 * torch.exp(-(along[:, None] + along) / 0.5)


FIELDS: dict[str, Callable[[torch.Generator], Tensor]] = {
    "pixels": lambda generator: smooth(1, generator),
    **{f"regions_{grain}": lambda drawn, grain=grain: smooth(grain, drawn) for grain in (4, 8, 16, 32)},
    **{f"magnitude_{grain}": lambda drawn, grain=grain: smooth(grain, drawn).abs() for grain in (4, 16)},
    "blobs": blobs,
    "cells": cells,
    INFORMED: central,
}


def network() -> nn.Module:
    """Return three convolutions and one linear layer, for ``[N, 1, 32, 32]``."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Linear(256, 10),
    ).eval()


def linear() -> nn.Module:
    """Return a linear model whose weights are about two pixels wide."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(SIZE * SIZE, 10, bias=False))
    weights = gaussian_blur(torch.randn(10, 1, SIZE, SIZE), SIZE / 16)
    with torch.no_grad():
        model[1].weight.copy_(weights.flatten(1))
    return model.eval()


def tested(model: nn.Module, images: Tensor, labels: Tensor, seed: int) -> dict[str, list[Gain]]:
    """Return the gains of every kind of field."""
    generator = torch.Generator().manual_seed(seed)
    drawn = {name: draw(generator) for name, draw in FIELDS.items()}
    # Maps are ranked by their magnitude.
    fields = [Field(name, maps - maps.min()) for name, maps in drawn.items()]
    settings = engine_settings(fields, ModelReading(), Compute(seed=seed))
    explanation = run_engine(model, images, settings, [labels])
    perturbation = Perturbation(n_noisy=0)
    found = Trial(model, images, len(images), settings, labels, perturbation, ALONE, explanation).run()
    return {name: [one.gains[gain] for gain in _GAINS] for name, one in found.methods.items()}


def row(name: str, gains: Sequence[Sequence[Gain]]) -> str:
    """Return the mean of each gain, and how many intervals leave out 0."""
    parts = []
    for of_kind in zip(*gains, strict=True):
        known = [gain for gain in of_kind if gain.n_defined > 1]
        outside = fmean(not gain.lower <= 0 <= gain.upper for gain in known)
        parts.append(f"{fmean(gain.value for gain in known):.2f} | {outside:.0%}")
    return f"| {name} | {' | '.join(parts)} |"


def main() -> None:
    """Print a table."""
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    images, labels = originals()
    images = F.interpolate(images, size=SIZE, mode="bilinear")
    trained = network()
    held_out, truth = train(trained, images, labels, epochs=20)
    trained.eval()
    found: dict[str, list[list[Gain]]] = defaultdict(list)
    for seed in range(N_ROUNDS):
        rows = torch.randperm(len(held_out), generator=torch.Generator().manual_seed(seed))[:N_SAMPLES]
        for model in (trained, network(), linear()):
            for name, gains in tested(model, held_out[rows], truth[rows], seed).items():
                found[name].append(gains)
    print(f"| random field | {' | '.join(f'{gain} | outside' for gain in _GAINS)} |")
    for name, all_gains in found.items():
        print(row(name, all_gains))
    uninformed = [gains for name, of_name in found.items() if name != INFORMED for gains in of_name]
    print(row(f"all but {INFORMED}", uninformed))


if __name__ == "__main__":
    main()
