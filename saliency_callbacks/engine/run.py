"""The engine: any methods, any targets of one batch, from shared passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

from saliency_callbacks.capture.inputs import ModelInputs
from saliency_callbacks.capture.isolation.context import unchanged_state
from saliency_callbacks.capture.isolation.generators import isolated_generators
from saliency_callbacks.capture.isolation.rng import seed_all
from saliency_callbacks.capture.isolation.waiting import wait_for
from saliency_callbacks.capture.layers.maps import LayerMaps
from saliency_callbacks.capture.oom import is_out_of_memory
from saliency_callbacks.capture.passes.run import Clean, Selector, Subject, collect, run_clean
from saliency_callbacks.capture.text.inputs import TokenInputs
from saliency_callbacks.capture.torch_errors import known_failures
from saliency_callbacks.engine.attending import attending
from saliency_callbacks.engine.explanation import Explanation, Unscaled
from saliency_callbacks.engine.external import ExternalRuns
from saliency_callbacks.engine.pins import settled_target
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.engine.settled import settled
from saliency_callbacks.engine.stopped_gradients import computes_the_same, explained
from saliency_callbacks.engine.wants import Want, asking, is_same_method, needs_layers, shares, union
from saliency_callbacks.errors import GradientError, LayerError, ObservationError, OutputError, TargetError
from saliency_callbacks.targets.logits import read_logits
from saliency_callbacks.targets.named import NamedTarget
from saliency_callbacks.targets.selectors import Target, class_selector, counts_rows, selector
from saliency_callbacks.types import Evidence, Method, Pass, Quantity

__all__ = ["run_engine", "run_together"]


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
    want = Want(settings.methods, tuple(range(len(targets))))
    (found,) = run_together(model, inputs, settings, targets, [want])
    return found


def run_together(
    model: nn.Module, inputs: Any, settings: Settings, targets: Sequence[Target], wants: Sequence[Want]
) -> list[Explanation]:
    """Explain a batch for several at once: each distinct pass runs once, for the targets that it is wanted for.

    Args:
        model: As of :func:`run_engine`.
        inputs: As of :func:`run_engine`.
        settings: How it is explained; its methods are all that are wanted.
        targets: All explained scores.
        wants: What is wanted of them.

    Returns:
        What each wants.

    Raises:
        ConfigurationError: As of :func:`run_engine`.
        ObservationError: As of :func:`run_engine`.
    """
    targets = [settled_target(model, inputs, settings, target) for target in targets]
    begin = perf_counter()
    found = _found_by_passes(model, inputs, settings, targets, wants)
    return ExternalRuns(model, inputs, settings, targets, wants).added_to(found, perf_counter() - begin)


def _found_by_passes(
    model: nn.Module, inputs: Any, settings: Settings, targets: Sequence[Target], wants: Sequence[Want]
) -> list[Explanation]:
    try:
        return settings.within_memory(inputs, lambda fitting: _explained(model, inputs, fitting, targets, wants))
    except (GradientError, LayerError, ObservationError) as error:
        through = None if settings.through_no_grad else _explained_through(model, inputs, settings, targets, wants)
        if through is not None:
            return through
        if not isinstance(error, (GradientError, LayerError)):
            raise
        told = explained(error, model, inputs, settings, targets[0])
        if told is error:
            raise
        raise told from error


def _explained_through(
    model: nn.Module, inputs: Any, settings: Settings, targets: Sequence[Target], wants: Sequence[Want]
) -> list[Explanation] | None:
    """Explain a batch through the model's own ``no_grad`` blocks and reentrant checkpoints.

    ``None`` where these are not what was in the way.
    """
    through = replace(settings, through_no_grad=True)
    try:
        if not computes_the_same(model, inputs, settings, through):
            return None
        found = through.within_memory(inputs, lambda fitting: _explained(model, inputs, fitting, targets, wants))
    except Exception as error:
        if is_out_of_memory(error):
            raise
        # Whatever it is, it happens to a model that is run as it never is; its own error tells more.
        return None
    return [replace(one, through_no_grad=True) for one in found]


def _explained(
    model: nn.Module, inputs: Any, settings: Settings, targets: Sequence[Target], wants: Sequence[Want]
) -> list[Explanation]:
    settings = settled(model, inputs, settings, targets[0])
    plan = union(settings.methods)
    # The inputs may have been made under inference mode, and must be copied outside of it.
    with settings.quiescent(model, *targets) as running, known_failures(model):
        batch = running.read(model, inputs)
        selectors = [selector(target, batch.n_samples, settings.output_fn) for target in targets]
        subject = attending(_subject(model, batch, selectors, running, targets), running, targets)
        evidence, clean, logits, seconds = _run(subject, plan, targets, wants, settings.output_fn)
    asked = settings.samples_of(batch.n_samples)
    counted = None if batch.counted is None else batch.counted[asked.start : asked.stop]
    found: list[_Map] = []
    return [
        Explanation(
            maps=tuple(
                {
                    method.name: _map_of(method, target, clean, evidence, counted, found)
                    for method in want.methods
                    if isinstance(method, Method)
                }
                for target in want.targets
            ),
            logits=logits,
            target_layers=tuple(subject.layers) if needs_layers(want.methods) else (),
            n_passes=len(union(want.methods)),
            embedding=batch.name if isinstance(batch, TokenInputs) else None,
            share=share,
            clean=tuple(clean[target] for target in want.targets),
        )
        for want, share in zip(wants, shares(seconds, wants), strict=True)
    ]


def _subject(
    model: nn.Module,
    batch: ModelInputs,
    selectors: Sequence[Selector],
    settings: Settings,
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
    if not needs_layers(settings.methods):
        return subject
    # A callable target may have been written for exactly as many rows as all passes run at once.
    whole = min(subject.batch_size, batch.n_samples)
    is_whole = callable(targets[0]) or (settings.shared is None and bool(batch.undeclared))
    n_rows = (whole,) if is_whole else (1, whole)
    first, reaching = targets[0], selectors[0]
    if isinstance(first, NamedTarget):
        # A score without a gradient now, as the similarity of an embedding to itself, depends on the same layers.
        reaching = selector(first.reaching, batch.n_samples, settings.output_fn)
    with unchanged_state(model):
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
    wants: Sequence[Want],
    output_fn: Callable[[Any], Any] | None,
) -> tuple[list[dict[Pass, Evidence]], list[Clean], Tensor | None, dict[Pass, float]]:
    # By first sample, as a chunk may have to be run twice.
    chunks: dict[int, Tensor | None] = {}
    first = replace(
        subject, selectors=[_keeping_logits(subject.selectors[0], output_fn, chunks), *subject.selectors[1:]]
    )
    evidence: list[dict[Pass, Evidence]] = [{} for _ in subject.selectors]
    seconds: dict[Pass, float] = {}
    begin = _now(subject, wants)
    if Pass() in plan:
        point = _collected(first, Pass(), plan[Pass()], None)
        clean = [Clean(one.score, one.target) for one in point]
        for kept, one in zip(evidence, point, strict=True):
            kept[Pass()] = one
    else:
        with _as_first(subject):
            clean = run_clean(first)
    seconds[Pass()] = _now(subject, wants) - begin
    # From here on, the predicted class of the unchanged input is explained, wherever a path or noise leads.
    selectors = [
        class_selector(subject.for_all_samples(one.target), output_fn) if isinstance(target, str) else select
        for target, select, one in zip(targets, subject.selectors, clean, strict=True)
    ]
    for pass_, quantities in plan.items():
        if pass_ != Pass():
            numbers = asking(pass_, wants)
            fixed = replace(subject, selectors=[selectors[number] for number in numbers])
            begin = _now(subject, wants)
            found = _collected(fixed, pass_, quantities, [clean[number] for number in numbers])
            seconds[pass_] = _now(subject, wants) - begin
            for number, one in zip(numbers, found, strict=True):
                evidence[number][pass_] = one
    logits = [chunk for chunk in chunks.values() if chunk is not None]
    return evidence, clean, torch.cat(logits) if logits else None, seconds


def _now(subject: Subject, wants: Sequence[Want]) -> float:
    if len(wants) > 1:
        # Otherwise nobody asks for what a pass takes.
        wait_for(subject.inputs.explained.device)
    return perf_counter()


def _collected(subject: Subject, pass_: Pass, quantities: Quantity, clean: Sequence[Clean] | None) -> list[Evidence]:
    with _as_first(subject):
        return collect(subject, pass_, quantities, clean)


@contextmanager
def _as_first(subject: Subject) -> Iterator[None]:
    """Run a pass as if none had been run before: a model that draws, or counts, in its forward does the same again."""
    seed_all(subject.seed)
    with isolated_generators(subject.model, subject.seed), unchanged_state(subject.model):
        yield


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


_Map = tuple[Method, int, Unscaled]


def _map_of(
    method: Method,
    target: int,
    clean: Sequence[Clean],
    evidence: Sequence[Mapping[Pass, Evidence]],
    counted: Tensor | None,
    found: list[_Map],
) -> Unscaled:
    """Return the map of a method for a target, which is made once for all who want it and added to ``found``."""
    made = next((one for known, number, one in found if number == target and is_same_method(known, method)), None)
    if made is None:
        made = Unscaled.of(method, clean[target], evidence[target], counted)
        found.append((method, target, made))
    return made
