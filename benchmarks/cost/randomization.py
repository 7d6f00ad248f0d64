"""Parameter randomization: a whole test against the passes in it, and a cascade against another library."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from captum.attr import InputXGradient, LayerAttribution, LayerGradCam, Saliency
from torch import Tensor, nn
from torchvision.models import ResNet

from benchmarks.cost.measure import Row, cost, gain, interleave
from benchmarks.cost.workload import Workload, floor, photographs, random_resnet18
from saliency_callbacks import Compute, Draws, ModelReading, randomization_test
from saliency_callbacks.callbacks.randomization.keeping import CopyKeeping
from saliency_callbacks.callbacks.randomization.trial import Trial
from saliency_callbacks.callbacks.runtime.ranks import ALONE
from saliency_callbacks.callbacks.runtime.settings import engine_settings
from saliency_callbacks.errors import each_kind_once
from saliency_callbacks.randomization.run import with_primary
from saliency_callbacks.randomization.scores import sample_scores, scores

__all__ = ["measure_cascade", "measure_kept_copies", "measure_randomization"]

_FIVE = ("gradient", "input_x_gradient", "grad_cam", "hires_cam", "layer_cam")
_THREE = ("gradient", "input_x_gradient", "grad_cam")
_N_DRAWS = 5
_N_KEPT = 20
_CASCADE_SIZE = 64
_CASCADE_IMAGES = 8
# Two draws tell chance from effect; the other library makes one.
_CASCADE_DRAWS = 2
_LAYER = "layer3"


def measure_randomization(workload: Workload) -> list[Row]:
    """Five draws and five methods, against six times one shared forward and backward by hand."""
    model = random_resnet18()
    images, target = photographs(workload.images, workload.size)
    ours, by_hand = f"{len(_FIVE)} methods, {_N_DRAWS} draws", f"{_N_DRAWS + 1} × forward + gradient by hand"
    whole = f"{ours}, with random logit"
    test = partial(
        randomization_test,
        model,
        images,
        methods=_FIVE,
        target=target,
        n_draws=_N_DRAWS,
        similarities="spearman",
        target_layers="layer4",
    )
    sides: dict[str, Callable[[], Any]] = {
        ours: partial(test, random_logit=False),
        whole: test,
        by_hand: partial(_repeatedly, partial(floor, model, images, target), _N_DRAWS + 1),
    }
    timings = interleave(sides, workload.path_rounds, workload.clock)
    return [
        cost("randomization/full", timings, ours=ours, other=by_hand, limit=1.2),
        cost("randomization/with_logit", timings, ours=whole, other=by_hand, limit=1.2),
    ]


def measure_kept_copies(workload: Workload) -> list[Row]:
    """Twenty random copies that are explained once: the first test, and one after it, each with its scores.

    A test with the random logit takes one forward and two backwards, so that it is compared with as many.
    """
    model = random_resnet18()
    images, target = photographs(workload.images, workload.size)
    by_hand, twice = "forward + gradient by hand", "forward + 2 gradients by hand"
    later, with_logit = f"{len(_FIVE)} methods, {_N_KEPT} draws, a later test", "the same, with random logit"
    sides: dict[str, Callable[[], Any]] = {
        later: partial(_test_again, CopyKeeping(Draws(_N_KEPT, random_logit=False), "bench"), model, images, target),
        with_logit: partial(_test_again, CopyKeeping(Draws(_N_KEPT), "bench"), model, images, target),
        by_hand: partial(floor, model, images, target),
        twice: partial(_two_gradients, model, images, target),
    }
    # Outside of a run, what is kept is told at every test.
    with each_kind_once(set()):
        timings = interleave(sides, workload.rounds, workload.clock)
    first, repeated = f"{len(_FIVE)} methods, {_N_KEPT} draws, the first test", f"{_N_KEPT + 1} × {by_hand}"
    once: dict[str, Callable[[], Any]] = {
        first: partial(_test_first, Draws(_N_KEPT, random_logit=False), model, images, target),
        repeated: partial(_repeatedly, sides[by_hand], _N_KEPT + 1),
    }
    with each_kind_once(set()):
        many = interleave(once, workload.path_rounds, workload.clock, warm_up=False)
    return [
        cost("randomization/later", timings, ours=later, other=by_hand, limit=1.5),
        cost("randomization/later/with_logit", timings, ours=with_logit, other=by_hand, limit=None),
        cost("randomization/later/with_logit/two_gradients", timings, ours=with_logit, other=twice, limit=1.5),
        cost("randomization/first", many, ours=first, other=repeated, limit=1.15),
    ]


def measure_cascade(workload: Workload) -> list[Row]:
    """A top-down cascade of three methods, against Quantus' MPRT, which runs once for each, and once for each draw."""
    model = random_resnet18()
    images, target = photographs(_CASCADE_IMAGES, _CASCADE_SIZE)
    ours, once = f"cascade, {len(_THREE)} methods, {_CASCADE_DRAWS} draws", f"Quantus MPRT × {len(_THREE)}, 1 draw"
    as_often = f"Quantus MPRT × {len(_THREE)}, {_CASCADE_DRAWS} draws"
    sides: dict[str, Callable[[], Any]] = {
        ours: partial(
            randomization_test,
            model,
            images,
            methods=_THREE,
            target=target,
            order="top_down",
            n_draws=_CASCADE_DRAWS,
            similarities="spearman",
            target_layers=_LAYER,
        ),
        once: partial(_quantus, model, images, target),
        as_often: partial(_repeatedly, partial(_quantus, model, images, target), _CASCADE_DRAWS),
    }
    timings = interleave(sides, workload.path_rounds, workload.clock)
    return [
        gain("randomization/cascade", timings, ours=ours, other=once, limit=4.0),
        gain("randomization/cascade/draws", timings, ours=ours, other=as_often, limit=4.0),
    ]


