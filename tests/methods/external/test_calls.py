"""What the presets of other libraries refuse before a training, and that they refuse nothing else."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import captum.attr
import pytest
import pytorch_grad_cam
import torch
import torchcam.methods
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn
from zennit import composites

from saliency_callbacks import explain
from saliency_callbacks.errors import MethodError
from saliency_callbacks.methods import CaptumMethod, GradCamMethod, TorchCamMethod, ZennitMethod

_HERE = __name__
_CAMS = [name for name in dir(torchcam.methods) if isinstance(getattr(torchcam.methods, name), type)]
_GRAD_CAMS = ["FinerCAM", "SESS", "RefineCAM", "AblationCAM", "KPCA_CAM", "FEM", "FullGrad", "ScoreCAM", "ShapleyCAM"]


class FreeTorchCam(torchcam.methods.GradCAM):
    def __init__(self, *args: Any, power: int = 1, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.power = power

    def __call__(self, *args: Any, gain: float = 1.0, **kwargs: Any) -> list[Tensor]:
        return [gain * one for one in super().__call__(*args, **kwargs)]


class StrictTorchCam(torchcam.methods.GradCAM):
    def __call__(self, class_idx: Any, scores: Tensor, gain: float = 1.0) -> list[Tensor]:
        return [gain * one for one in super().__call__(class_idx, scores)]


class FreeGradCam(pytorch_grad_cam.GradCAM):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.power = kwargs.pop("power")
        super().__init__(*args, **kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return kwargs.pop("gain") * super().__call__(*args, **kwargs)


class FreeCaptum(captum.attr.Saliency):
    def attribute(self, *args: Any, **kwargs: Any) -> Any:
        return kwargs.pop("gain") * super().attribute(*args, **kwargs)


def free_composite(*args: Any, **kwargs: Any) -> Any:
    return composites.EpsilonPlus(*args, **kwargs)


def _model() -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    head = nn.Linear(4, 3)
    # Every channel speaks for class 1, so that its maps are not empty.
    nn.init.zeros_(head.weight)
    nn.init.ones_(head.weight[1])
    return nn.Sequential(*layers, head).eval()


def _accepted(function: Any) -> Iterator[str]:
    """Yield what a function takes beside `self`, the model and the layers."""
    for one in list(inspect.signature(function).parameters.values())[3:]:
        if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY):
            yield one.name


def _initializers(kind: Any) -> Iterator[str]:
    """Yield what reaches a class of TorchCAM, by its own code: to the first `__init__` without `**kwargs`."""
    for base in kind.__mro__[:-1]:
        if "__init__" in vars(base):
            parameters = inspect.signature(base.__init__).parameters
            yield from _accepted(base.__init__)
            if not any(one.kind is one.VAR_KEYWORD for one in parameters.values()) or "base_method" in parameters:
                return


@pytest.mark.parametrize("cam", _CAMS)
def test_every_parameter_of_a_class_of_torchcam_is_taken(cam: str) -> None:
    for name in _initializers(getattr(torchcam.methods, cam)):
        TorchCamMethod(cam, constructor={name: torchcam.methods.LayerCAM if name == "base_method" else None})
    TorchCamMethod(cam, {"normalized": False})


@pytest.mark.parametrize("cam", _GRAD_CAMS)
def test_every_parameter_of_a_class_of_pytorch_grad_cam_is_taken(cam: str) -> None:
    kind = getattr(pytorch_grad_cam, cam)
    for name in _accepted(kind.__init__):
        GradCamMethod(cam, constructor={name: pytorch_grad_cam.GradCAM if name == "base_method" else None})
    call = kind.__call__ if issubclass(kind, pytorch_grad_cam.base_cam.BaseCAM) else kind.forward
    for name in _accepted(call):
        GradCamMethod(cam, {name: False})


@pytest.mark.parametrize(
    "method",
    [
        lambda: TorchCamMethod("RefineCAM", {"retain_graph": True}, name="cam", layer=["1", "3"]),
        lambda: TorchCamMethod(
            "RefineCAM",
            constructor={"base_method": "torchcam.methods.ScoreCAM", "batch_size": 4},
            name="cam",
            layer=["1", "3"],
        ),
        lambda: TorchCamMethod("FinerCAM", {"eps": 1e-6}, {"base_method": torchcam.methods.GradCAMpp}, name="cam"),
        lambda: TorchCamMethod(
            "FinerCAM", constructor={"base_method": torchcam.methods.LayerCAM, "enable_hooks": True}, name="cam"
        ),
        lambda: GradCamMethod("FinerCAM", {"eigen_smooth": True}, name="cam"),
        lambda: GradCamMethod(
            "SESS", constructor={"num_scales": 1, "base_method": pytorch_grad_cam.AblationCAM}, name="cam"
        ),
        lambda: TorchCamMethod(f"{_HERE}.FreeTorchCam", {"gain": 2.0}, {"power": 2, "enable_hooks": True}, name="cam"),
        lambda: TorchCamMethod(f"{_HERE}.StrictTorchCam", {"gain": 2.0}, name="cam"),
        lambda: GradCamMethod(f"{_HERE}.FreeGradCam", {"gain": 2.0}, {"power": 2}, name="cam"),
        lambda: CaptumMethod(f"{_HERE}.FreeCaptum", {"gain": 2.0, "abs": False}, name="cam"),
        lambda: ZennitMethod(free_composite, {"epsilon": 0.1}, name="cam"),
    ],
)
def test_wrappers_and_classes_of_ones_own_run(method: Callable[[], Any]) -> None:
    found = explain(_model(), torch.rand(2, 3, 8, 8), methods=method(), target=1, target_layers="2")["cam"]
    assert found.values.isfinite().all()


def test_a_wrapper_of_pytorch_grad_cam_equals_its_direct_call() -> None:
    model, inputs = _model(), torch.rand(2, 3, 8, 8)
    found = explain(model, inputs, methods=GradCamMethod("SESS", name="cam"), target=1, target_layers="2")["cam"]
    maps = pytorch_grad_cam.SESS(model, [model[2]])(inputs, [ClassifierOutputTarget(1)] * 2)
    torch.testing.assert_close(found.values[:, 0], torch.from_numpy(maps))


@pytest.mark.parametrize(
    ("preset", "message"),
    [
        (lambda: TorchCamMethod("LeGrad", constructor={"input_shape": [3, 8, 8]}), r"no 'input_shape'.* \['score_proj"),
        (lambda: TorchCamMethod("FinerCAM", constructor={"base_cam": None}), r"takes no 'base_cam'.*'base_method'"),
        (lambda: TorchCamMethod("FinerCAM", {"eps": 1e-6}), "takes no 'eps'"),
        (lambda: TorchCamMethod("LeGrad", {"targets": []}), "'targets' is what the method itself gives"),
        (lambda: GradCamMethod("SESS", constructor={"num_scale": 2}), "did you mean 'num_scales'"),
        (lambda: GradCamMethod("SESS", {"targets": []}), "'targets' is what the method itself gives"),
        (
            lambda: CaptumMethod("NoiseTunnel", {"nt_samples": 2}, {"attribution_method": "Occlusion"}),
            "missing a required argument: 'sliding_window_shapes'; expected arguments of Occlusion",
        ),
    ],
)
def test_messages_offer_what_is_taken(preset: Callable[[], Any], message: str) -> None:
    with pytest.raises(MethodError, match=message) as raised:
        preset()
    offered = str(raised.value).partition("expected")[2]
    assert "'base_cam'" not in offered
    assert "'_scores'" not in offered
    assert "'input_shape'" not in offered or "LeGrad" not in str(raised.value)


@pytest.mark.parametrize(
    ("method", "draws"),
    [
        (lambda: TorchCamMethod("torchcam.methods.SSCAM"), True),
        (lambda: TorchCamMethod("RefineCAM", constructor={"base_method": "torchcam.methods.SSCAM"}), True),
        (lambda: TorchCamMethod("torchcam.methods.LayerCAM"), False),
        (lambda: GradCamMethod("pytorch_grad_cam.RandomCAM"), True),
        (lambda: CaptumMethod("captum.attr.KernelShap"), True),
        (lambda: CaptumMethod("captum.attr.LayerGradientShap", {"baselines": 0}), True),
        (lambda: CaptumMethod("captum.attr.Saliency"), False),
    ],
)
def test_what_draws_is_known_by_its_class(method: Callable[[], Any], draws: bool) -> None:
    assert method().stochastic is draws
