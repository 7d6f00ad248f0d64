"""What one run of the engine found, scaled for people only where they look at it."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from saliency_callbacks.capture.isolation.full_precision import without_autocast
from saliency_callbacks.capture.passes.run import Clean
from saliency_callbacks.functional.counted import normalize_counted
from saliency_callbacks.functional.maps import normalize, reduce_channels, resize
from saliency_callbacks.types import Attribution, Evidence, Method, Pass, RawMap, Reduction

__all__ = ["Cost", "Explanation", "Unscaled"]


@dataclass(frozen=True)
class Cost:
    """What a method took that runs the model itself.

    Args:
        forwards: How often it ran the model for each sample.
        backwards: How often it took a gradient of it for each sample.
        seconds: How long it took.
    """

    forwards: float
    backwards: float
    seconds: float


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

    @classmethod
    def of(cls, method: Method, clean: Clean, evidence: Mapping[Pass, Evidence], counted: Tensor | None) -> Unscaled:
        """Return the map that a method makes of the evidence, at least in float32."""
        with without_autocast(clean.score.device.type):
            raw = method.attribute(evidence)
        inputs = next(iter(evidence.values())).inputs
        dtype = torch.promote_types(inputs.dtype, torch.float32)
        extras = {name: value.to(dtype) for name, value in raw.extras.items()}
        wide = replace(raw, values=raw.values.to(dtype), extras=extras)
        return cls(method.name, wide, clean, tuple(inputs.shape[2:]), counted)

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
        return normalize_counted(self.magnitude, self.counted)


@dataclass(frozen=True, eq=False)
class Explanation:
    """What one run of the engine found.

    Args:
        maps: For each target, one map a method, enough to compare it.
        logits: Class scores at the unchanged inputs ``[N, classes]``; ``None`` for models that do not classify.
        target_layers: Names of the target layers; empty where no method has one.
        n_passes: Passes that were run.
        embedding: Name of the layer that embeds the tokens of text inputs; ``None`` for other inputs.
        through_no_grad: Whether gradients had to be recorded through the model's own ``no_grad`` blocks.
        share: Part of the run's time that was spent for this, where several were explained together.
        clean: Score and class of every sample, for each target.
        costs: What the methods took that run the model themselves, by their names.
    """

    maps: tuple[dict[str, Unscaled], ...]
    logits: Tensor | None
    target_layers: tuple[str, ...]
    n_passes: int
    embedding: str | None = None
    through_no_grad: bool = False
    share: float = 1.0
    clean: tuple[Clean, ...] = ()
    costs: Mapping[str, Cost] = field(default_factory=dict)

    @property
    def facts(self) -> dict[str, Any]:
        """What to know of how it was found, beyond the usual; ready for JSON."""
        facts: dict[str, Any] = {"through_no_grad": True} if self.through_no_grad else {}
        if self.costs:
            facts["external"] = {name: asdict(cost) for name, cost in self.costs.items()}
        return facts

    def copied(self) -> Explanation:
        """Return the same in memory of its own."""
        return deepcopy(self)

    @cached_property
    def attributions(self) -> tuple[dict[str, Attribution], ...]:
        """For each target, one attribution a method."""
        return tuple({name: one.attribution() for name, one in maps.items()} for maps in self.maps)
