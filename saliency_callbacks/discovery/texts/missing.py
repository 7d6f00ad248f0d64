"""Words that one class lacks and every other has: taken out of texts of other classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from saliency_callbacks.discovery.candidate import Candidate, Count, Trial
from saliency_callbacks.discovery.reader import ModelReader
from saliency_callbacks.discovery.texts.changes import DeletedTokens
from saliency_callbacks.discovery.texts.rewriting import rewritten, without_run
from saliency_callbacks.discovery.texts.samples import Run, TextSamples
from saliency_callbacks.discovery.texts.skew import N_RECIPIENTS, PROPOSED_SKEW, count_skewed, skews
from saliency_callbacks.discovery.texts.tokens import shares_of_runs

__all__ = ["Missing", "MissingPhrase"]

_PER_CLASS = 4


@dataclass(frozen=True)
class Missing:
    """Runs of one to three tokens that one class lacks more often than every other.

    Of two classes that would be what the other class has, so that it takes three.

    Example:
        >>> ids = torch.arange(4, 8).repeat(72, 1)
        >>> ids[48:, 1] = 9
        >>> samples = TextSamples(ids, torch.arange(3).repeat_interleave(24), range(72))
        >>> [one.what for one in Missing().propose(samples, None)[0] if len(one.run) == 1]
        ['no word “5”']
    """

    kind: str = "missing"

    def propose(self, samples: TextSamples, reader: ModelReader | None) -> tuple[Sequence[Candidate], int]:
        """Return the runs that each class lacks most, and how many, as each is counted on other samples."""
        del reader
        if len(samples.classes) < 3:
            return [], 0
        runs, shares = shares_of_runs(samples)
        proposed: list[Candidate] = []
        for column, index in enumerate(samples.classes):
            found = skews(1 - shares, column)
            order = sorted(range(len(runs)), key=lambda at: (-float(found[at]), len(runs[at])))
            likely = [runs[at] for at in order[:_PER_CLASS] if found[at] >= PROPOSED_SKEW]
            proposed += [MissingPhrase(index, run, samples.written(run)) for run in likely]
        return proposed, len(proposed)


@dataclass(frozen=True)
class MissingPhrase:
    """A run of tokens that texts of one class may lack.

    Args:
        class_index: The class c.
        run: Ids of the tokens.
        text: How they are written.
    """

    class_index: int
    run: Run
    text: str

    @property
    def what(self) -> str:
        """The run in plain words."""
        return f"no {'words' if ' ' in self.text else 'word'} “{self.text}”"

    def count(self, samples: TextSamples) -> Count | None:
        """Count the texts without the run; ``None`` where they are not skewed on the texts that count."""
        return count_skewed(~samples.places(self.run).any(dim=1), self.class_index, samples)

    def trial(self, samples: TextSamples, count: Count) -> Trial | None:
        """Take the run out of texts of other classes, and as a control as many of their other tokens."""
        others = ((samples.labels != self.class_index) & ~count.bears).nonzero()[:, 0]
        recipients = samples.chosen(others, N_RECIPIENTS, "recipients")
        # A text of nothing else would be empty.
        recipients = recipients[samples.lengths[recipients] > samples.marks(self.run)[recipients].sum(dim=1)]
        if not len(recipients):
            return None
        change = DeletedTokens(self.run, self.text, tuple(samples.special_ids))
        clean = samples.inputs[recipients]
        return Trial(recipients, change(clean), [self._control(clean, samples)], "effect", change)

    def _control(self, ids: Tensor, samples: TextSamples) -> Tensor:
        generator = samples.generator("controls")

        def without_others(row: int, content: list[int]) -> list[int]:
            n_lost = len(content) - len(without_run(content, self.run))
            others = [position for position, token in enumerate(content) if token not in self.run]
            start = int(torch.randint(max(1, len(others) - n_lost + 1), (), generator=generator))
            lost = {*others[start : start + n_lost]}
            return [token for position, token in enumerate(content) if position not in lost]

        return rewritten(ids, samples.special_ids, without_others)
