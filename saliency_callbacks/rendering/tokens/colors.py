"""Scores of words → colors that can be written on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from saliency_callbacks.config.wording import counted
from saliency_callbacks.errors import InputError
from saliency_callbacks.rendering import colormap as colors
from saliency_callbacks.rendering.images import finite
from saliency_callbacks.rendering.legend import Style
from saliency_callbacks.rendering.theme import Color

__all__ = ["UNSIGNED_COLORMAP", "WordScores", "ink_on", "paint", "style_of"]

UNSIGNED_COLORMAP = "Oranges"
# Pure black rather than the ink of the captions: only it keeps 4.5 : 1 on every color that white does not.
_BLACK, _WHITE = (0, 0, 0), (255, 255, 255)


@dataclass(frozen=True, eq=False)
class WordScores:
    """Words of some text inputs with their scores, checked to fit each other.

    Args:
        words: The words of each text input, special tokens included; N rows.
        scores: ``[N, W]`` on the CPU; what is not finite counts as 0.
        special: Which of the words are special tokens, bool ``[N, W]``.
        scale: The magnitude that gets the full color in each text input, ``[N]``; 0 where there is nothing to show.
        signed: Whether the sign counts.
        marked: Which of the words are outlined, bool ``[N, W]``.

    Example:
        >>> words = WordScores.of([["great", "film"]], torch.tensor([[2.0, -1.0]]))
        >>> words.scale.tolist(), words.written(2.0, 3)
        ([2.0], '+2')
    """

    words: tuple[tuple[str, ...], ...]
    scores: Tensor
    special: Tensor
    scale: Tensor
    signed: bool
    marked: Tensor

    @classmethod
    def of(
        cls,
        words: Sequence[Sequence[str]],
        scores: Tensor,
        *,
        special: Tensor | None = None,
        scale: Tensor | float | None = None,
        signed: bool = True,
        marked: Tensor | None = None,
    ) -> WordScores:
        """Check that all arguments fit each other, and fill in the defaults.

        Args:
            words: The words of each text input, N rows of at most W.
            scores: ``[N, W]``; shorter rows are padded with anything.
            special: Which of the words are special tokens, bool ``[N, W]``; none by default.
            scale: The magnitude that gets the full color, ``[N]`` or one number for all; by default the largest in
                each text input, special tokens left out.
            signed: Whether the sign counts; if not, negative scores count as 0.
            marked: Which of the words are outlined, bool ``[N, W]``; none by default.

        Raises:
            InputError: If numbers or shapes differ.
        """
        _check_scores(words, scores)
        shown = finite(scores) if signed else finite(scores).clamp_min(0)
        apart, outlined = _flags("special", special, scores), _flags("marked", marked, scores)
        full = _largest(words, shown, apart) if scale is None else _given_scale(scale, len(words))
        return cls(tuple(map(tuple, words)), shown, apart, full, signed, outlined)

    def backgrounds(self, sample: int) -> list[Color]:
        """Return the color behind each word of a text input; white behind special tokens."""
        count = len(self.words[sample])
        values = self.scores[sample, :count].masked_fill(self.special[sample, :count], 0).numpy()
        return paint(values, float(self.scale[sample]), signed=self.signed)

    def written(self, score: float, digits: int) -> str:
        """Return a score as a string: with its sign, or without where that does not count."""
        return f"{score:+.{digits}g}" if self.signed else f"{score:.{digits}g}"

    def left_out(self, sample: int, shown: int) -> str:
        """Return how many words follow the first ``shown``, and their share of the magnitudes; empty for none."""
        count = len(self.words[sample]) - shown
        if count <= 0:
            return ""
        sizes = self.scores[sample, : len(self.words[sample])].abs().double()
        share = float(sizes[shown:].sum() / sizes.sum().clamp_min(torch.finfo(torch.float64).tiny))
        return f"… {counted(count, 'more word')} ({share:.0%} of the weight)"


def paint(values: npt.NDArray[np.floating], scale: float, *, signed: bool) -> list[Color]:
    """Return the color of each value: red and blue, or orange, from white at 0 to the full color at ``scale``.

    Example:
        >>> paint(np.array([0.0, 2.0]), 2.0, signed=True)
        [(255, 255, 255), (158, 8, 30)]
    """
    if signed:
        table = colors.signed(values[None, None, :], np.array([scale]))[0, 0]
    else:
        shares = values / scale if scale > 0 else np.zeros_like(values)
        table = colors.apply(shares[None, None, :], UNSIGNED_COLORMAP)[0, 0]
        table = np.where(shares[:, None] > 0, table, 255)
    return [(int(red), int(green), int(blue)) for red, green, blue in table]


def style_of(*, signed: bool) -> tuple[Style, str]:
    """Return the style and color map with which a legend shows the colors of words.

    Example:
        >>> style_of(signed=True), style_of(signed=False)
        (('signed', 'auto'), ('heatmap', 'Oranges'))
    """
    return ("signed", colors.DEFAULT_COLORMAP) if signed else ("heatmap", UNSIGNED_COLORMAP)


def ink_on(background: Color) -> Color:
    """Return black or white, whichever contrasts more with a background: always at least 4.5 : 1.

    Reference:
        Web Content Accessibility Guidelines 2.1, "contrast ratio" and "relative luminance".

    Example:
        >>> ink_on((255, 255, 255)), ink_on((158, 8, 30))
        ((0, 0, 0), (255, 255, 255))
    """
    light = _luminance(background)
    return _BLACK if (light + 0.05) / 0.05 >= 1.05 / (light + 0.05) else _WHITE


def _luminance(color: Color) -> float:
    red, green, blue = ((level / 255) for level in color)
    linear = [level / 12.92 if level <= 0.04045 else ((level + 0.055) / 1.055) ** 2.4 for level in (red, green, blue)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _check_scores(words: Sequence[Sequence[str]], scores: Tensor) -> None:
    longest = max((len(row) for row in words), default=0)
    if scores.ndim != 2 or len(scores) != len(words) or longest > scores.shape[1] or not len(words):
        raise InputError(
            f"got scores {list(scores.shape)} for {len(words)} text inputs of up to {longest} words; expected [N, W], "
            "one row per text input and one column per word, e.g. from merge_words"
        )


def _largest(words: Sequence[Sequence[str]], scores: Tensor, special: Tensor) -> Tensor:
    """Return the largest magnitude of each text input, special tokens left out; 0 where there are no words."""
    if not scores.shape[1]:
        return scores.new_zeros(len(words))
    lengths = torch.tensor([len(row) for row in words])
    counted = (torch.arange(scores.shape[1]) < lengths[:, None]) & ~special
    return (scores.abs() * counted).amax(dim=1)


def _flags(name: str, flags: Tensor | None, scores: Tensor) -> Tensor:
    if flags is None:
        return torch.zeros(scores.shape, dtype=torch.bool)
    if flags.shape != scores.shape:
        raise InputError(f"{name} is {list(flags.shape)}; expected {list(scores.shape)}, a bool for each word")
    return flags.cpu().bool()


def _given_scale(scale: Tensor | float, count: int) -> Tensor:
    given = torch.nan_to_num(torch.as_tensor(scale).detach().float().cpu().flatten(), nan=0.0, posinf=0.0)
    if given.numel() not in (1, count):
        raise InputError(f"got {given.numel()} scales for {count} text inputs; expected one, or one per text input")
    return given.expand(count)
