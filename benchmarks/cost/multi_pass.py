"""Methods that run many copies of each image."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from captum.attr import IntegratedGradients, NoiseTunnel, Saliency
from torch import Tensor
from torchvision.models import ResNet

from benchmarks.cost.measure import Row, cost, interleave
from benchmarks.cost.workload import Workload, floor, photographs, random_resnet18
from saliency_callbacks import explain, methods

__all__ = [
    "captum_integrated_gradients",
    "captum_smooth_grad",
    "measure_integrated_gradients",
    "measure_smooth_grad",
]


def measure_integrated_gradients(workload: Workload) -> list[Row]:
    """Integrated gradients, against as many images run by hand in the same chunks, and against Captum."""
    method = methods.IntegratedGradients(n_steps=workload.path_steps)
    return _measure("integrated_gradients", method, captum_integrated_gradients, workload)


def measure_smooth_grad(workload: Workload) -> list[Row]:
    """SmoothGrad, against as many images run by hand in the same chunks, and against Captum."""
    method = methods.SmoothGrad(nt_samples=workload.path_steps)
    return _measure("smooth_grad", method, captum_smooth_grad, workload)


def _measure(
    name: str, method: Any, captum: Callable[[ResNet, Tensor, Tensor, Workload], Any], workload: Workload
) -> list[Row]:
    model = random_resnet18()
    images, target = photographs(workload.path_images, workload.size)
    ours = f"{name} {workload.path_images} images × {workload.path_steps}"
    by_hand, library = f"forward + gradient by hand, chunks of {workload.images}", "Captum, same chunks"
    sides: dict[str, Callable[[], Any]] = {
        ours: partial(explain, model, images, methods=method, target=target, internal_batch_size=workload.images),
        by_hand: partial(_floor_in_chunks, model, images, target, workload),
        library: partial(captum, model, images, target, workload),
    }
    floor(model, images, target)
    timings = interleave(sides, workload.path_rounds, workload.clock, warm_up=False)
    return [
        cost(f"{name}/floor", timings, ours=ours, other=by_hand, limit=1.05),
        cost(f"{name}/captum", timings, ours=ours, other=library, limit=1.0),
    ]


def _floor_in_chunks(model: ResNet, images: Tensor, target: Tensor, workload: Workload) -> None:
    n_rows = len(images) * workload.path_steps
    for begin in range(0, n_rows, workload.images):
        rows = [number % len(images) for number in range(begin, min(begin + workload.images, n_rows))]
        floor(model, images[rows], target[rows])


def captum_integrated_gradients(model: ResNet, images: Tensor, target: Tensor, workload: Workload) -> Tensor:
    """Return Captum's map of ``path_steps`` points; with the convergence delta, which ours always has."""
    found: Tensor
    found, _ = IntegratedGradients(model).attribute(
        images,
        target=target,
        n_steps=workload.path_steps,
        internal_batch_size=workload.images,
        return_convergence_delta=True,
    )
    return found


def captum_smooth_grad(model: ResNet, images: Tensor, target: Tensor, workload: Workload) -> Tensor:
    """Return Captum's map of ``path_steps`` noisy copies."""
    found: Tensor = NoiseTunnel(Saliency(model)).attribute(
        images,
        nt_type="smoothgrad",
        nt_samples=workload.path_steps,
        # Copies at once, so that a chunk has as many rows as ours.
        nt_samples_batch_size=workload.images // len(images),
        stdevs=0.15,
        target=target,
        abs=False,
    )
    return found
