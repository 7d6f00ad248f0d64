"""One test of how faithful maps are, on all processes of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn

from saliency_callbacks.callbacks.faithfulness.orders import ByChance, Orders
from saliency_callbacks.callbacks.faithfulness.settings import Perturbation
from saliency_callbacks.callbacks.runtime.ranks import Ranks
from saliency_callbacks.engine.explanation import Explanation, Unscaled
from saliency_callbacks.engine.removal import RemovalScores, run_removals
from saliency_callbacks.engine.run import run_engine
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.functional.counted import filled
from saliency_callbacks.functional.faithfulness.gains import evidence_left
from saliency_callbacks.functional.gradients import noise_scale
from saliency_callbacks.scores.faithfulness import FaithfulnessResult, MethodFaithfulness, Remaining
from saliency_callbacks.scores.similarities import SIMILARITIES
from saliency_callbacks.targets.selectors import Target

__all__ = ["Trial"]


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
        with self.ranks.together():
            by_chance = ByChance.of(self.maps, self.n_samples, self._own, self.settings.seed)
            orders = {name: Orders.of(found, by_chance) for name, found in self.maps.items()}
            scores, names = self._scores(by_chance, orders)
            stability = self._stability()
        whole = self.ranks.all_samples(self.settings, self.n_samples)
        scores = RemovalScores(*(whole(part.cpu()) for part in scores))
        found = _Found(scores, self.perturbation.shares, by_chance.shares(self.perturbation.shares), len(orders))
        methods = {}
        for number, (name, order) in enumerate(orders.items()):
            evidence = found.of_method(number, is_degenerate=whole(order.is_degenerate.cpu()))
            methods[name] = MethodFaithfulness(
                evidence=evidence,
                by_chance=found.by_chance(whole(order.coarseness.cpu())),
                replacements=names,
                stability=whole(stability[name].cpu()) if name in stability else None,
                n_forwards=found.n_forwards,
            )
        target = whole(self._clean_target.cpu())
        return FaithfulnessResult(methods, tuple(self.perturbation.shares), target, self.explanation.target_layers)

    @cached_property
    def maps(self) -> Mapping[str, Unscaled]:
        """The maps of each method."""
        return self.explanation.maps[0]

    @property
    def _own(self) -> range:
        return self.settings.samples_of(self.n_samples)

    @property
    def _clean_target(self) -> Tensor:
        return next(iter(self.maps.values())).clean.target

    @cached_property
    def _fixed(self) -> Target:
        """The explained score, of the class that was predicted of the samples as they are."""
        if not isinstance(self.target, str):
            return self.target
        found = self._clean_target
        everyone = found.new_zeros(self.n_samples)
        everyone[self._own.start : self._own.stop] = found
        return everyone

    def _scores(self, by_chance: ByChance, orders: Mapping[str, Orders]) -> tuple[RemovalScores, tuple[str, ...]]:
        shares = self.perturbation.shares
        removals = [*by_chance.removals(shares), *(one for order in orders.values() for one in order.removals(shares))]
        replacements = self.perturbation.replacements
        return run_removals(self.model, self.inputs, self.settings, self._fixed, removals, replacements)

    def _stability(self) -> dict[str, Tensor]:
        """Return the mean rank correlation of each map with those of noisy copies, ``[M]`` by method."""
        settings = self.settings
        if self.explanation.target_layers:
            # Those of a noisy sample could be others.
            settings = replace(settings, target_layers=list(self.explanation.target_layers))
        similarity = SIMILARITIES["abs_spearman"]
        found: dict[str, list[Tensor]] = {name: [] for name in self.maps}
        for draw in range(self.perturbation.n_noisy):
            noise = partial(_with_noise, level=self.perturbation.noise, seed=(self.settings.seed + draw) % 2**63)
            noisy = run_engine(self.model, self.inputs, replace(settings, disturbed=noise), [self._fixed]).maps[0]
            for name, one in self.maps.items():
                found[name].append(similarity.compare(similarity.prepare(one), similarity.prepare(noisy[name])))
        return {name: torch.stack(values).nanmean(dim=0) for name, values in found.items() if values}


@dataclass(frozen=True, eq=False)
class _Found:
    """Scores of all samples, in the order in which the removals were made.

    Args:
        scores: The scores.
        shares: Of the removals of each method.
        random_shares: Of those of each random order.
        n_methods: How many methods there are.
    """

    scores: RemovalScores
    shares: Sequence[float]
    random_shares: Sequence[float]
    n_methods: int

    @property
    def n_forwards(self) -> float:
        """How often the probe was run for each method, with its part of what all share."""
        n_replacements = len(self.scores.replaced)
        shared = 1 + n_replacements * (1 + 2 * len(self.random_shares))
        return n_replacements * 2 * len(self.shares) + shared / self.n_methods

    @cached_property
    def _evidence(self) -> Tensor:
        scores = self.scores
        return evidence_left(scores.removed, scores.clean, scores.replaced)

    def of_method(self, number: int, *, is_degenerate: Tensor) -> Remaining:
        """Return what is left in the order of a method's maps; nothing is known of those that have none."""
        n_shares = len(self.shares)
        begin = 2 * len(self.random_shares) + 2 * n_shares * number
        evidence = self._evidence.masked_fill(is_degenerate, torch.nan)
        return Remaining(evidence[:, begin : begin + n_shares], evidence[:, begin + n_shares : begin + 2 * n_shares])

    def by_chance(self, coarseness: Tensor) -> Remaining:
        """Return what is left in random orders, for the ``coarseness [N]`` of a method's."""
        n_shares = len(self.random_shares)
        fine, coarse = (self._by_chance(number * n_shares) for number in range(2))
        return fine.mixed(coarse, coarseness)

    def _by_chance(self, begin: int) -> Remaining:
        # To show the first share of a random order is to remove the rest, which is as random.
        removed = [begin + self.random_shares.index(share) for share in self.shares]
        inserted = [begin + self.random_shares.index(round(1 - share, 6)) for share in self.shares]
        return Remaining(self._evidence[:, removed], self._evidence[:, inserted])


def _with_noise(explained: Tensor, positions: Tensor | None, *, level: float, seed: int) -> Tensor:
    """Return explained inputs ``[N, C, *spatial]`` with noise, where they hold anything."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(explained.shape, generator=generator, dtype=torch.float32).to(explained)
    within = explained if positions is None else filled(explained, positions[:, None])
    scale = noise_scale(within, level).reshape(-1, *(1,) * (explained.ndim - 1))
    noisy = explained + scale * noise
    return noisy if positions is None else torch.where(positions[:, None], noisy, explained)
