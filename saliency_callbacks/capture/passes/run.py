"""Runs passes over a model, and keeps of each what the methods asked for.

A pass costs one forward, and one ``torch.autograd.grad`` for each target, of the summed scores with respect to
the input and all target layers together. In evaluation mode samples do not interact, so the gradient of the sum
holds every sample's own gradient. ``.backward()`` is never called: no parameter's ``.grad`` is touched.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from saliency_callbacks.capture.attention.observer import ATTENTION, AttentionObserver
from saliency_callbacks.capture.hooks import ActivationRecorder
from saliency_callbacks.capture.layers.calls import CallMaps
from saliency_callbacks.capture.loss_scale import LossScale
from saliency_callbacks.capture.norm_gradients import order_gradients
from saliency_callbacks.capture.passes.adaptive import Estimate, measured_by, rounds
from saliency_callbacks.capture.passes.relu_rules import ReluRuleMode
from saliency_callbacks.capture.passes.rows import Rows
from saliency_callbacks.capture.passes.subject import Clean, Selector, Subject
from saliency_callbacks.errors import GradientError, LayerError, ReluError, warn
from saliency_callbacks.types import AttentionEvidence, Evidence, Pass, Quantity

__all__ = ["Clean", "Selector", "Subject", "collect", "run_clean"]


def run_clean(subject: Subject) -> list[Clean]:
    """Run the unchanged inputs forward, without a graph; one result for each target."""
    return _mean_scores(subject, subject.sampler(Pass()).chunks(subject.batch_size))


def collect(subject: Subject, pass_: Pass, quantities: Quantity, clean: Sequence[Clean] | None) -> list[Evidence]:
    """Run one pass and return its evidence, one for each target, all from the same forwards.

    Args:
        subject: What is explained.
        pass_: What is fed, and the backward rule.
        quantities: What is kept; of a pass that goes on until an error is small, also what tells that.
        clean: Scores at the unchanged input; only a point pass may do without.

    Raises:
        ReluError: If a ReLU rule is asked for and no ReLU ran.
        LayerError: If a target layer did not run.
        GradientError: If the score does not depend on what it is differentiated by.
    """
    quantities |= measured_by(pass_)
    with _relu_rule(pass_, subject.model):
        parts = rounds(pass_)
        first = next(parts)
        found = _means(subject, first.pass_, quantities, subject.numbers)
        if Quantity.PATH_INTEGRAL in quantities:
            changes = _score_changes(subject, pass_, clean)
            found = [replace(one, score_change=change) for one, change in zip(found, changes, strict=True)]
        estimates = [Estimate(pass_, first, one) for one in found]
        for part in parts:
            samples = subject.open_among(estimates)
            if not len(samples):
                break
            for estimate, one in zip(estimates, _means(subject, part.pass_, quantities, samples), strict=True):
                estimate.add(part, one)
    evidence = [replace(estimate.evidence(), framewise=subject.framewise()) for estimate in estimates]
    for one in evidence:
        sums = (one.gradient, one.gradient_square, one.path_integral, *one.activation_gradients.values())
        subject.loss_scale.warn_of_lost([found for found in sums if found is not None])
    return evidence


def _means(subject: Subject, pass_: Pass, quantities: Quantity, samples: Tensor) -> list[Evidence]:
    """Return the means over the points of a pass, one for each target; those of other samples are zero."""
    moments = subject.moments(quantities)
    for rows in subject.sampler(pass_, samples).chunks(subject.batch_size):
        for moment, measured in zip(moments, _run(subject, rows, quantities), strict=True):
            moment.add(rows, *measured[:-1], attention=measured.attention)
        # What a chunk leaves behind would add to the peak of the next one.
        del rows, measured
    return [moment.evidence() for moment in moments]


class _Measured(NamedTuple):
    score: Tensor
    target: Tensor
    gradient: Tensor | None
    activations: dict[str, Tensor]
    activation_gradients: dict[str, Tensor]
    attention: AttentionEvidence | None


class _Calls(NamedTuple):
    """The outputs of a layer, or gradients with respect to them, by call."""

    choice: CallMaps
    outputs: list[Tensor]

    @classmethod
    def of(cls, choice: CallMaps, outputs: Sequence[Tensor]) -> _Calls:
        return cls(choice, choice.chosen(outputs))

    def detached(self) -> _Calls:
        return self._replace(outputs=[output.detach() for output in self.outputs])

    def like(self, others: Iterator[Tensor]) -> _Calls:
        return self._replace(outputs=[next(others) for _ in self.outputs])


def _run(subject: Subject, rows: Rows, quantities: Quantity) -> Iterator[_Measured]:
    wants_gradient = bool(quantities & ~(Quantity.ACTIVATIONS | ATTENTION))
    whole_graph = bool(quantities & ~Quantity.ACTIVATIONS)
    layers = subject.layers if Quantity.ACTIVATIONS in quantities else {}
    inputs = rows.inputs.requires_grad_(whole_graph)
    attention = subject.observer(quantities)
    scores, outputs = _forward(subject, rows, layers, attention, whole_graph=whole_graph)
    if not whole_graph and not all(score.requires_grad for score, _ in scores):
        # Where a layer runs under a `no_grad` of the model, the graph that starts there ends with that block.
        scores, outputs = _forward(subject, rows, layers, attention, whole_graph=True)
    # Before the gradients: to find the layout of an output may take a forward of its own.
    maps = {name: _as_map(subject, name, calls.detached(), rows) for name, calls in outputs.items()}
    captured = [output for calls in outputs.values() for output in calls.outputs]
    attended: list[Tensor] = []
    # A checkpointed part of the model runs again in the backward.
    with subject.inputs.fed(inputs, rows.samples):
        if attention is not None:
            attention.settle(inputs, scores[0][0])
            _differentiate_own(subject, rows, attention, scores)
            attended = attention.outputs
        for index, (score, target) in enumerate(scores):
            wrt = [inputs, *captured] if wants_gradient else captured
            keep_graph = index < len(scores) - 1
            with subject.backward_context():
                gradients, of_attention = _gradients(
                    subject.loss_scale, score, wrt, attended, keep_graph=keep_graph, needs_first=wants_gradient
                )
            of_layers = iter(gradients[1:] if wants_gradient else gradients)
            yield _Measured(
                score.detach(),
                target,
                gradients[0] if wants_gradient else None,
                maps,
                {name: _as_map(subject, name, calls.like(of_layers), rows) for name, calls in outputs.items()},
                None if attention is None else attention.evidence(index, of_attention),
            )


def _forward(
    subject: Subject,
    rows: Rows,
    layers: Mapping[str, nn.Module],
    attention: AttentionObserver | None,
    *,
    whole_graph: bool,
) -> tuple[list[tuple[Tensor, Tensor]], dict[str, _Calls]]:
    observing = nullcontext() if attention is None else attention.recording()
    recording = ActivationRecorder(layers, start_graph=not whole_graph)
    with torch.set_grad_enabled(whole_graph), recording as recorder, observing:
        scores = subject.scores(subject.inputs.copied(rows.inputs), rows.samples)
    calls = recorder.by_layer
    _check_ran(layers, calls)
    return scores, {name: _Calls.of(subject.calls(name, len(outputs)), outputs) for name, outputs in calls.items()}


def _differentiate_own(
    subject: Subject, rows: Rows, attention: AttentionObserver, scores: Sequence[tuple[Tensor, Tensor]]
) -> None:
    if Quantity.OWN_ATTENTION_GRADIENT not in attention.quantities:
        return
    classes = [target for _, target in scores]
    inputs = rows.inputs.detach()

    def run() -> list[Tensor]:
        return subject.scores_of(subject.inputs.copied(inputs), rows.samples, classes)

    counted = subject.inputs.positions
    with subject.backward_context():
        attention.differentiate_own(
            [score for score, _ in scores],
            run,
            None if counted is None else counted[rows.samples],
            subject.loss_scale,
        )


def _as_map(subject: Subject, name: str, calls: _Calls, rows: Rows) -> Tensor:
    found = calls.choice.joined([_map_of(subject, name, output, rows) for output in calls.outputs])
    # What is computed of half-precision maps is not rounded, or lost, once more.
    return found.to(torch.promote_types(found.dtype, torch.float32))


def _map_of(subject: Subject, name: str, output: Tensor, rows: Rows) -> Tensor:
    found = subject.to_map(name, output)
    if len(found) != len(rows.samples):
        raise LayerError(
            f"layer {name!r} has output {list(output.shape)}, read as maps {list(found.shape)}, for "
            f"{len(rows.samples)} samples; expected one map per sample, [{len(rows.samples)}, K, *spatial]. Choose "
            "another layer, 'auto', or give `reshape_transform=`"
        )
    return found


def _check_ran(layers: Mapping[str, nn.Module], outputs: Collection[str]) -> None:
    for name, module in layers.items():
        if name not in outputs:
            raise LayerError(
                f"target layer {name!r} ({type(module).__name__}) did not run, or its output is not a floating-point "
                "tensor. Choose a layer that `forward` calls as a module, or 'auto'"
            )


def _gradients(
    loss_scale: LossScale,
    score: Tensor,
    wrt: Sequence[Tensor],
    attended: Sequence[Tensor],
    *,
    keep_graph: bool,
    needs_first: bool,
) -> tuple[list[Tensor], list[Tensor | None]]:
    """Return the gradients with respect to all of ``wrt``, and to those of ``attended`` that a score depends on."""
    if not score.requires_grad:
        raise GradientError(
            "the explained score has no gradient: the model, its `output_fn` or the target detaches it, or computes "
            "it under `torch.no_grad()`. Let `forward` record gradients, or choose target layers above that part"
        )
    if len(score) == 1:
        order_gradients(score)
    found = loss_scale.gradients(score, [*wrt, *attended], keep_graph=keep_graph)
    gradients, of_attention = found[: len(wrt)], found[len(wrt) :]
    if any(gradient is None for gradient in gradients):
        # Not even one of several: the mean over the layers would silently be of the others.
        what = "input" if needs_first and gradients[0] is None else "target layers"
        raise GradientError(
            f"the explained score has no gradient with respect to the {what}: it does not depend on them, or the "
            "model detaches or uses `torch.no_grad()` in between. Let `forward` record gradients, or use only class "
            "activation maps at target layers above that part"
        )
    return [gradient for gradient in gradients if gradient is not None], of_attention


def _score_changes(subject: Subject, pass_: Pass, clean: Sequence[Clean] | None) -> list[Tensor]:
    sampler = subject.sampler(pass_)
    ends = clean if pass_.noise is None else None
    if ends is None:
        ends = _mean_scores(subject, sampler.ends(subject.batch_size))
    starts = _mean_scores(subject, sampler.beginnings(subject.batch_size))
    return [end.score - start.score for end, start in zip(ends, starts, strict=True)]


def _mean_scores(subject: Subject, chunks: Iterable[Rows]) -> list[Clean]:
    moments = subject.moments(Quantity(0))
    with torch.no_grad():
        for rows in chunks:
            for moment, (score, target) in zip(moments, subject.scores(rows.inputs, rows.samples), strict=True):
                moment.add(rows, score, target)
    return [Clean(evidence.score, evidence.target) for evidence in (moment.evidence() for moment in moments)]


@contextmanager
def _relu_rule(pass_: Pass, model: nn.Module) -> Iterator[None]:
    if pass_.relu_rule == "standard":
        yield
        return
    with ReluRuleMode(pass_.relu_rule) as mode:
        yield
    uncovered = sorted(mode.other_activations)
    if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        uncovered.append("TorchScript code, whose activations cannot be observed")
    if mode.n_relus == 0:
        ran = ", ".join(uncovered) or "no known activation"
        raise ReluError(
            f"the {pass_.relu_rule} backward rule needs a ReLU, but {type(model).__name__} ran none (it ran: {ran}). "
            "Leave out guided_backprop, deconvnet and guided_grad_cam for this model, or use gradient methods"
        )
    if uncovered:
        warn(
            ("activations without a rule", pass_.relu_rule),
            f"the {pass_.relu_rule} backward rule covers the ReLUs of {type(model).__name__}, but not its "
            f"{', '.join(uncovered)}; those keep their own gradient",
        )
