"""Random copies of a model that are explained once: what is compared of them, and whether it still holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from saliency_callbacks.capture.weights.digests import weight_digests
from saliency_callbacks.capture.weights.layers import WeightLayer
from saliency_callbacks.capture.weights.randomizer import Redraw, randomizer
from saliency_callbacks.config.nested import leaves
from saliency_callbacks.engine.logits import run_logits
from saliency_callbacks.engine.settings import Settings, count_samples
from saliency_callbacks.randomization.compact import CompactMaps, compacted
from saliency_callbacks.randomization.comparison import check_any, compared, nested
from saliency_callbacks.randomization.result import RandomizationResult
from saliency_callbacks.randomization.states import Reference, check_randomized, random_maps
from saliency_callbacks.randomization.steps import steps_of
from saliency_callbacks.targets.named import NamedTarget

__all__ = ["Conditions", "RandomCopies", "Stamp", "take_stamp"]

# Part of the largest output by which others may differ, as processors may sum up in another order.
_SAME_OUTPUTS = 1e-4


@dataclass(frozen=True, eq=False)
class Conditions:
    """What the maps of random copies hang on, beside their weights.

    Args:
        inputs: A name of the inputs that no other inputs have.
        classes: Explained class of each sample, ``[N]``.
        named: The target, where it has a name and may be of no class; ``None`` otherwise.
        settings: How the copies are explained.
        similarities: Names of the similarities.
        redraw: How weights are drawn.
    """

    inputs: Any
    classes: Tensor
    named: NamedTarget | None
    settings: Settings
    similarities: tuple[str, ...]
    redraw: Redraw

    @classmethod
    def of(cls, reference: Reference, inputs: Any, redraw: Redraw) -> Conditions:
        """Return the conditions under which a model is explained now."""
        # What belongs to one training is left out, so that it does not outlive it; the effect of the context is seen
        # in the outputs.
        settings = replace(
            reference.settings, forward_context=nullcontext, back_off=None, on_any_rank=Settings.on_any_rank
        )
        similarities = tuple(similarity.name for similarity in reference.similarities)
        named = reference.target if isinstance(reference.target, NamedTarget) else None
        return cls(inputs, reference.explained, named, settings, similarities, redraw)

    def change(self, now: Conditions) -> str | None:
        """Return what has changed since these conditions, in words; ``None`` for nothing."""
        is_same = {
            "the inputs": self.inputs == now.inputs,
            "the explained classes": torch.equal(self.classes, now.classes),
            "the target": self.named == now.named,
            "the target layers": self.settings.target_layers == now.settings.target_layers,
            "the methods": self.settings.methods == now.settings.methods,
            "the similarities": self.similarities == now.similarities,
            "how weights are drawn": self.redraw == now.redraw,
            "the settings": self.settings == now.settings,
        }
        return next((name for name, holds in is_same.items() if not holds), None)


@dataclass(frozen=True, eq=False)
class Stamp:
    """What identifies the first random copy; while it stays the same, all copies are taken to.

    Args:
        weights: Name → digest of each of its parameters and buffers.
        outputs: What it returns of one sample.
        unchanged: Names of what the draw has left as it was.
    """

    weights: Mapping[str, str]
    outputs: Tensor
    unchanged: tuple[str, ...]

    def change(self, now: Stamp) -> str | None:
        """Return what is different in the copy that is drawn now, in words; ``None`` for nothing."""
        names = [*self.weights, *(name for name in now.weights if name not in self.weights)]
        # An empty digest tells nothing.
        other = [name for name in names if not self.weights.get(name) or self.weights[name] != now.weights.get(name)]
        if other:
            more = f" and {len(other) - 1} more" if len(other) > 1 else ""
            return f"{other[0]!r}{more} of a random copy {'depend' if more else 'depends'} on the trained weights"
        if not _is_close(self.outputs, now.outputs):
            return "a random copy with the same weights returns different outputs than before"
        return None


@dataclass(frozen=True, eq=False)
class RandomCopies:
    """What is compared of fully randomized copies of a model.

    Args:
        conditions: Under which they were explained.
        stamp: Of the first one.
        maps: Of each copy, in the order of their numbers.
        floors: Similarity and method → how alike the maps of each pair are, ``[N]`` each.
        pairs: The pair that each floor is of, in their order.
    """

    conditions: Conditions
    stamp: Stamp
    maps: tuple[CompactMaps, ...] = ()
    floors: Mapping[tuple[str, str], tuple[Tensor, ...]] = field(default_factory=dict)
    pairs: tuple[tuple[int, int], ...] = ()

    @property
    def n_bytes(self) -> int:
        """How much memory they take."""
        return sum(maps.n_bytes for maps in self.maps)

    @property
    def are_complete(self) -> bool:
        """Whether every method has maps of all of them."""
        return len({maps.methods for maps in self.maps}) == 1

    def extended(
        self,
        model: nn.Module,
        inputs: Any,
        reference: Reference,
        layers: Sequence[WeightLayer],
        n_draws: int,
        progress: Callable[[int, int], Any],
    ) -> RandomCopies:
        """Return ``n_draws`` copies, of which only those are explained that are missing; the model is as before then.

        Args:
            model: The model.
            inputs: What is explained.
            reference: The trained model, explained.
            layers: What is drawn anew.
            n_draws: How many copies there have to be, at least.
            progress: Called with the number of states that are done and the total number, with the trained one.
        """
        copies = self
        if n_draws <= len(self.maps):
            return copies
        steps = steps_of("full", layers)
        with randomizer(model, self.conditions.redraw, seed=reference.settings.seed) as weights:
            for number in range(len(self.maps), n_draws):
                (maps,) = random_maps(model, inputs, reference, weights, steps, number)
                copies = copies._with(compacted(maps, reference.similarities), reference)
                progress(number + 2, n_draws + 1)
        return copies

    def compared(self, reference: Reference, unchanged: tuple[str, ...]) -> RandomizationResult:
        """Compare the maps of the model with those of the copies, and these with each other.

        Args:
            reference: The trained model, explained.
            unchanged: Names of what a draw leaves as it is in the trained model.
        """
        found: dict[tuple[str, str], list[Tensor]] = {}
        for one in self.maps:
            for key, value in one.compared(reference.maps, reference.similarities).items():
                found.setdefault(key, []).append(value)
        # A method of another library may have failed on some of the copies.
        found = {key: values for key, values in found.items() if len(values) == len(self.maps)}
        floors = {key: pairs for key, pairs in self.floors.items() if key in found and len(pairs) == len(self.pairs)}
        check_any(found)
        return RandomizationResult(
            order="full",
            steps=("all layers",),
            values=nested({key: torch.stack(values)[None] for key, values in found.items()}),
            floors=nested({key: torch.stack(pairs) for key, pairs in floors.items()}),
            ceilings=nested(compared(reference.ceilings, reference.maps, reference.similarities)),
            random_logit=nested(compared(reference.others or {}, reference.maps, reference.similarities)),
            unchanged=unchanged,
            n_draws=len(self.maps),
            seed=reference.settings.seed,
            target=reference.explained,
            target_layers=reference.target_layers,
        )

    def _with(self, new: CompactMaps, reference: Reference) -> RandomCopies:
        """Return these copies and another one."""
        maps = new.restored(_device(reference))
        floors = dict(self.floors)
        for one in self.maps:
            for key, value in one.compared(maps, reference.similarities).items():
                floors[key] = (*floors.get(key, ()), value)
        number = len(self.maps)
        pairs = tuple((other, number) for other in range(number))
        return replace(self, maps=(*self.maps, new), floors=floors, pairs=self.pairs + pairs)


def take_stamp(
    model: nn.Module, inputs: Any, reference: Reference, layers: Sequence[WeightLayer], redraw: Redraw
) -> Stamp:
    """Draw the first random copy and return its stamp; the model is as before afterwards.

    Raises:
        ConfigurationError: If nothing of the model can be randomized.
    """
    settings = reference.settings
    first = settings.samples_of(count_samples(inputs, settings)).start
    with randomizer(model, redraw, seed=settings.seed) as weights:
        weights.draw(layers, 0)
        check_randomized(model, weights, layers)
        digests = weight_digests(model)
        one = replace(settings, samples=range(first, first + 1))
        if isinstance(reference.target, NamedTarget):
            one = replace(one, output_fn=_everything(settings.output_fn))
        outputs = run_logits(model, inputs, one).cpu()
        return Stamp(digests, outputs, tuple(sorted(weights.unchanged)))


def _everything(output_fn: Callable[[Any], Any] | None) -> Callable[[Any], Tensor]:
    """Return what turns an output for one sample, which need not be class scores, into one row of all its numbers."""

    def of(output: Any) -> Tensor:
        read = output if output_fn is None else output_fn(output)
        found = read if isinstance(read, Tensor | Mapping | list | tuple) else vars(read)
        parts = [part for _, part in leaves(found) if isinstance(part, Tensor) and not part.is_complex()]
        return torch.cat([part.flatten().to(torch.promote_types(part.dtype, torch.float32)) for part in parts])[None]

    return of


def _is_close(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    tolerance = max(_SAME_OUTPUTS, 2 * torch.finfo(one.dtype).eps)
    finite = one[one.isfinite()].double().abs()
    largest = float(finite.max()) if finite.numel() else 0.0
    # An infinity is close to itself alone.
    return torch.allclose(one.double(), other.double(), rtol=0, atol=tolerance * largest, equal_nan=True)


def _device(reference: Reference) -> torch.device:
    return next(values for maps in reference.maps.values() for values in maps.values()).device
