"""The engine: any methods, any targets of one batch, from shared passes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from saliency_callbacks.capture.embeddings import TokenInputs, read_inputs
from saliency_callbacks.capture.evidence import Clean, Selector, Subject, collect, run_clean
from saliency_callbacks.capture.failures import known_failures
from saliency_callbacks.capture.inputs import ModelInputs
from saliency_callbacks.capture.layer_maps import LayerMaps
from saliency_callbacks.capture.quiescence import quiescence
from saliency_callbacks.capture.tokens import TokenSettings, read_ids
from saliency_callbacks.errors import InputError, OutputError, TargetError
from saliency_callbacks.functional.maps import normalize, reduce_channels, resize
from saliency_callbacks.functional.places import normalize_places
from saliency_callbacks.probe.outputs import read_logits
from saliency_callbacks.probe.targets import Target, class_selector, selector
from saliency_callbacks.types import Attribution, Evidence, Method, Pass, Quantity, RawMap, Reduction

__all__ = ["Explanation", "Settings", "Unscaled", "run_engine", "run_logits"]


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
        tokens: How texts are explained; ``None`` for images, signals and volumes.
    """

    methods: tuple[Method, ...]
    target_layers: Any = "auto"
    reshape_transform: Callable[[Tensor], Tensor] | None = None
    output_fn: Callable[[Any], Any] | None = None
    attribute_to: int | str | None = None
    internal_batch_size: int | None = None
    seed: int = 0
    forward_context: Callable[[], AbstractContextManager[Any]] = nullcontext
    tokens: TokenSettings | None = None

    def __post_init__(self) -> None:
        size = self.internal_batch_size
        if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
            raise InputError(
                f"internal_batch_size={size!r}; expected a positive number of rows, or None for all samples at once"
            )
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or not 0 <= self.seed < 2**63:
            raise InputError(f"seed={self.seed!r}; expected an integer from 0 up to 2**63 - 1")

    def read(self, model: nn.Module, inputs: Any) -> ModelInputs:
        """Check a batch and find what is explained of it; ``model`` must be quiescent.

        Raises:
            ConfigurationError: If the batch cannot be explained.
        """
        return read_inputs(model, inputs, self.attribute_to, self.tokens, self.forward_context)


@dataclass(frozen=True, eq=False)
class Unscaled:
    """The map of one method for one target, which is scaled only where it is looked at.

    Args:
        method: Name of the method.
        raw: What the method made of the evidence.
        clean: Score and class of every sample.
        size: Spatial size of the input.
        counted: As of the attribution.
    """

    method: str
    raw: RawMap
    clean: Clean
    size: tuple[int, ...]
    counted: Tensor | None = None

    @property
    def values(self) -> Tensor:
        """As of the attribution."""
        return self.raw.values

    @property
    def reduction(self) -> Reduction:
        """As of the attribution."""
        return self.raw.reduction

    @cached_property
    def magnitude(self) -> Tensor:
        """As of the attribution."""
        return resize(reduce_channels(self.values, self.reduction), self.size)

    def attribution(self) -> Attribution:
        """Return the attribution, with its heatmap."""
        return Attribution(
            method=self.method,
            values=self.values,
            magnitude=self.magnitude,
            heatmap=self._heatmap(),
            target=self.clean.target,
            score=self.clean.score,
            layer=self.raw.layer,
            extras=self.raw.extras,
            reduction=self.reduction,
            counted=self.counted,
        )

    def _heatmap(self) -> Tensor:
        if self.counted is None:
            return normalize(self.magnitude)
        return normalize_places(self.magnitude, self.counted)


@dataclass(frozen=True, eq=False)
class Explanation:
    """What one run of the engine found.

    Args:
        maps: For each target, one map a method, enough to compare it.
        logits: Class scores at the unchanged inputs ``[N, classes]``; ``None`` for models that do not classify.
        target_layers: Names of the target layers; empty where no method has one.
        n_passes: Passes that were run.
        embedding: Name of the layer that embeds the tokens of texts; ``None`` for other inputs.
    """

    maps: tuple[dict[str, Unscaled], ...]
    logits: Tensor | None
    target_layers: tuple[str, ...]
    n_passes: int
    embedding: str | None = None

    @cached_property
    def attributions(self) -> tuple[dict[str, Attribution], ...]:
        """For each target, one attribution a method."""
        return tuple({name: one.attribution() for name, one in maps.items()} for maps in self.maps)


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
    plan = _union(settings.methods)
    # The inputs may have been made under inference mode, and must be copied outside of it.
    with quiescence(model, seed=settings.seed), known_failures(model):
        batch = settings.read(model, inputs)
        selectors = [selector(target, batch.n_samples, settings.output_fn) for target in targets]
        subject = _subject(model, batch, selectors, settings, plan, targets)
        evidence, clean, logits = _run(subject, plan, targets, settings.output_fn)
    return Explanation(
        maps=tuple(
            {method.name: _unscaled(method, one, values, batch.counted) for method in settings.methods}
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
    with quiescence(model, seed=settings.seed), torch.no_grad():
        # Scores of texts need no embedding layer, so that a model in which none is found still has them.
        reading = ModelInputs.of if settings.tokens is None else read_ids
        batch = reading(inputs, settings.attribute_to)
        samples = torch.arange(batch.n_samples, device=batch.explained.device)
        found = []
        for rows in samples.split(settings.internal_batch_size or batch.n_samples):
            with settings.forward_context():
                output = batch.call(model, batch.explained.index_select(0, rows), rows)
            found.append(read_logits(output, settings.output_fn).detach().clone())
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
        batch_size=settings.internal_batch_size or batch.n_samples,
        seed=settings.seed,
        forward_context=settings.forward_context,
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
        class_selector(one.target, output_fn) if isinstance(target, str) else select
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
