"""A word, or several, that many texts of one class have: how it is counted, and put into other texts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from saliency_callbacks.discovery.candidate import Count, Trial
from saliency_callbacks.discovery.texts.inserted import InsertedTokens, Position
from saliency_callbacks.discovery.texts.samples import Run, TextSamples
from saliency_callbacks.discovery.texts.skew import N_RECIPIENTS, count_skewed

__all__ = ["Phrase"]


@dataclass(frozen=True)
class Phrase:
    """A run of tokens that texts of one class may have in common.

    Args:
        class_index: The class c.
        run: Ids of the tokens.
        text: How they are written.
        position: Where in a text they are.
    """

    class_index: int
    run: Run
    text: str
    position: Position = "random"

    @property
    def what(self) -> str:
        """The run in plain words."""
        where = {"start": " at the start", "end": " at the end", "random": ""}[self.position]
        return f"the {'words' if ' ' in self.text else 'word'} “{self.text}”{where}"

    def count(self, samples: TextSamples) -> Count | None:
        """Count the texts that have the run; ``None`` where it is not skewed on the texts that count."""
        return count_skewed(samples.places(self.run).any(dim=1), self.class_index, samples)

    def trial(self, samples: TextSamples, count: Count) -> Trial | None:
        """Insert the run into texts of other classes, and as many other tokens at the same places as controls."""
        change = InsertedTokens(
            self.run, self.text, self.position, tuple(samples.special_ids), samples.pad_id, samples.tokenizer
        )
        others = ((samples.labels != self.class_index) & ~count.bears).nonzero()[:, 0]
        recipients = samples.chosen(others, N_RECIPIENTS, "recipients")
        if not len(recipients):
            return None
        cued, inserted = change.placed(samples.inputs[recipients])
        fits = inserted.any(dim=1)
        recipients, cued, inserted = recipients[fits], cued[fits], inserted[fits]
        without = samples.content & ~count.bears[:, None]
        of_class = (samples.labels == self.class_index)[:, None]
        controls = [
            cued.masked_scatter(inserted, drawn)
            for donors in (without & of_class, without & ~of_class)
            if (drawn := _neighbors(samples, donors, len(self.run), len(recipients))) is not None
        ]
        if not len(recipients) or not controls:
            return None
        bearers = samples.of_class(self.class_index, count.bears)
        bearers = bearers[count.typical[bearers].argsort(descending=True, stable=True)]
        return Trial(
            recipients, cued, controls, "effect", change, bearers=bearers, marks=samples.marks(self.run)[bearers]
        )


def _neighbors(samples: TextSamples, donors: Tensor, length: int, count: int) -> Tensor | None:
    """Return runs of other tokens, ``[count, length]``, from where ``donors [N, T]`` is true, text after text."""
    tokens = samples.inputs[donors]
    if len(tokens) < length:
        return None
    starts = torch.randint(len(tokens) - length + 1, (count, 1), generator=samples.generator("controls"))
    return tokens[starts + torch.arange(length)]
