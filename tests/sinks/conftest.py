from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from saliency_callbacks.types import Attribution, Snapshot


def _attribution(generator: torch.Generator, method: str, values: torch.Tensor, **changes: Any) -> Attribution:
    target, score = torch.tensor([1, 0]), torch.randn(2, generator=generator)
    magnitude = changes.pop("magnitude", values.abs().amax(1))
    return Attribution(
        method=method,
        values=values,
        magnitude=magnitude,
        heatmap=magnitude / magnitude.max(),
        target=target,
        score=score,
        **changes,
    )


@pytest.fixture
def make_snapshot() -> Callable[..., Snapshot]:
    """Build a snapshot of two 8x8 samples: an input method and a class activation map."""

    def build(*, step: int = 10, seed: int = 0, **changes: Any) -> Snapshot:
        generator = torch.Generator().manual_seed(seed)
        cam = torch.rand(2, 1, 4, 4, generator=generator)
        resized = torch.nn.functional.interpolate(cam, size=(8, 8), mode="bilinear", align_corners=False)
        gradient = torch.randn(2, 3, 8, 8, generator=generator)
        delta = {"convergence_delta": torch.randn(2, generator=generator)}
        facts: dict[str, Any] = {
            "epoch": 1,
            "stage": "fit",
            "attributions": {
                "gradient": _attribution(generator, "gradient", gradient, reduction="abs_max", extras=delta),
                "grad_cam": _attribution(
                    generator, "grad_cam", cam, magnitude=resized[:, 0], reduction="sum", layer="layer4"
                ),
            },
            "predictions": torch.tensor([1, 1]),
            "confidences": torch.tensor([0.75, 0.5]),
            "labels": torch.tensor([1, 0]),
            "ids": ("val/0", "val/7"),
            "scores": {"saliency/gradient/entropy": 0.25},
            "metadata": {"precision": "32-true"},
        }
        return Snapshot(step=step, **{**facts, **changes})

    return build


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, size=(12, 20, 3), dtype=np.uint8)
