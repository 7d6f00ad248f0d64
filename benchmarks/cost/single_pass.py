"""Methods that share one forward and one backward."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from captum.attr import InputXGradient, LayerGradCam, Saliency
from pytorch_grad_cam import GradCAMPlusPlus, HiResCAM, LayerCAM, XGradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor
from torchvision.models import ResNet

from benchmarks.cost.measure import Row, cost, gain, interleave
from benchmarks.cost.workload import Workload, floor, photographs, random_resnet18, score
from saliency_callbacks import explain

__all__ = ["SEVEN", "measure_grad_cam", "measure_seven"]

SEVEN = (
    "gradient",
    "input_x_gradient",
    "grad_cam",
    "grad_cam_plus_plus",
    "hires_cam",
    "layer_cam",
    "xgrad_cam",
)


def measure_seven(workload: Workload) -> list[Row]:
    """Seven methods together, against one gradient by hand and against other libraries method by method."""
    model = random_resnet18()
    images, target = photographs(workload.images, workload.size)
    explicit, auto = "seven methods, layer4", "seven methods, layer 'auto'"
    by_hand, libraries = "forward + gradient by hand", "Captum 3 + grad-cam 4 methods"
    seven = partial(explain, model, images, methods=SEVEN, target=target)
    sides: dict[str, Callable[[], Any]] = {
        explicit: partial(seven, target_layers="layer4"),
        by_hand: partial(floor, model, images, target),
        auto: partial(seven, target_layers="auto"),
        libraries: partial(_method_by_method, model, images, target),
    }
    timings = interleave(sides, workload.rounds, workload.clock)
    return [
        cost("seven/explicit_layer", timings, ours=explicit, other=by_hand, limit=1.15),
        cost("seven/auto_layer", timings, ours=auto, other=by_hand, limit=1.15),
        gain("seven/libraries", timings, ours=explicit, other=libraries, limit=4.0),
    ]


def measure_grad_cam(workload: Workload) -> list[Row]:
    """Grad-CAM alone, against a forward whose backward by hand stops at the layer."""
    model = random_resnet18()
    images, target = photographs(workload.images, workload.size)
    explicit, auto, by_hand = "Grad-CAM, layer4", "Grad-CAM, layer 'auto'", "forward + gradient above layer4"
    grad_cam = partial(explain, model, images, methods="grad_cam", target=target)
    sides: dict[str, Callable[[], Any]] = {
        explicit: partial(grad_cam, target_layers="layer4"),
        by_hand: partial(_floor_above_layer4, model, images, target),
        auto: partial(grad_cam, target_layers="auto"),
    }
    timings = interleave(sides, workload.rounds, workload.clock)
    return [
        cost("grad_cam/explicit_layer", timings, ours=explicit, other=by_hand, limit=1.1),
        cost("grad_cam/auto_layer", timings, ours=auto, other=by_hand, limit=None),
    ]


def _floor_above_layer4(model: ResNet, images: Tensor, target: Tensor) -> Tensor:
    with torch.no_grad():
        stem = model.maxpool(model.relu(model.bn1(model.conv1(images))))
        activations: Tensor = model.layer4(model.layer3(model.layer2(model.layer1(stem))))
    activations.requires_grad_(True)
    logits = model.fc(torch.flatten(model.avgpool(activations), 1))
    gradient: Tensor = torch.autograd.grad(score(logits, target), activations)[0]
    return gradient


def _method_by_method(model: ResNet, images: Tensor, target: Tensor) -> None:
    Saliency(model).attribute(images, target=target)
    InputXGradient(model).attribute(images, target=target)
    LayerGradCam(model, model.layer4).attribute(images, target=target)
    targets: Sequence[ClassifierOutputTarget] = [ClassifierOutputTarget(index) for index in target.tolist()]
    for method in (GradCAMPlusPlus, HiResCAM, LayerCAM, XGradCAM):
        with method(model=model, target_layers=[model.layer4]) as cam:
            cam(input_tensor=images, targets=targets)
    # grad-cam fills the parameters' gradients, and Captum asks for those of what it is given.
    model.zero_grad(set_to_none=True)
    images.requires_grad_(False).grad = None
