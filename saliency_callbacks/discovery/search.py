"""One search: every kind proposes, other samples count, and what is found is put to the test."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from saliency_callbacks.discovery.candidate import Candidate, Count, Generator, Trial
from saliency_callbacks.discovery.confirmation import Effect, confirm
from saliency_callbacks.discovery.exhibit import Exhibit
from saliency_callbacks.discovery.reader import ModelReader
from saliency_callbacks.discovery.samples import Samples
from saliency_callbacks.discovery.suspicion import Suspicion
from saliency_callbacks.functional.effects import margin

__all__ = ["Search"]

_N_SHOWN = 4
_FAR_MORE = 2
"""How many times the bound of an earlier kind that of a later one has to be for both to be told of the same samples."""


@dataclass(frozen=True)
class _Counted:
    kind: str
    candidate: Candidate
    count: Count


@dataclass(frozen=True)
class Search:
    """Look for cues that nobody named.

    Args:
        generators: What proposes candidates.
        threshold: What the lower bound of an effect has to exceed for a cue to be used, in standard deviations.
        significance: What the corrected p-value of a cue must not exceed for it to be found.
        is_late: Whether the time that a search may take is over; asked between kinds and between candidates.
    """

    generators: Sequence[Generator]
    threshold: float = 0.25
    significance: float = 0.01
    is_late: Callable[[], bool] = lambda: False

    def run(self, samples: Samples, reader: ModelReader) -> list[Suspicion]:
        """Return what was found, the most credible first: what is used, by its effect; then the rest, by its skew.

        Args:
            samples: What is searched.
            reader: The model.
        """
        found: list[_Counted] = []
        n_candidates = 0
        for generator in self.generators:
            if self.is_late():
                break
            proposed, n_looked_at = generator.propose(samples, reader)
            n_candidates += n_looked_at
            found += self._counted(generator.kind, proposed, samples)
        found = [one for one in found if one.count.p_value * n_candidates < self.significance]
        suspicions = list(self._tried(found, samples, reader, n_candidates))
        return sorted(self._distinct(suspicions), key=_credibility, reverse=True)

    def _counted(self, kind: str, proposed: Sequence[Candidate], samples: Samples) -> Iterator[_Counted]:
        for candidate in proposed:
            if self.is_late():
                return
            count = candidate.count(samples)
            if count is not None:
                yield _Counted(kind, candidate, count)

    def _tried(
        self, found: Sequence[_Counted], samples: Samples, reader: ModelReader, n_candidates: int
    ) -> Iterator[Suspicion]:
        # The strongest first, should the time not be enough.
        for one in sorted(found, key=lambda counted: counted.count.p_value):
            if self.is_late():
                return
            trial = one.candidate.trial(samples, one.count)
            if trial is None:
                continue
            clean = samples.inputs[trial.recipients]
            logits = reader.logits(torch.cat([clean, trial.with_cue, *trial.controls])).split(len(clean))
            effect = confirm(
                logits[0], logits[1], logits[2:], one.candidate.class_index, trial.statistic, seed=samples.seed
            )
            yield self._suspicion(one, trial, effect, samples, (logits[0], logits[1]), n_candidates)

    def _distinct(self, suspicions: Sequence[Suspicion]) -> list[Suspicion]:
        """Return each cue once: what is used before what is not, and of several kinds the first, which tells most.

        A later kind is told as well where it moves the network far more: the even parts of bright images are alike,
        too, but it is their brightness that the network goes by.
        """
        kinds = [generator.kind for generator in self.generators]
        strength = {id(one): one.lower_bound if one.is_used else -one.p_value for one in suspicions}
        ranked = sorted(suspicions, key=lambda one: (not one.is_used, kinds.index(one.kind), -strength[id(one)]))
        kept: list[Suspicion] = []
        for one in ranked:
            known = [other.lower_bound for other in kept if _are_one_cue(one, other)]
            if not known or (one.is_used and one.lower_bound > _FAR_MORE * max(known)):
                kept.append(one)
        return kept

    def _suspicion(
        self,
        one: _Counted,
        trial: Trial,
        effect: Effect,
        samples: Samples,
        logits: tuple[Tensor, Tensor],
        n_candidates: int,
    ) -> Suspicion:
        index = one.candidate.class_index
        is_above = effect.is_above(self.threshold)
        bearing, size, others, other_size, elsewhere = _shares(one.count.bears, index, samples)
        return Suspicion(
            class_index=index,
            class_name=samples.name_of(index),
            kind=one.kind,
            what=trial.what or one.candidate.what,
            share=bearing / size,
            share_elsewhere=others / other_size,
            elsewhere=samples.name_of(elsewhere),
            counts=(bearing, size, others, other_size),
            p_value=min(1.0, one.count.p_value * n_candidates),
            effect=effect.mean,
            lower_bound=effect.lower_bound,
            control=effect.control,
            control_bound=effect.control_bound,
            statistic=trial.statistic,
            is_used=is_above and trial.is_conclusive,
            region=trial.region,
            bearers=tuple(str(samples.ids[at]) for at in _bearers(one.count, index, samples).tolist()),
            change=trial.change,
            is_conclusive=trial.is_conclusive or not is_above,
            exhibit=_exhibit(one, trial, samples, logits),
        )


def _are_one_cue(one: Suspicion, other: Suspicion) -> bool:
    return one.class_index == other.class_index and one.shares_bearers(other)


def _shares(bears: Tensor, index: int, samples: Samples) -> tuple[int, int, int, int, int]:
    """Return bearers and size of class c, and of the other class with the largest share, and which that is."""
    own = samples.of_class(index, samples.counts)
    others = [(other, samples.of_class(other, samples.counts)) for other in samples.classes if other != index]
    worst, members = max(others, key=lambda other: float(bears[other[1]].double().mean()))
    return int(bears[own].sum()), len(own), int(bears[members].sum()), len(members), worst


def _bearers(count: Count, index: int, samples: Samples) -> Tensor:
    """Return the positions of the bearers of class c, the most typical first."""
    members = samples.of_class(index, count.bears)
    return members[count.typical[members].argsort(descending=True, stable=True)]


def _exhibit(one: _Counted, trial: Trial, samples: Samples, logits: tuple[Tensor, Tensor]) -> Exhibit:
    index = one.candidate.class_index
    bearers = _bearers(one.count, index, samples) if trial.bearers is None else trial.bearers
    lacking = samples.of_class(index, one.count.lacks)
    before, after = logits
    margins = torch.stack([margin(before, index), margin(after, index)], dim=1)
    # Those that the cue moves most show best what it does.
    shown = (margins[:, 1] - margins[:, 0]).nan_to_num(-math.inf).argsort(descending=True, stable=True)[:_N_SHOWN]
    return Exhibit(
        bearing=samples.inputs[bearers[:_N_SHOWN]],
        marks=None if trial.marks is None else trial.marks[:_N_SHOWN],
        lacking=samples.inputs[lacking[:_N_SHOWN]],
        before=samples.inputs[trial.recipients[shown]],
        after=trial.with_cue[shown],
        labels=samples.labels[trial.recipients[shown]],
        predictions=torch.stack([before.argmax(dim=1), after.argmax(dim=1)], dim=1)[shown],
        margins=margins[shown],
    )


def _credibility(one: Suspicion) -> tuple[bool, float]:
    return one.is_used, one.lower_bound if one.is_used else one.share - one.share_elsewhere
