"""A probe of text inputs without and with a word, made once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from saliency_callbacks.callbacks.cue.pictures import Pair, interleaved, pair_captions
from saliency_callbacks.callbacks.cue.probe import foreign_samples, warn_without_labels
from saliency_callbacks.callbacks.cue.survey import FurtherSamples, no_further_samples, survey
from saliency_callbacks.callbacks.runtime import notices
from saliency_callbacks.callbacks.runtime.appearance import Appearance
from saliency_callbacks.config.wording import counted
from saliency_callbacks.cues.token import TokenCue
from saliency_callbacks.errors import CueError
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.rendering.tokens.panel import token_panel
from saliency_callbacks.scores.tokens import per_token
from saliency_callbacks.text.ids import attention_mask_of, ids_key, with_insertion
from saliency_callbacks.text.insertion import Insertion
from saliency_callbacks.types import Attribution

__all__ = ["TokenCueProbe"]


@dataclass(frozen=True, eq=False)
class TokenCueProbe:
    """The same text inputs without and with a word.

    Args:
        batch: The probe.
        cue: The word.
        key: Key or position of the token ids in the inputs; ``None`` where they are one tensor.
        insertion: What was done to the ids.
        cued_inputs: The probe's inputs with the word.
        usable: Samples that can tell: not of the suspect class, and changed by the word; bool ``[N]``.
        shown: Positions of the samples in the picture.
        suspect_class: The class that the word might give away.
    """

    batch: ProbeBatch
    cue: TokenCue
    key: int | str | None
    insertion: Insertion
    cued_inputs: Any
    usable: Tensor
    shown: Tensor
    suspect_class: int

    @classmethod
    def prepare(
        cls,
        batch: ProbeBatch,
        cue: TokenCue,
        suspect_class: int,
        *,
        attribute_to: int | str | None,
        n_shown: int,
        others: FurtherSamples = no_further_samples,
    ) -> TokenCueProbe:
        """Put the word into the probe.

        Args:
            batch: The probe.
            cue: The word.
            suspect_class: The class that it might give away.
            attribute_to: Key or position of the token ids in the inputs; ``None`` to find them.
            n_shown: Most samples in the picture.
            others: Yields the samples of the probe that are not in ``batch``.

        Raises:
            CueError: If there are no token ids, the word fits into no text, or no sample can tell anything.
            ProbeError: If the ids do not fit the cue's tokenizer.
        """
        key = ids_key(batch.inputs, attribute_to)
        insertion, cued = _inserted(cue, batch.inputs, key)
        usable = foreign_samples(insertion.inserted.any(dim=1), batch, suspect_class)
        own = cls(batch, cue, key, insertion, cued, usable, usable.nonzero()[:n_shown, 0], suspect_class)
        found = survey(own, others)
        if not found.changed.any():
            raise CueError(
                f"the cue {cue!r} with {counted(len(cue.token_ids), 'token')} fits into none of the probe's text "
                f"inputs, which are {counted(insertion.ids.shape[1], 'token')} long including padding. Use longer "
                "inputs, or a shorter word"
            )
        _warn_of_cuts(cue, insertion.dropped)
        warn_without_labels(batch, cue, suspect_class)
        found.check_usable(cue, suspect_class)
        return own

    def like(self, batch: ProbeBatch) -> TokenCueProbe:
        """Return other text inputs without and with the word; none of them has to tell anything."""
        insertion, cued = _inserted(self.cue, batch.inputs, self.key)
        usable = foreign_samples(insertion.inserted.any(dim=1), batch, self.suspect_class)
        none = torch.zeros(0, dtype=torch.int64)
        return TokenCueProbe(batch, self.cue, self.key, insertion, cued, usable, none, self.suspect_class)

    @property
    def changed(self) -> Tensor:
        """Text inputs that the word fits into, bool ``[N]``."""
        return self.insertion.inserted.any(dim=1)

    @property
    def covered(self) -> Tensor:
        """Nothing of a text: a word is one part of it."""
        return torch.zeros(len(self.usable), dtype=torch.float64)

    @property
    def is_global(self) -> bool:
        """No: a word is one part of a text."""
        return False

    @property
    def bearing(self) -> Tensor:
        """No sample: nothing is removed from text inputs."""
        return torch.zeros_like(self.usable)

    @property
    def clean_inputs(self) -> Any:
        """The probe's inputs."""
        return self.batch.inputs

    @property
    def removed_inputs(self) -> None:
        """Nothing is removed from text inputs."""
        return

    def insert(self, batch: ProbeBatch) -> Any:
        """Return the inputs of another batch with the word."""
        return _inserted(self.cue, batch.inputs, self.key)[1]

    def pairs(self) -> Any:
        """Return the inputs of the picture: each shown text without and with the word in turn, ``[2 P, T]``."""
        return _interleaved(self.clean_inputs, self.cued_inputs, self.shown, self.batch.size)

    def pair_regions(self) -> Tensor:
        """Return where the word was put, bool ``[2 P, T]``; nowhere in a text without it."""
        inserted = self.insertion.inserted[self.shown]
        return interleaved(torch.zeros_like(inserted), inserted)

    def picture(
        self, attribution: Attribution | None, pairs: Sequence[Pair], title: str, appearance: Appearance
    ) -> npt.NDArray[np.uint8]:
        """Draw the shown text inputs without and with the word, which is outlined; colored where there are maps."""
        ids = _ids(self.pairs(), self.key)
        texts = self.cue.texts(ids, attention_mask_of(self.pairs(), ids))
        scores, signed = (torch.zeros(ids.shape), True) if attribution is None else _scores(attribution)
        merged = texts.merge(scores)
        special = texts.special_units()
        peak = merged.masked_fill(special, 0).abs().reshape(len(merged) // 2, -1).amax(dim=1)
        return token_panel(
            texts.units(),
            merged,
            [caption for pair in pairs for caption in pair_captions(pair, "with the word")],
            special=special,
            marked=texts.merge(self.pair_regions().float()) > 0,
            scale=peak.repeat_interleave(2),
            signed=signed,
            title=title,
            scale_note="no maps" if attribution is None else "one scale per pair",
        )


def _inserted(cue: TokenCue, inputs: Any, key: int | str | None) -> tuple[Insertion, Any]:
    ids = _ids(inputs, key)
    mask = attention_mask_of(inputs, ids)
    insertion = cue.insert(ids, mask)
    return insertion, with_insertion(inputs, key, insertion, cue.padding(ids, mask))


def _ids(inputs: Any, key: Any) -> Tensor:
    ids = inputs if key is None else inputs[key]
    assert isinstance(ids, Tensor), "found when the probe was prepared"
    return ids


def _scores(attribution: Attribution) -> tuple[Tensor, bool]:
    """Return the score of each token ``[2 P, T]``, and whether the scores have signs."""
    scores = per_token(attribution).values[:, 0]
    return torch.nan_to_num(scores, nan=0.0, posinf=0.0, neginf=0.0), attribution.reduction in (None, "sum")


def _interleaved(first: Any, second: Any, rows: Tensor, size: int) -> Any:
    """Return rows of two structures of inputs in turn; what has no rows is taken from the first."""
    if isinstance(first, Mapping):
        return {key: _interleaved(first[key], second[key], rows, size) for key in first}
    if isinstance(first, tuple):
        return tuple(_interleaved(one, other, rows, size) for one, other in zip(first, second, strict=True))
    if not isinstance(first, Tensor) or not first.ndim or len(first) != size:
        return first
    return interleaved(first[rows], second[rows])


def _warn_of_cuts(cue: TokenCue, dropped: Tensor) -> None:
    cut = int((dropped > 0).sum())
    if cut:
        notices.warn(
            ("cut text inputs", cue.name),
            f"cue {cue.name!r}: there is too little padding for {cue.word!r} in {cut} of the probe's "
            f"{counted(len(dropped), 'text input')}, so up to {counted(int(dropped.max()), 'token')} were cut off at "
            "their end. The measured effect includes that loss; pad the text inputs further to avoid it",
        )
