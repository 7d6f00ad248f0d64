"""Explanations of one model in many states of its weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from saliency_callbacks.capture.inputs import ModelInputs
from saliency_callbacks.capture.passes.run import Subject, run_clean
from saliency_callbacks.capture.text.settings import read_ids
from saliency_callbacks.capture.weights.layers import WeightLayer, find_weight_layers
from saliency_callbacks.capture.weights.randomizer import WeightRandomizer
from saliency_callbacks.engine.explanation import Explanation, Unscaled
from saliency_callbacks.engine.pins import pinned_now
from saliency_callbacks.engine.run import run_engine
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.errors import ConfigurationError, ExternalMethodError
from saliency_callbacks.randomization.steps import Step
from saliency_callbacks.scores.similarities import Comparable, Similarity
from saliency_callbacks.scores.tokens import per_token
from saliency_callbacks.targets.other_class import OtherClass
from saliency_callbacks.targets.selectors import Labels, Target, selector
from saliency_callbacks.types import AnyMethod, Attribution

__all__ = [
    "Maps",
    "Reference",
    "check_randomized",
    "draws_noise",
    "explain_reference",
    "prepared",
    "random_maps",
    "reference_targets",
    "weight_layers",
]

Maps = Mapping[str, Mapping[str, Tensor]]
"""Similarity → method → what its maps are compared by, ``[N, …]``."""


@dataclass(frozen=True, eq=False)
class Reference:
    """The trained model, explained.

    Args:
        settings: How it and every randomized state are explained, with the layers that were found once.
        target: The explained class of each sample, or a callable.
        explained: The explained class of each sample ``[N]``, -1 where the target is a callable.
        target_layers: Names of the target layers.
        similarities: How maps are compared.
        maps: What the randomized states are compared with.
        others: The maps of another class; ``None`` where there is none.
        ceilings: The maps under another seed, of the methods that draw noise.
    """

    settings: Settings
    target: Target
    explained: Tensor
    target_layers: tuple[str, ...]
    similarities: Sequence[Similarity]
    maps: Maps
    others: Maps | None
    ceilings: Maps


def weight_layers(model: nn.Module, inputs: Any, settings: Settings) -> tuple[WeightLayer, ...]:
    """Return the layers of the model that hold weights, in execution order.

    Raises:
        ConfigurationError: If there is none.
    """
    with settings.quiescent(model) as running, torch.no_grad(), running.forward_context():
        batch = running.read(model, inputs)
        first = torch.arange(1, device=batch.explained.device)
        rows = batch.explained[:1].clone()
        layers = find_weight_layers(model, lambda: batch.call(model, rows, first))
    if not layers:
        raise ConfigurationError(
            f"{type(model).__name__} has no parameters to randomize; expected at least one layer with weights. Give "
            "the module that holds them"
        )
    return layers


def reference_targets(target: Target, inputs: Any, settings: Settings, *, random_logit: bool) -> list[Target]:
    """Return what is explained of the model as it is: a target that is no name, and another class where asked for."""
    if callable(target) or not random_logit:
        return [target]
    return [target, OtherClass(_classes(target, inputs, settings), settings.seed)]


def explain_reference(
    model: nn.Module,
    inputs: Any,
    settings: Settings,
    target: Target,
    similarities: Sequence[Similarity],
    *,
    random_logit: bool = True,
    explanation: Explanation | None = None,
) -> Reference:
    """Explain the model as it is: its target, another class, and again where a method draws noise.

    The explained class is fixed here: predicting it again with random weights would compare maps of two classes.
    An ``explanation`` of these targets that somebody has already is taken for it.
    """
    target = _settled(model, inputs, settings, target)
    targets = reference_targets(target, inputs, settings, random_logit=random_logit)
    if explanation is None:
        explanation = run_engine(model, inputs, settings, targets)
    settings = replace(
        settings,
        target_layers=list(explanation.target_layers) or settings.target_layers,
        through_no_grad=explanation.through_no_grad,
        tokens=settings.tokens and replace(settings.tokens, embedding=explanation.embedding or "auto"),
    )
    found = explanation.maps[0]
    noisy = tuple(method for method in settings.methods if draws_noise(method) and method.name in found)
    has_other = len(targets) > 1 and explanation.logits is not None and explanation.logits.shape[1] > 1
    return Reference(
        settings=settings,
        target=target,
        explained=next(iter(explanation.maps[0].values())).clean.target.cpu(),
        target_layers=explanation.target_layers,
        similarities=similarities,
        maps=prepared(explanation.maps[0], similarities),
        others=prepared(explanation.maps[1], similarities) if has_other else None,
        ceilings=_ceilings(model, inputs, replace(settings, methods=noisy), target, similarities) if noisy else {},
    )


def _ceilings(
    model: nn.Module, inputs: Any, settings: Settings, target: Target, similarities: Sequence[Similarity]
) -> Maps:
    """Explain the model again, under another seed."""
    try:
        again = run_engine(model, inputs, replace(settings, seed=settings.seed + 1), [target])
    except ExternalMethodError:
        # The only ones that draw noise have failed, which is told.
        if not settings.leaves_out_failing:
            raise
        return {}
    return prepared(again.maps[0], similarities)


def random_maps(
    model: nn.Module,
    inputs: Any,
    reference: Reference,
    weights: WeightRandomizer,
    steps: Sequence[Step],
    number: int,
) -> Iterator[Maps]:
    """Explain the model after each step of one draw, in order; the weights are left randomized."""
    for step in steps:
        if step.is_fresh:
            weights.restore()
        weights.draw(step.layers, number)
        explanation = run_engine(model, inputs, reference.settings, [reference.target])
        yield prepared(explanation.maps[0], reference.similarities)


def check_randomized(model: nn.Module, weights: WeightRandomizer, layers: Sequence[WeightLayer]) -> None:
    """Check that a draw of all ``layers`` has changed something.

    Raises:
        ConfigurationError: If it has not.
    """
    names = {
        f"{name}.{parameter}".strip(".")
        for layer in layers
        for name, module in layer.modules.items()
        for parameter, _ in module.named_parameters(recurse=False)
    }
    if names <= weights.unchanged:
        raise ConfigurationError(
            f"no parameter of {type(model).__name__} could be randomized: all are constant, and no module "
            "re-initializes them to other values. Give as `randomize=` a callable (module -> None) that draws new "
            "values"
        )


def prepared(found: Mapping[str, Attribution | Unscaled], similarities: Sequence[Similarity]) -> Maps:
    """Return each map prepared for comparison, once however often it is compared."""
    compared = {name: _compared(one) for name, one in found.items()}
    return {
        similarity.name: {name: similarity.prepare(one) for name, one in compared.items()}
        for similarity in similarities
    }


def _compared(found: Attribution | Unscaled) -> Comparable:
    """Return the map as people see it: for text inputs, one number per token."""
    if found.counted is None:
        return found
    return per_token(found.attribution() if isinstance(found, Unscaled) else found)


def draws_noise(method: AnyMethod) -> bool:
    """Return whether two seeds give two maps."""
    return getattr(method, "stochastic", False) or any(
        pass_.noise is not None or (pass_.path is not None and "noise" in pass_.path.baselines)
        for pass_ in method.requires()
    )


def _settled(model: nn.Module, inputs: Any, settings: Settings, target: Target) -> Target:
    if not isinstance(target, str):
        return pinned_now(model, inputs, settings, target)
    return settings.within_memory(inputs, lambda fitting: _settled_classes(model, inputs, fitting, target))


def _settled_classes(model: nn.Module, inputs: Any, settings: Settings, target: str) -> Tensor:
    with settings.quiescent(model) as running:
        batch = running.read(model, inputs)
        subject = Subject(
            model=model,
            inputs=batch,
            selectors=[selector(target, batch.n_samples, settings.output_fn)],
            layers={},
            to_map=lambda name, output: output,
            batch_size=settings.rows_at_once(batch.n_samples),
            forward_context=running.forward_context,
            samples=settings.samples,
        )
        return subject.for_all_samples(run_clean(subject)[0].target)


def _classes(target: Target, inputs: Any, settings: Settings) -> Tensor:
    if isinstance(target, Labels):
        return target.classes
    if settings.tokens is None:
        n_samples = ModelInputs.of(inputs, settings.attribute_to).n_samples
    else:
        n_samples = read_ids(inputs, settings.attribute_to).n_samples
    assert not isinstance(target, str), "settled before"
    return torch.as_tensor(target).expand(n_samples)
