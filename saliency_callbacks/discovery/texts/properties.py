"""Properties of whole texts that differ by class: their length, and how much punctuation they have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

from saliency_callbacks.discovery.candidate import Candidate, Count, Trial
from saliency_callbacks.discovery.reader import ModelReader
from saliency_callbacks.discovery.texts.changes import FittedLength, FittedPunctuation
from saliency_callbacks.discovery.texts.samples import TextSamples
from saliency_callbacks.discovery.texts.skew import N_RECIPIENTS, PROPOSED_SKEW, count_skewed, shares_of, skews

__all__ = ["TextLimit", "TextProperties"]

_UNITS = {"length": "tokens", "punctuation": "punctuation marks"}


@dataclass(frozen=True)
class TextProperties:
    """Lengths and numbers of punctuation marks that one class keeps within a limit more often than every other.

    Example:
        >>> import torch
        >>> ids = torch.arange(8).repeat(64, 1)
        >>> ids[:32, 4:] = -1
        >>> samples = TextSamples(ids, torch.arange(2).repeat_interleave(32), range(64))
        >>> [one.what for one in TextProperties().propose(samples, None)[0]]
        ['a length of at most 4 tokens', 'a length of at least 8 tokens']
    """

    kind: str = "properties"

    def propose(self, samples: TextSamples, reader: ModelReader | None) -> tuple[Sequence[Candidate], int]:
        """Return the limits that tell each class best, and how many, as each is counted on other samples."""
        del reader
        proposed: list[Candidate] = []
        for name in _UNITS:
            limits = list(_limits(name, samples))
            shares = shares_of([limit.bears(samples) for limit in limits], samples)
            for column in range(len(samples.classes) if limits else 0):
                index = samples.classes[column]
                found = skews(shares, column)
                best = int(found.argmax())
                if found[best] >= PROPOSED_SKEW:
                    proposed.append(TextLimit(index, name, limits[best].limit, limits[best].is_most))
        return proposed, len(proposed)


@dataclass(frozen=True)
class TextLimit:
    """A limit within which texts of one class are.

    Args:
        class_index: The class c.
        name: What is limited: ``length`` or ``punctuation``.
        limit: The limit.
        is_most: Whether it is the most, or the least.
    """

    class_index: int
    name: str
    limit: int
    is_most: bool

    @property
    def what(self) -> str:
        """The limit in plain words."""
        amount = f"at {'most' if self.is_most else 'least'} {self.limit} {_UNITS[self.name]}"
        return f"a length of {amount}" if self.name == "length" else amount

    def bears(self, samples: TextSamples) -> Tensor:
        """Return which samples are within the limit, bool ``[N]``."""
        values = _values(self.name, samples)
        return values <= self.limit if self.is_most else values >= self.limit

    def count(self, samples: TextSamples) -> Count | None:
        """Count the texts within the limit; ``None`` where they are not skewed on the texts that count."""
        return count_skewed(self.bears(samples), self.class_index, samples)

    def trial(self, samples: TextSamples, count: Count) -> Trial | None:
        """Give texts of other classes the value that the class has, and as a control change as many words without."""
        others = ((samples.labels != self.class_index) & ~count.bears).nonzero()[:, 0]
        recipients = samples.chosen(others, N_RECIPIENTS, "recipients")
        if not len(recipients):
            return None
        bearers = samples.of_class(self.class_index, count.bears)
        usual = int(_values(self.name, samples)[bearers].median())
        change = self._change(usual, bearers, samples)
        clean = samples.inputs[recipients]
        return Trial(recipients, change(clean), [change.control(clean)], "contrast", change)

    def _change(self, usual: int, bearers: Tensor, samples: TextSamples) -> FittedLength | FittedPunctuation:
        special = tuple(samples.special_ids)
        if self.name == "length":
            return FittedLength(usual, special)
        own = samples.punctuation.clone()
        own[(samples.labels != self.class_index)] = False
        usable = own if own.any() else samples.punctuation
        marks = tuple(samples.inputs[samples.punctuation].unique().tolist())
        return FittedPunctuation(usual, int(samples.inputs[usable].mode().values), marks, special)


def _values(name: str, samples: TextSamples) -> Tensor:
    return samples.lengths if name == "length" else samples.punctuation.sum(dim=1)


def _limits(name: str, samples: TextSamples) -> Iterator[TextLimit]:
    """Return all limits that divide the samples that propose, of no class in particular."""
    found = _values(name, samples)[samples.proposes].unique().tolist()
    for below, above in pairwise(found):
        yield TextLimit(-1, name, below, is_most=True)
        yield TextLimit(-1, name, above, is_most=False)
