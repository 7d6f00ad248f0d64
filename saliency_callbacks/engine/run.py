"""The engine: any methods, any targets of one batch, from shared passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from saliency_callbacks.capture.inputs import ModelInputs
from saliency_callbacks.capture.isolation.context import quiescence
from saliency_callbacks.capture.isolation.full_precision import full_precision, undone, widened
from saliency_callbacks.capture.layers.maps import LayerMaps
from saliency_callbacks.capture.oom import BackOff
from saliency_callbacks.capture.passes.run import Clean, Selector, Subject, collect, run_clean
from saliency_callbacks.capture.text.inputs import TokenInputs, read_inputs
from saliency_callbacks.capture.text.settings import TokenSettings, read_ids
from saliency_callbacks.capture.torch_errors import known_failures
from saliency_callbacks.engine.explanation import Explanation, Unscaled
from saliency_callbacks.errors import InputError, OutputError, TargetError
from saliency_callbacks.targets.logits import read_logits
from saliency_callbacks.targets.selectors import Target, class_selector, selector
from saliency_callbacks.types import Evidence, Method, Pass, Quantity

__all__ = ["Explanation", "Settings", "Unscaled", "count_samples", "run_engine", "run_logits"]

_Found = TypeVar("_Found")


@dataclass(frozen=True)
class Settings:
    """How a model is explained, whatever the batch.

    Args:
        methods: What is computed.
        target_layers: ``"auto"``, a dotted name, a module of the model, or a list of these.
        reshape_transform: ``layer output -> [N, K, *spatial]``; ``None`` finds channels and tokens by itself.
        output_fn: ``model output -> [N, classes]``.
        attribute_to: Position or key of the explained tensor, for tuple and dict inputs.
        internal_batch_size: Rows that are run at once; ``None`` for all samples at once.
        seed: Seed of all noise, from 0 up to 2**63 - 1.
        forward_context: Opened around every forward, e.g. for autocast.
        samples: Which samples of the batch are run, where others are run elsewhere; all by default. What is found is
            about these alone; targets, and what a callable target is told of the samples, are about the whole batch.
        tokens: How texts are explained; ``None`` for images, signals and volumes.
        back_off: Runs fewer rows at once where the memory is not enough; ``None`` to raise what was raised.
        full_precision: Whether what is float16 or bfloat16 (inputs, weights, autocast) is run in float32.
    """

    methods: tuple[Method, ...]
    target_layers: Any = "auto"
    reshape_transform: Callable[[Tensor], Tensor] | None = None
    output_fn: Callable[[Any], Any] | None = None
    attribute_to: int | str | None = None
    internal_batch_size: int | None = None
    seed: int = 0
    forward_context: Callable[[], AbstractContextManager[Any]] = nullcontext
    samples: range | None = None
    tokens: TokenSettings | None = None
    back_off: BackOff | None = field(default=None, compare=False)
    full_precision: bool = False

    def __post_init__(self) -> None:
        size = self.internal_batch_size
        if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
            raise InputError(
                f"internal_batch_size={size!r}; expected a positive number of rows, or None for all samples at once"
            )
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or not 0 <= self.seed < 2**63:
            raise InputError(f"seed={self.seed!r}; expected an integer from 0 up to 2**63 - 1")

    def samples_of(self, n_samples: int) -> range:
        """Return which of ``n_samples`` are run."""
        return range(n_samples) if self.samples is None else self.samples

    def rows_at_once(self, n_samples: int) -> int:
        """Return how many rows of a batch of ``n_samples`` are run at once."""
        return self.internal_batch_size or len(self.samples_of(n_samples))

    @contextmanager
    def quiescent(self, model: nn.Module) -> Iterator[Settings]:
        """Make it safe to run ``model``, in the precision that is asked for; yield the settings to run it with."""
        with quiescence(model, seed=self.seed):
            if not self.full_precision:
                yield self
                return
            devices = frozenset(tensor.device.type for tensor in (*model.parameters(), *model.buffers()))
            with full_precision(model):
                yield replace(self, forward_context=partial(undone, self.forward_context, devices))

    def read(self, model: nn.Module, inputs: Any) -> ModelInputs:
        """Check a batch and find what is explained of it; ``model`` must be quiescent.

        Raises:
            ConfigurationError: If the batch cannot be explained.
        """
        return read_inputs(model, self.fed(inputs), self.attribute_to, self.tokens, self.forward_context)

    def fed(self, inputs: Any) -> Any:
        """Return inputs in the precision that is asked for."""
        return widened(inputs) if self.full_precision else inputs

    def within_memory(self, inputs: Any, work: Callable[[Settings], _Found]) -> _Found:
        """Return ``work`` of these settings, or of those with fewer rows at once that do fit into the memory.

        Args:
            inputs: The batch.
            work: Leaves nothing behind when it raises.
        """
        if self.back_off is None:
            return work(self)
        asked = self.internal_batch_size
        return self.back_off.run(
            lambda rows: work(self if rows is None else replace(self, internal_batch_size=min(rows, asked or rows))),
            lambda: asked or count_samples(inputs, self),
        )


def run_engine(model: nn.Module, inputs: Any, settings: Settings, targets: Sequence[Target]) -> Explanation:
    """Explain a batch: each distinct pass of all methods runs once, for all targets.

    Args:
        model: Any module.
        inputs: A tensor ``[N, C, *spatial]``, or a tuple or dict of tensors.
        settings: How it is explained.
        targets: One or more explained scores.

    Raises:
        ConfigurationError: If a layer, target, input or output cannot be used.
        ObservationError: If the score has no gradient, or the model keeps tensors made under inference mode.
    """
    if not targets:
        raise TargetError("targets is empty; expected at least one class index, tensor of indices, or callable")
    return settings.within_memory(inputs, lambda fitting: _explained(model, inputs, fitting, targets))


def _explained(model: nn.Module, inputs: Any, settings: Settings, targets: Sequence[Target]) -> Explanation:
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


def run_logits(model: nn.Module, inputs: Any, settings: Settings) -> Tensor:
    """Return the class scores of a batch, ``[N, classes]``, from a forward alone, under the same precautions.

    Raises:
        ConfigurationError: If an input or output cannot be used.
    """
    return settings.within_memory(inputs, lambda fitting: _logits(model, inputs, fitting))


def _logits(model: nn.Module, inputs: Any, settings: Settings) -> Tensor:
    with settings.quiescent(model) as running, torch.no_grad():
        # Scores of texts need no embedding layer, so that a model in which none is found still has them.
        batch = _as_they_are(settings.fed(inputs), settings)
        asked = settings.samples_of(batch.n_samples)
        samples = torch.arange(asked.start, asked.stop, device=batch.explained.device)
        found = []
        for rows in samples.split(settings.rows_at_once(batch.n_samples)):
            with running.forward_context():
                output = batch.call(model, batch.explained.index_select(0, rows), rows)
            found.append(read_logits(output, settings.output_fn).detach().clone())
        return torch.cat(found)


def count_samples(inputs: Any, settings: Settings) -> int:
    """Return the number of samples N of a batch.

    Raises:
        ConfigurationError: If it cannot be read.
    """
    return _as_they_are(inputs, settings).n_samples


def _as_they_are(inputs: Any, settings: Settings) -> ModelInputs:
    reading = ModelInputs.of if settings.tokens is None else read_ids
    return reading(inputs, settings.attribute_to)


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
        samples=settings.samples,
    )
    if not any(Quantity.ACTIVATIONS in quantities for quantities in plan.values()):
        return subject
    # A callable target may have been written for exactly as many rows as all passes run at once.
    whole = min(subject.batch_size, batch.n_samples)
    n_rows = (whole,) if callable(targets[0]) else (1, whole)
    maps = LayerMaps.resolve(
        model,
        batch,
        settings.target_layers,
        lambda output, samples: selectors[0](output, samples)[0],
        settings.reshape_transform,
        n_rows=n_rows,
        forward_context=settings.forward_context,
    )
    return replace(subject, layers=maps.layers, to_map=maps.to_map)


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
