"""An observation of large pictures against explaining them, and what it adds to a checkpoint."""

from __future__ import annotations

import io
from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from typing_extensions import override

from benchmarks.cost.measure import Row, cost
from benchmarks.cost.observation import WHOLE, TimedMonitor, time_observations
from benchmarks.cost.workload import Workload, photographs
from saliency_callbacks import explain

__all__ = ["measure_large_pictures"]

_MEBIBYTE = 2**20
_ALLOWED_MEBIBYTES = 4.0
_METHODS = ("gradient", "input_x_gradient", "grad_cam", "layer_cam")
_EXPLAIN = "explain of the same"


def measure_large_pictures(workload: Workload) -> list[Row]:
    """16 pictures of 1024×768, four methods, a small network: a deep one would hide what scoring and drawing cost."""
    height, width = workload.large_size
    images, labels = photographs(workload.images, max(height, width))
    pictures = F.interpolate(images, size=(height, width), mode="bilinear", antialias=True)
    monitor = _BesideExplain(_METHODS, pictures, labels % 10, workload.clock, beside=_EXPLAIN)
    seconds = time_observations(monitor, _small_network(), workload.path_rounds)
    return [cost("large_pictures", seconds, ours=WHOLE, other=_EXPLAIN, limit=2.0), _checkpoint_row(monitor)]


class _BesideExplain(TimedMonitor):
    """Compares with ``explain``, as a person would call it."""

    @override
    def work_beside(self, network: nn.Module) -> Any:
        layers = list(self.state.target_layers)
        return explain(network, self.images, methods=_METHODS, target=self.labels, target_layers=layers)


def _small_network() -> nn.Module:
    """Return three convolutions with random weights, for which drawing and scoring weigh most."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        widths = (3, 16, 32, 32)
        layers = [
            layer
            for one, next_one in pairwise(widths)
            for layer in (nn.Conv2d(one, next_one, 3, stride=2, padding=1), nn.ReLU())
        ]
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], 10))


def _checkpoint_row(monitor: TimedMonitor) -> Row:
    """What the monitor adds to a checkpoint, with filmstrips as long as they get."""
    file = io.BytesIO()
    torch.save(monitor.state_dict(), file)
    size = len(file.getvalue()) / _MEBIBYTE
    return Row(
        name="large_pictures/checkpoint",
        ours=f"a monitor's part of a checkpoint, {len(_METHODS)} methods",
        other="4 MiB",
        ours_value=size,
        other_value=_ALLOWED_MEBIBYTES,
        ratio=size / _ALLOWED_MEBIBYTES,
        limit=1.0,
        unit="MiB",
    )
