"""A network that says what its forwards cost, so that what is measured does not depend on the machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import torch
from torch import Tensor, nn

__all__ = ["PRICES", "Clock", "Priced"]

PRICES: Mapping[str, float] = {
    "unchanged": 1.0,
    "channels last": 0.9,
    "bfloat16": 0.5,
    "bfloat16, channels last": 0.4,
}


class Clock:
    """Seconds that pass only where a forward says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Priced(nn.Sequential):
    """Two convolutions and a linear head.

    Args:
        clock: What a forward with gradients moves on.
        prices: Name of an arithmetic → seconds of such a forward.
        rough: Names of those in which it looks at the mirrored image.
        failing: Names of those in which it raises an error.

    Attributes:
        runs: How often it was run in each, with gradients and in evaluation mode.
        last: In which it was last run like that.
    """

    def __init__(
        self,
        clock: Clock,
        prices: Mapping[str, float] = PRICES,
        *,
        rough: tuple[str, ...] = (),
        failing: tuple[str, ...] = (),
    ) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            super().__init__(
                nn.Conv2d(1, 4, 3, padding=1),
                nn.BatchNorm2d(4),
                nn.Tanh(),
                nn.Conv2d(4, 4, 3, padding=1),
                nn.Tanh(),
                nn.Flatten(),
                nn.Linear(256, 10),
            )
        self.prices, self.rough, self.failing = prices, rough, failing
        told = (clock, Counter[str](), list[str]())
        # Of plain attributes, an observation would put the content back, and notice that it changes.
        self._told = lambda: told

    @property
    def runs(self) -> Counter[str]:
        return self._told()[1]

    @property
    def last(self) -> str:
        return self._told()[2][-1]

    def forward(self, images: Tensor) -> Tensor:
        half = "bfloat16" if torch.is_autocast_enabled("cpu") else None
        is_last = self[3].weight.is_contiguous(memory_format=torch.channels_last)
        name = ", ".join(filter(None, [half, "channels last" if is_last else None])) or "unchanged"
        if torch.is_grad_enabled() and not self.training:
            self._told()[0].now += self.prices[name]
            self.runs[name] += 1
            self._told()[2].append(name)
            if name in self.failing:
                raise ValueError("cannot be computed like this")
        found: Tensor = super().forward(images.flip(-1) if name in self.rough else images)
        return found