def _test_first(draws: Draws, model: ResNet, images: Tensor, target: Tensor) -> None:
    _test_again(CopyKeeping(draws, "bench"), model, images, target)


def _test_again(copies: CopyKeeping, model: ResNet, images: Tensor, target: Tensor) -> None:
    """Test the model as :class:`RandomizationTest` does, against copies that are kept from the test before."""
    trial = Trial(
        model=model,
        inputs=images,
        inputs_name="photographs",
        n_samples=len(images),
        settings=engine_settings(_FIVE, ModelReading(), Compute(), target_layers="layer4"),
        target=target,
        similarities=with_primary(Draws().similarities),
        redraw="reinitialize",
        ranks=ALONE,
        progress=lambda done, total: None,
    )
    result = copies.test(trial, "label")
    scores(result, "randomization")
    sample_scores(result, "randomization")


def _two_gradients(model: ResNet, images: Tensor, target: Tensor) -> None:
    inputs = images.clone().requires_grad_()
    logits = model(inputs)
    for classes, keeps in ((target, True), ((target + 1) % logits.shape[1], False)):
        torch.autograd.grad(logits.gather(1, classes[:, None]).sum(), inputs, retain_graph=keeps)


def _repeatedly(work: Callable[[], Any], times: int) -> None:
    for _ in range(times):
        work()


def _quantus(model: ResNet, images: Tensor, target: Tensor) -> list[Any]:
    import quantus

    found = []
    for explain in (_saliency, _input_x_gradient, _grad_cam):
        test = quantus.MPRT(
            similarity_func=quantus.similarity_func.correlation_spearman,
            layer_order="top_down",
            abs=False,
            normalise=False,  # as Quantus spells it
            disable_warnings=True,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scores = test(
                model=model,
                x_batch=images.numpy(),
                y_batch=target.numpy(),
                explain_func=explain,
                channel_first=True,
                device="cpu",
                batch_size=len(images),
            )
        _check_layers(scores, model)
        found.append(scores)
    return found


def _check_layers(scores: Any, model: nn.Module) -> None:
    """Make sure that both randomize the same layers."""
    layers = [module for module in model.modules() if hasattr(module, "reset_parameters")]
    randomized = [name for name in scores if name != "original"]
    if len(randomized) != len(layers):
        raise RuntimeError(f"MPRT randomized {len(randomized)} layers; expected {len(layers)}")


def _tensors(inputs: Any, targets: Any) -> tuple[Tensor, Tensor]:
    return torch.as_tensor(np.asarray(inputs)), torch.as_tensor(np.asarray(targets))


def _summed(maps: Tensor) -> npt.NDArray[Any]:
    return maps.detach().sum(dim=1, keepdim=True).numpy()


def _saliency(model: nn.Module, inputs: Any, targets: Any, **settings: Any) -> npt.NDArray[Any]:
    images, classes = _tensors(inputs, targets)
    return _summed(Saliency(model).attribute(images, target=classes, abs=False))


def _input_x_gradient(model: nn.Module, inputs: Any, targets: Any, **settings: Any) -> npt.NDArray[Any]:
    images, classes = _tensors(inputs, targets)
    return _summed(InputXGradient(model).attribute(images, target=classes))


def _grad_cam(model: nn.Module, inputs: Any, targets: Any, **settings: Any) -> npt.NDArray[Any]:
    images, classes = _tensors(inputs, targets)
    maps = LayerGradCam(model, model.get_submodule(_LAYER)).attribute(images, target=classes, relu_attributions=True)
    return _summed(LayerAttribution.interpolate(maps, tuple(images.shape[2:]), "bilinear"))
