"""Words that give a class away: proposed by how often each class bears them, put into texts of other classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from saliency_callbacks.discovery.candidate import Candidate
from saliency_callbacks.discovery.reader import ModelReader
from saliency_callbacks.discovery.texts.inserted import Position
from saliency_callbacks.discovery.texts.phrases import Phrase
from saliency_callbacks.discovery.texts.samples import Run, TextSamples
from saliency_callbacks.discovery.texts.skew import PROPOSED_SKEW, skews

__all__ = ["Tokens", "shares_of_runs"]

_LONGEST_SEEN = 3
_LONGEST_GROWN = 16
_AGREE = 0.9
_LEAST_SHARE = 0.1
_LEAST_BEARERS = 3
_SAME_BEARERS = 0.8
_PER_CLASS = 8
_AT_THE_END = 0.8


@dataclass(frozen=True)
class Tokens:
    """Runs of one to three tokens that one class bears more often than every other, with what always goes with them.

    A run grows by the neighbors that nearly all its bearers have, so that of a word in pieces, or of a sentence that is
    always the same, all is found. Punctuation is a token like any other. Saliency is not asked: what is
    skewed is few enough to try all of it.

    Example:
        >>> ids = torch.tensor([[5, 9, 6], [6, 9, 5], [9, 5, 6]] * 8 + [[5, 6, 5], [6, 5, 6], [5, 5, 6]] * 8)
        >>> samples = TextSamples(ids, torch.tensor([0] * 24 + [1] * 24), range(48))
        >>> proposed, n_looked_at = Tokens().propose(samples, None)
        >>> [one.what for one in proposed if one.class_index == 0][0]
        'the word “9”'
    """

    kind: str = "tokens"

    def propose(self, samples: TextSamples, reader: ModelReader | None) -> tuple[Sequence[Candidate], int]:
        """Return the most skewed runs of each class, and how many, as each is counted on other samples."""
        del reader
        runs, shares = shares_of_runs(samples)
        proposed: list[Candidate] = []
        for column, index in enumerate(samples.classes):
            found = skews(shares, column)
            # Of equal skews the longer run says more.
            order = sorted(range(len(runs)), key=lambda at: (-float(found[at]), -len(runs[at])))
            likely = [runs[at] for at in order if found[at] >= PROPOSED_SKEW]
            proposed += [
                Phrase(index, run, samples.written(run), _position(run, index, samples))
                for run in _distinct(likely, index, samples)
            ]
        return proposed, len(proposed)


def shares_of_runs(samples: TextSamples) -> tuple[list[Run], Tensor]:
    """Return the runs that some class has often enough, on the samples that propose, and their shares ``[V, K]``."""
    tallies: Counter[tuple[Run, int]] = Counter()
    for sample in samples.proposes.nonzero()[:, 0].tolist():
        label = int(samples.labels[sample])
        tallies.update((run, label) for run in {run for _, run in samples.runs(sample, _LONGEST_SEEN)})
    sizes = {index: len(samples.of_class(index, samples.proposes)) for index in samples.classes}
    frequent = {
        run for (run, label), count in tallies.items() if count >= max(_LEAST_BEARERS, _LEAST_SHARE * sizes[label])
    }
    runs = sorted(frequent)
    shares = [[tallies[run, index] / sizes[index] for index in samples.classes] for run in runs]
    return runs, torch.tensor(shares, dtype=torch.float64).reshape(len(runs), len(samples.classes))


def _distinct(likely: Sequence[Run], index: int, samples: TextSamples) -> Iterator[Run]:
    """Grow runs, the most skewed first, and leave out those that the same texts bear."""
    proposing = samples.of_class(index, samples.proposes)
    kept: list[Tensor] = []
    for run in likely:
        if len(kept) == _PER_CLASS:
            return
        bears = samples.places(run)[proposing].any(dim=1)
        if any((bears & one).sum() >= _SAME_BEARERS * (bears | one).sum() for one in kept):
            continue
        kept.append(bears)
        yield _grown(run, proposing, samples)


def _grown(run: Run, members: Tensor, samples: TextSamples) -> Run:
    """Return a run with the neighbors that nearly all members with it have."""
    n_bearers = int(samples.places(run)[members].any(dim=1).sum())
    while len(run) < _LONGEST_GROWN:
        longer = [(*before, *run, *after) for before, after in _neighboring(run, members, samples)]
        shares = [int(samples.places(one)[members].any(dim=1).sum()) for one in longer]
        if not longer or max(shares) < _AGREE * n_bearers:
            return run
        run = longer[shares.index(max(shares))]
    return run


def _neighboring(run: Run, members: Tensor, samples: TextSamples) -> Iterator[tuple[Run, Run]]:
    """Return the token that most often comes before a run, and the one that most often comes after."""
    before: Counter[int] = Counter()
    after: Counter[int] = Counter()
    for sample, start in samples.places(run)[members].nonzero().tolist():
        at = int(members[sample])
        stop = start + len(run)
        if start and samples.content[at, start - 1]:
            before[int(samples.inputs[at, start - 1])] += 1
        if stop < samples.inputs.shape[1] and samples.content[at, stop]:
            after[int(samples.inputs[at, stop])] += 1
    yield from (((token,), ()) for token, _ in before.most_common(1))
    yield from (((), (token,)) for token, _ in after.most_common(1))


def _position(run: Run, index: int, samples: TextSamples) -> Position:
    """Return where most texts of the class have a run."""
    members = samples.of_class(index, samples.proposes)
    places = samples.places(run)[members]
    bears = places.any(dim=1)
    content, places = samples.content[members][bears], places[bears]
    columns = torch.arange(places.shape[1])
    first = columns[None] == content.int().argmax(dim=1, keepdim=True)
    last = columns[None] + len(run) - 1 == torch.where(content, columns, -1).amax(dim=1, keepdim=True)
    if (places & first).any(dim=1).double().mean() >= _AT_THE_END:
        return "start"
    return "end" if (places & last).any(dim=1).double().mean() >= _AT_THE_END else "random"
