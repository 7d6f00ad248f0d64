"""The engine: any methods, any targets of one batch, from shared passes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from saliency_callbacks.capture.inputs import ModelInputs
from saliency_callbacks.capture.isolation.arithmetic import UNCHANGED
from saliency_callbacks.capture.layers.maps import LayerMaps
from saliency_callbacks.capture.oom import is_out_of_memory
from saliency_callbacks.capture.passes.run import Clean, Selector, Subject, collect, run_clean
from saliency_callbacks.capture.text.inputs import TokenInputs
from saliency_callbacks.capture.torch_errors import known_failures
from saliency_callbacks.engine.explanation import Explanation, Unscaled
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.engine.settled import settled
from saliency_callbacks.engine.stopped_gradients import computes_the_same, explained
from saliency_callbacks.errors import GradientError, LayerError, ObservationError, OutputError, TargetError
from saliency_callbacks.targets.logits import read_logits
from saliency_callbacks.targets.selectors import Target, class_selector, counts_rows, sample_logits, selector
from saliency_callbacks.targets.similarity import SimilarityTarget
from saliency_callbacks.types import Evidence, Method, Pass, Quantity

__all__ = ["run_engine", "run_logits"]


def run_engine(model: nn.Module, inputs: Any, settings: Settings, targets: Sequence[Target]) -> Explanation:
    """Explain a batch: each distinct pass of all methods runs once, for all targets.

    Args:
        model: Any module.
        inputs: A tensor ``[N, C, *spatial]``, or a tuple or dict of tensors.
        settings: How it is explained.
        targets: One or more explained scores.

    Raises:
        ConfigurationError: If a layer, target, input or output cannot be used.
        GradientError: If the score has no gradient, also through the model's own ``no_grad`` blocks.
        ObservationError: If the model keeps tensors made under inference mode.
    """
    if not targets:
        raise TargetError("targets is empty; expected at least one class index, tensor of indices, or callable")
    targets = [_with_view(model, inputs, settings, target) for target in targets]
    try:
        return settings.within_memory(inputs, lambda fitting: _explained(model, inputs, fitting, targets))
    except (GradientError, LayerError, ObservationError) as error:
        through = None if settings.through_no_grad else _explained_through(model, inputs, settings, targets)
        if through is not None:
            return through
        if not isinstance(error, (GradientError, LayerError)):
            raise
        told = explained(error, model, inputs, settings, targets[0])
        if told is error:
            raise
        raise told from error


def _explained_through(
    model: nn.Module, inputs: Any, settings: Settings, targets: Sequence[Target]
) -> Explanation | None:
    """Explain a batch through the model's own ``no_grad`` blocks and reentrant checkpoints.

    ``None`` where these are not what was in the way.
    """
    through = replace(settings, through_no_grad=True)
    try:
        if not computes_the_same(model, inputs, settings, through):
            return None
        found = through.within_memory(inputs, lambda fitting: _explained(model, inputs, fitting, targets))
    except Exception as error:
        if is_out_of_memory(error):
            raise
        # Whatever it is, it happens to a model that is run as it never is; its own error tells more.
        return None
    return replace(found, through_no_grad=True)


def _explained(model: nn.Module, inputs: Any, settings: Settings, targets: Sequence[Target]) -> Explanation:
    settings = settled(model, inputs, settings, targets[0])
    plan = _union(settings.methods)
    # The inputs may have been made under inference mode, and must be copied outside of it.
    with settings.quiescent(model) as running, known_failures(model):
        batch = running.read(model, inputs)
        selectors = [selector(target, batch.n_samples, settings.output_fn) for target in targets]
        subject = _subject(model, batch, selectors, running, plan, targets)
        evidence, clean, logits = _run(subject, plan, targets, settings.output_fn)
    asked = settings.samples_of(batch.n_samples)
    counted = None if batch.counted is None else batch.counted[asked.start : asked.stop]
    return Explanation(
        maps=tuple(
            {method.name: _unscaled(method, one, values, counted) for method in settings.methods}
            for one, values in zip(clean, evidence, strict=True)
        ),
        logits=logits,
        target_layers=tuple(subject.layers),
        n_passes=len(plan),
        embedding=batch.name if isinstance(batch, TokenInputs) else None,
    )


def _with_view(model: nn.Module, inputs: Any, settings: Settings, target: Target) -> Target:
    """Return a target that compares with another view, with the embeddings that the model has of it now."""
    if not isinstance(target, SimilarityTarget) or target.view is None:
        return target
    view = _like(settings.read_alone(inputs).explained, target.view)
    return target.settled(run_logits(model, view, replace(settings, samples=None)))


def _like(explained: Tensor, view: Any) -> Any:
    """Return another view where the inputs are, in their precision."""
    if isinstance(view, Tensor):
        return view.to(explained) if view.is_floating_point() else view.to(explained.device)
    if isinstance(view, Mapping):
        return {key: _like(explained, value) for key, value in view.items()}
    return tuple(_like(explained, value) for value in view) if isinstance(view, tuple | list) else view


def run_logits(model: nn.Module, inputs: Any, settings: Settings) -> Tensor:
    """Return the class scores of a batch, ``[N, classes]``, from a forward alone, under the same precautions.

    Whatever ``arithmetic`` the settings have: scores are those of the model as it is trained.

    Raises:
        ConfigurationError: If an input or output cannot be used, or there are not as many outputs as inputs.
    """
    settings = replace(settings, arithmetic=UNCHANGED)
    return settings.within_memory(inputs, lambda fitting: _logits(model, inputs, fitting))


def _logits(model: nn.Module, inputs: Any, settings: Settings) -> Tensor:
    settings = settled(model, inputs, settings)
    with settings.quiescent(model) as running, torch.no_grad():
        # Scores of text inputs need no embedding layer, so that a model in which none is found still has them.
        batch = settings.read_alone(settings.fed(inputs))
        asked = settings.samples_of(batch.n_samples)
        samples = torch.arange(asked.start, asked.stop, device=batch.explained.device)
        found = []
        for rows in samples.split(settings.rows_at_once(batch.n_samples)):
            with running.forward_context():
                output = batch.call(model, batch.explained.index_select(0, rows), rows)
            found.append(sample_logits(output, settings.output_fn, rows).detach().clone())
        return torch.cat(found)


def _union(methods: Sequence[Method]) -> dict[Pass, Quantity]:
    plan: dict[Pass, Quantity] = {}
    for method in methods:
        for pass_, quantities in method.requires().items():
            plan[pass_] = plan.get(pass_, Quantity(0)) | quantities
    # The point pass goes first: it also settles the predicted class and the score of the unchanged input.
    return dict(sorted(plan.items(), key=lambda item: item[0] != Pass()))


def _subject(
    model: nn.Module,
    batch: ModelInputs,
    selectors: Sequence[Selector],
    settings: Settings,
    plan: Mapping[Pass, Quantity],
    targets: Sequence[Target],
) -> Subject:
    subject = Subject(
        model=model,
        inputs=batch,
        selectors=selectors,
        layers={},
        to_map=lambda name, output: output,
        batch_size=settings.rows_at_once(batch.n_samples),
        seed=settings.seed,
        forward_context=settings.forward_context,
        backward_context=settings.backward_context,
        samples=settings.samples,
        on_any_rank=settings.on_any_rank,
        is_whole=any(map(counts_rows, targets)) or (settings.shared is None and bool(batch.undeclared)),
    )
    if not any(Quantity.ACTIVATIONS in quantities for quantities in plan.values()):
        return subject
    # A callable target may have been written for exactly as many rows as all passes run at once.
    whole = min(subject.batch_size, batch.n_samples)
    is_whole = callable(targets[0]) or (settings.shared is None and bool(batch.undeclared))
    n_rows = (whole,) if is_whole else (1, whole)
    first, reaching = targets[0], selectors[0]
    if isinstance(first, SimilarityTarget):
        # The similarity of an embedding to itself may have no gradient, though it depends on the same layers.
        reaching = selector(first.reaching, batch.n_samples, settings.output_fn)
    maps = LayerMaps.resolve(
        model,
        batch,
        settings.target_layers,
        lambda output, samples: reaching(output, samples)[0],
        settings.reshape_transform,
        n_rows=n_rows,
        forward_context=settings.forward_context,
    )
    return replace(subject, layers=maps.layers, to_map=maps.to_map, calls=maps.calls, framewise=maps.framewise)


def _run(
    subject: Subject,
    plan: Mapping[Pass, Quantity],
    targets: Sequence[Target],
    output_fn: Callable[[Any], Any] | None,
) -> tuple[list[dict[Pass, Evidence]], list[Clean], Tensor | None]:
    # By first sample, as a chunk may have to be run twice.
    chunks: dict[int, Tensor | None] = {}
    first = replace(
        subject, selectors=[_keeping_logits(subject.selectors[0], output_fn, chunks), *subject.selectors[1:]]
    )
    evidence: list[dict[Pass, Evidence]] = [{} for _ in subject.selectors]
    if Pass() in plan:
        point = collect(first, Pass(), plan[Pass()], None)
        clean = [Clean(one.score, one.target) for one in point]
        for kept, one in zip(evidence, point, strict=True):
            kept[Pass()] = one
    else:
        clean = run_clean(first)
    # From here on, the predicted class of the unchanged input is explained, wherever a path or noise leads.
    selectors = [
        class_selector(subject.for_all_samples(one.target), output_fn) if isinstance(target, str) else select
        for target, select, one in zip(targets, subject.selectors, clean, strict=True)
    ]
    fixed = replace(subject, selectors=selectors)
    for pass_, quantities in plan.items():
        if pass_ != Pass():
            for kept, one in zip(evidence, collect(fixed, pass_, quantities, clean), strict=True):
                kept[pass_] = one
    logits = [chunk for chunk in chunks.values() if chunk is not None]
    return evidence, clean, torch.cat(logits) if logits else None


def _keeping_logits(
    select: Selector, output_fn: Callable[[Any], Any] | None, chunks: dict[int, Tensor | None]
) -> Selector:
    def selecting(output: Any, samples: Tensor) -> tuple[Tensor, Tensor]:
        try:
            chunks[int(samples[0])] = read_logits(output, output_fn).detach().clone()
        except OutputError:
            chunks[int(samples[0])] = None
        return select(output, samples)

    return selecting


def _unscaled(method: Method, clean: Clean, evidence: Mapping[Pass, Evidence], counted: Tensor | None) -> Unscaled:
    raw = method.attribute(evidence)
    inputs = next(iter(evidence.values())).inputs
    dtype = torch.promote_types(inputs.dtype, torch.float32)
    extras = {name: value.to(dtype) for name, value in raw.extras.items()}
    wide = replace(raw, values=raw.values.to(dtype), extras=extras)
    return Unscaled(method.name, wide, clean, tuple(inputs.shape[2:]), counted)
