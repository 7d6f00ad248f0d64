"""One test of how faithful maps are, on all processes of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn

from saliency_callbacks.callbacks.faithfulness.orders import Chance, Orders, shares_elsewhere
from saliency_callbacks.callbacks.faithfulness.settings import Perturbation
from saliency_callbacks.callbacks.runtime.ranks import Ranks
from saliency_callbacks.engine.explanation import Explanation, Unscaled
from saliency_callbacks.engine.removal import Removal, RemovalScores, run_removals
from saliency_callbacks.engine.run import run_engine
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.functional.counted import filled
from saliency_callbacks.functional.faithfulness.gains import evidence_left
from saliency_callbacks.functional.gradients import noise_scale
from saliency_callbacks.scores.faithfulness import FaithfulnessResult, MethodFaithfulness, Remaining
from saliency_callbacks.scores.similarities import SIMILARITIES
from saliency_callbacks.targets.selectors import Target

__all__ = ["Trial"]

# How many normal numbers torch draws in another way at the end of a tensor than in its middle.
_DRAWN_APART = 16


@dataclass(frozen=True, eq=False)
class Trial:
    """What is tested now.

    Args:
        model: The model.
        inputs: What is explained, on the model's device.
        n_samples: How many samples they have.
        settings: How they are run by this process.
        target: What is explained.
        perturbation: What is done to them.
        ranks: All processes of the training.
        explanation: Of the model, of the samples that this process explains.
    """

    model: nn.Module
    inputs: Any
    n_samples: int
    settings: Settings
    target: Target
    perturbation: Perturbation
    ranks: Ranks
    explanation: Explanation

    def run(self) -> FaithfulnessResult:
        """Test all methods; a collective."""
        # A method of another library may have failed on one rank only.
        names = self.ranks.methods_everywhere(self.explanation.maps[0])
        with self.ranks.together():
            maps = {name: self.explanation.maps[0][name] for name in names}
            chance = Chance.of(maps, self.n_samples, self._own, self.settings.seed)
            orders = {name: Orders.of(found, chance) for name, found in maps.items()}
            removals = {
                (name, part): removals
                for name, order in orders.items()
                for part, removals in order.removals(self.perturbation.shares).items()
            }
            scores, replacements = self._scores([one for removal in removals.values() for one in removal])
            stability = self._stability(maps)
        compared = self.ranks.known_everywhere(stability)
        whole = self.ranks.all_samples(self.settings, self.n_samples)
        scores = RemovalScores(*(whole(part.cpu()) for part in scores))
        evidence = evidence_left(scores.removed, scores.clean, scores.replaced)
        parts = evidence.split([len(one) for one in removals.values()], dim=1)
        left = dict(zip(removals, parts, strict=True))
        methods = {}
        for name, order in orders.items():
            is_untold = whole(order.are_untold(self.perturbation.shares).cpu())
            methods[name] = MethodFaithfulness(
                evidence=Remaining(left[name, "removed"], left[name, "shown"]).without(is_untold),
                by_chance=self._by_chance(left[name, "elsewhere"]).without(is_untold),
                replacements=replacements,
                stability=whole(stability[name].cpu()) if name in compared else None,
                n_forwards=_n_forwards(scores, len(orders)),
            )
        target = whole(self._clean_target.cpu())
        return FaithfulnessResult(methods, tuple(self.perturbation.shares), target, self.explanation.target_layers)

    def _by_chance(self, left: Tensor) -> Remaining:
        """Return what is left where a map is somewhere else, ``[…, shares_elsewhere, M]``."""
        shares, found = self.perturbation.shares, shares_elsewhere(self.perturbation.shares)
        removed, shown = ([found.index(round(one, 6)) for one in side] for side in (shares, [1 - q for q in shares]))
        return Remaining(left[:, removed], left[:, shown])

    @property
    def _own(self) -> range:
        return self.settings.samples_of(self.n_samples)

    @property
    def _clean_target(self) -> Tensor:
        return next(iter(self.explanation.maps[0].values())).clean.target

    @cached_property
    def _fixed(self) -> Target:
        """The explained score, of the class that was predicted of the samples as they are."""
        if not isinstance(self.target, str):
            return self.target
        found = self._clean_target
        everyone = found.new_zeros(self.n_samples)
        everyone[self._own.start : self._own.stop] = found
        return everyone

    def _scores(self, removals: Sequence[Removal]) -> tuple[RemovalScores, tuple[str, ...]]:
        return run_removals(
            self.model, self.inputs, self.settings, self._fixed, removals, self.perturbation.replacements
        )

    def _stability(self, maps: Mapping[str, Unscaled]) -> dict[str, Tensor]:
        """Return the mean rank correlation of each map with those of noisy copies, ``[M]`` by method."""
        settings = self.settings
        if self.explanation.target_layers:
            # Those of a noisy sample could be others.
            settings = replace(settings, target_layers=list(self.explanation.target_layers))
        if not self.perturbation.n_noisy:
            return {}
        similarity = SIMILARITIES["abs_spearman"]
        prepared = {name: similarity.prepare(one) for name, one in maps.items()}
        found: dict[str, list[Tensor]] = {name: [] for name in maps}
        for draw in range(self.perturbation.n_noisy):
            noise = partial(_with_noise, level=self.perturbation.noise, seed=(self.settings.seed + draw) % 2**63)
            noisy = run_engine(self.model, self.inputs, replace(settings, disturbed=noise), [self._fixed]).maps[0]
            # A method of another library may fail on the noisy copy.
            for name in maps.keys() & noisy.keys():
                found[name].append(similarity.compare(prepared[name], similarity.prepare(noisy[name])))
        return {name: torch.stack(values).nanmean(dim=0) for name, values in found.items() if values}


def _n_forwards(scores: RemovalScores, n_methods: int) -> float:
    """Return how often the probe was run for each method, with its part of what all share."""
    n_replacements, n_removals, _ = scores.removed.shape
    return (1 + n_replacements + n_replacements * n_removals) / n_methods


def _with_noise(explained: Tensor, positions: Tensor | None, *, level: float, seed: int) -> Tensor:
    """Return explained inputs ``[N, C, *spatial]`` with noise, where they hold anything."""
    generator = torch.Generator().manual_seed(seed)
    # So that the noise of a sample does not depend on how many follow it.
    drawn = torch.randn(explained.numel() + _DRAWN_APART, generator=generator, dtype=torch.float32)
    noise = drawn[: explained.numel()].view(explained.shape).to(explained)
    within = explained if positions is None else filled(explained, positions[:, None])
    scale = noise_scale(within, level).reshape(-1, *(1,) * (explained.ndim - 1))
    noisy = explained + scale * noise
    return noisy if positions is None else torch.where(positions[:, None], noisy, explained)
