"""Methods that take as many points as each sample needs, on a network that has learned something.

A path through a random network is easier than one through a trained one, so a ResNet-18 learns to tell four photographs
apart first.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import torch
from scipy.stats import spearmanr
from torch import Tensor
from torch.nn import functional as F
from torchvision.models import ResNet, resnet18

from benchmarks.cost.measure import Row, gain, interleave
from benchmarks.cost.multi_pass import captum_integrated_gradients, captum_smooth_grad
from benchmarks.cost.workload import MEAN, STD, Workload
from saliency_callbacks import Attribution, explain
from saliency_callbacks.methods import IntegratedGradients, SmoothGrad

__all__ = ["measure_adaptive", "trained_resnet18"]

_SIZE = 96
_CLASSES = 4
_TRAINING_STEPS = 30


def measure_adaptive(workload: Workload) -> list[Row]:
    """``"auto"`` of integrated gradients and of SmoothGrad, against Captum's fixed number in the same chunks."""
    model, images = trained_resnet18()
    target = torch.arange(_CLASSES)
    run = partial(explain, model, images, target=target, internal_batch_size=workload.images)
    paths, copies = IntegratedGradients("auto"), SmoothGrad("auto")
    found = run(methods=[paths, copies, IntegratedGradients(1000, "midpoint", name="exact")])
    auto, noisy = _told_of_paths(found[paths.name], found["exact"]), _told_of_copies(found[copies.name])
    library, tunnel = f"Captum, {workload.path_steps} steps", f"Captum, {workload.path_steps} copies"
    sides: dict[str, Callable[[], Any]] = {
        auto: partial(run, methods=paths),
        library: partial(captum_integrated_gradients, model, images, target, workload),
        noisy: partial(run, methods=copies),
        tunnel: partial(captum_smooth_grad, model, images, target, workload),
    }
    timings = interleave(sides, workload.rounds, workload.clock)
    return [
        gain("integrated_gradients_auto/captum", timings, ours=auto, other=library, limit=2.2),
        gain("smooth_grad_auto/captum", timings, ours=noisy, other=tunnel, limit=None),
    ]


def _told_of_paths(found: Attribution, exact: Attribution) -> str:
    """Return the steps, and how far the worst sample is from completeness and from the map of a thousand steps."""
    steps = found.extras["n_steps"].long().tolist()
    change = exact.values.flatten(1).sum(1) - exact.extras["convergence_delta"]
    error = float((found.extras["convergence_delta"] / change).abs().max())
    maps = zip(found.values.sum(1).flatten(1), exact.values.sum(1).flatten(1), strict=True)
    correlation = min(float(spearmanr(one, other).statistic) for one, other in maps)
    return f"integrated gradients auto, {_spread(steps)} steps: error ≤ {error:.1%}, ρ ≥ {correlation:.4f}"


def _told_of_copies(found: Attribution) -> str:
    copies = found.extras["nt_samples"].long().tolist()
    error = float(found.extras["standard_error"].max())
    return f"SmoothGrad auto, {_spread(copies)} copies: standard error ≤ {error:.2f}"


def _spread(counts: list[int]) -> str:
    return f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"


@cache
def trained_resnet18() -> tuple[ResNet, Tensor]:
    """Return a ResNet-18 that tells four photographs of scikit-image apart, and these ``[4, 3, 96, 96]``."""
    images = _photographs()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = resnet18(num_classes=_CLASSES)
        optimizer = torch.optim.Adam(model.parameters(), 1e-3)
        for _ in range(_TRAINING_STEPS):
            batch = images.repeat(4, 1, 1, 1)
            batch = torch.roll(batch, tuple(torch.randint(-8, 9, (2,)).tolist()), (2, 3)) + 0.3 * torch.randn_like(
                batch
            )
            loss = F.cross_entropy(model(batch), torch.arange(_CLASSES).repeat(4))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model.eval().requires_grad_(False), images


def _photographs() -> Tensor:
    from skimage import data

    pictures = [data.astronaut(), data.coffee(), data.chelsea(), data.rocket()]
    tensors = [torch.from_numpy(picture.copy()).permute(2, 0, 1)[None] / 255 for picture in pictures]
    resized = [F.interpolate(one, size=(_SIZE, _SIZE), mode="bilinear", antialias=True) for one in tensors]
    mean, std = (torch.tensor(values).reshape(3, 1, 1) for values in (MEAN, STD))
    return (torch.cat(resized) - mean) / std
