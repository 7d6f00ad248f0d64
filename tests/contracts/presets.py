"""Methods that run the model themselves, as the contract is tested with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor, nn

from saliency_callbacks.methods import CaptumMethod, ExternalMethod, GradCamMethod, TorchCamMethod, ZennitMethod
from saliency_callbacks.types import ModelMethod

__all__ = ["PRESETS", "TWO_OR_THREE_D"]


def saliency(model: nn.Module, inputs: Tensor, target: Tensor, samples: Tensor) -> Tensor:
    """The gradient, as a person writes it."""
    scores = model(inputs.requires_grad_())
    return torch.autograd.grad(scores.gather(1, target[:, None]).sum(), inputs)[0]


def noisy_saliency(model: nn.Module, inputs: Tensor, target: Tensor, samples: Tensor) -> Tensor:
    """The gradient times what is drawn for each place."""
    weights = torch.rand(inputs.shape[1:]).to(inputs)
    return saliency(model, inputs, target, samples) * (1 + weights / 8)


PRESETS: Mapping[str, Callable[[], ModelMethod]] = {
    "own": partial(ExternalMethod, "own", saliency),
    "own_noise": partial(ExternalMethod, "own_noise", noisy_saliency, stochastic=True),
    "captum_deep_lift": partial(CaptumMethod, "DeepLift"),
    "captum_layer_grad_cam": partial(CaptumMethod, "LayerGradCam"),
    "zennit_epsilon_plus": partial(ZennitMethod, "EpsilonPlus"),
    "pytorch_grad_cam_layer_cam": partial(GradCamMethod, "LayerCAM"),
    "torchcam_layer_cam": partial(TorchCamMethod, "LayerCAM"),
}

TWO_OR_THREE_D = ("pytorch_grad_cam_layer_cam",)
