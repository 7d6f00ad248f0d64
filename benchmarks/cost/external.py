"""Methods of other libraries, beside a gradient: as methods of an observation, and called directly after it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from captum.attr import IntegratedGradients
from pytorch_grad_cam import LayerCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor
from torchcam.methods import GradCAMpp
from torchvision.models import ResNet
from zennit.attribution import Gradient
from zennit.composites import EpsilonPlusFlat

from benchmarks.cost.measure import Row, cost, interleave
from benchmarks.cost.workload import Workload, photographs, random_resnet18
from saliency_callbacks import explain
from saliency_callbacks.methods import CaptumMethod, GradCamMethod, TorchCamMethod, ZennitMethod

__all__ = ["measure_external"]


def measure_external(workload: Workload) -> list[Row]:
    """Each library's method, as ours and called directly on the same images; a gradient comes first on both sides."""
    model = random_resnet18()
    images, target = photographs(workload.images, workload.size)
    adapters: dict[str, tuple[Any, Callable[[], Any]]] = {
        "zennit": (ZennitMethod("EpsilonPlusFlat"), partial(_zennit, model, images, target)),
        "grad-cam": (GradCamMethod("LayerCAM"), partial(_grad_cam, model, images, target)),
        "torchcam": (TorchCamMethod("GradCAMpp"), partial(_torchcam, model, images, target)),
        "captum": (CaptumMethod("IntegratedGradients", {"n_steps": 5}), partial(_captum, model, images, target)),
    }
    gradient = partial(explain, model, images, target=target, target_layers="layer4")
    rows = []
    for name, (method, direct) in adapters.items():
        ours, other = f"gradient and {method.name}", f"gradient, and {name} called directly"
        sides: dict[str, Callable[[], Any]] = {
            ours: partial(gradient, methods=["gradient", method]),
            other: partial(_after, partial(gradient, methods=["gradient"]), direct),
        }
        timings = interleave(sides, workload.rounds, workload.clock)
        rows.append(cost(f"external/{name}", timings, ours=ours, other=other, limit=1.1))
    return rows


def _after(first: Callable[[], Any], then: Callable[[], Any]) -> None:
    first()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        then()


def _zennit(model: ResNet, images: Tensor, target: Tensor) -> None:
    with Gradient(model, EpsilonPlusFlat()) as run:
        run(images.clone(), torch.eye(1000)[target])


def _grad_cam(model: ResNet, images: Tensor, target: Tensor) -> None:
    with LayerCAM(model, [model.layer4]) as cam:
        cam(images, [ClassifierOutputTarget(index) for index in target.tolist()])
    model.zero_grad(set_to_none=True)


def _torchcam(model: ResNet, images: Tensor, target: Tensor) -> None:
    with GradCAMpp(model, "layer4") as cam:
        cam(target.tolist(), model(images))
    model.zero_grad(set_to_none=True)


def _captum(model: ResNet, images: Tensor, target: Tensor) -> None:
    IntegratedGradients(model).attribute(images.clone(), target=target, n_steps=5)
