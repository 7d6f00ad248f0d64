"""Several wishes as one run of the engine, and what is found as the part of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from saliency_callbacks.callbacks.runtime.ranks import Ranks
from saliency_callbacks.callbacks.shared_pass.wish import Wish, is_same_target
from saliency_callbacks.engine.explanation import Explanation
from saliency_callbacks.engine.run import run_together
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.engine.wants import Want, are_independent, distinct, is_same_method, needs_layers, union
from saliency_callbacks.errors import ObservationError
from saliency_callbacks.targets.selectors import Target
from saliency_callbacks.types import AnyMethod

__all__ = ["Found", "can_join", "explain"]


@dataclass(frozen=True, eq=False)
class Found:
    """What was explained for one wish.

    Args:
        wish: The wish.
        explanation: Of the samples that this process explains.
    """

    wish: Wish
    explanation: Explanation

    def part_for(self, wish: Wish) -> Explanation | None:
        """Return what another wish gets of it, bit by bit as alone; ``None`` where it wants more, or something else."""
        if not wish.agrees_with(self.wish):
            return None
        targets, wants = _wants([self.wish, wish])
        known = self.wish.settings.methods
        is_part = len(targets) == len(self.wish.targets) and all(_is_among(one, known) for one in wish.settings.methods)
        if not is_part or not are_independent(wants):
            return None
        methods, found = wish.settings.methods, self.explanation
        if any(one.name not in found.maps[0] for one in methods):
            # It has failed, and may not the next time.
            return None
        return replace(
            found,
            maps=tuple({one.name: found.maps[number][one.name] for one in methods} for number in wants[1].targets),
            target_layers=found.target_layers if needs_layers(methods) else (),
            n_passes=len(union(methods)),
            clean=tuple(found.clean[number] for number in wants[1].targets),
            costs={one.name: found.costs[one.name] for one in methods if one.name in found.costs},
        )

    def is_equal(self, other: Found) -> bool | None:
        """Return whether another wish, which agrees with this one, was found to have the same outputs and maps.

        Bit by bit, where both have a map of a method: as it was explained in another way, that makes no difference.
        ``None`` where that tells nothing yet: outputs are the same for all samples, as with a head that starts at zero,
        most samples of a map are constant, or something is not finite.
        """
        one, two = self.explanation, other.explanation
        maps = [
            (one.maps[0][method.name].values, two.maps[0][method.name].values)
            for method in self.wish.settings.methods
            if _is_among(method, other.wish.settings.methods) and method.name in one.maps[0].keys() & two.maps[0].keys()
        ]
        outputs = [(_score(one), _score(two))]
        if one.logits is not None and two.logits is not None:
            outputs.append((one.logits, two.logits))
        if not all(bool(tensor.isfinite().all()) for pair in maps + outputs for tensor in pair):
            return None
        if not maps or not all(torch.equal(mine, theirs) for mine, theirs in maps + outputs):
            return False
        are_telling = all(_tells(mine) for mine, _ in maps) and bool((outputs[-1][0] != outputs[-1][0][:1]).any())
        return True if are_telling else None


def can_join(wish: Wish, others: Sequence[Wish], *, any_graph: bool = False) -> bool:
    """Return whether a wish can be explained with others, so that all get bit by bit what they get alone.

    Args:
        wish: The wish.
        others: Those that are explained together already.
        any_graph: As of :func:`~saliency_callbacks.engine.wants.are_independent`.
    """
    if any(one.settings.back_off is not None and one.settings.back_off.most_rows for one in (*others, wish)):
        # The memory was not enough for one of them.
        return False
    is_alike = all(wish.agrees_with(other) for other in others)
    return is_alike and are_independent(_wants([*others, wish])[1], any_graph=any_graph)


def explain(wishes: Sequence[Wish], ranks: Ranks) -> list[Found]:
    """Explain what one or more wishes want; all ranks must call it.

    Raises:
        SaliencyError: If it cannot be explained.
        ObservationError: If the model has to be run otherwise for some of several wishes.
    """
    first = wishes[0]
    targets, wants = _wants(wishes)
    with ranks.together():
        settings = ranks.settings(_settings(wishes), first.n_samples)
        found = run_together(first.model, first.inputs, settings, targets, wants)
        if len(wishes) > 1 and found[0].through_no_grad:
            raise ObservationError("gradients are recorded through the model's own `no_grad` for some methods only")
    return [Found(wish, one) for wish, one in zip(wishes, found, strict=True)]


def _is_among(method: AnyMethod, methods: Sequence[AnyMethod]) -> bool:
    return any(is_same_method(method, one) for one in methods)


def _tells(values: Tensor) -> bool:
    """Return whether the map of at least every second sample is not constant."""
    rows = values.flatten(1)
    return bool((rows != rows[:, :1]).any(dim=1).double().mean() >= 0.5)


def _score(found: Explanation) -> Tensor:
    return next(iter(found.maps[0].values())).clean.score


def _settings(wishes: Sequence[Wish]) -> Settings:
    own = wishes[0].settings
    if len(wishes) == 1:
        return own
    methods = distinct(method for wish in wishes for method in wish.settings.methods)
    of_layers = next((wish.settings for wish in wishes if needs_layers(wish.settings.methods)), own)
    # With fewer rows at once a sum may round otherwise: where memory is short, each tries alone.
    goes_on = all(wish.settings.leaves_out_failing for wish in wishes)
    return replace(
        own,
        methods=methods,
        target_layers=of_layers.target_layers,
        back_off=None,
        leaves_out_failing=goes_on,
    )


def _wants(wishes: Sequence[Wish]) -> tuple[list[Target], list[Want]]:
    """Return the distinct targets, and what each wish wants of them."""
    targets: list[Target] = []
    wants = []
    for wish in wishes:
        numbers = []
        for target in wish.targets:
            known = next((number for number, one in enumerate(targets) if is_same_target(one, target)), len(targets))
            if known == len(targets):
                targets.append(target)
            numbers.append(known)
        wants.append(Want(wish.settings.methods, tuple(numbers)))
    return targets, wants
