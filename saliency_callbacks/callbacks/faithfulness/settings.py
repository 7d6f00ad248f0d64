"""What is done to the samples: how much of them is removed, by what it is replaced, and how they are disturbed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from saliency_callbacks.callbacks.runtime.settings import set_field
from saliency_callbacks.config.checks import checked_integer, checked_real
from saliency_callbacks.config.hydra import plain
from saliency_callbacks.engine.removal import REPLACEMENTS
from saliency_callbacks.errors import ConfigurationError, nearest_names

__all__ = ["Perturbation"]


@dataclass(frozen=True)
class Perturbation:
    """What is done to the samples to see whether a map tells what the score rests on.

    Args:
        shares: Shares of the positions that are removed, or shown alone, each in (0, 1). Each takes three forwards
            for each replacement and method: removed, shown, and removed where the map is elsewhere; four where
            1 - share is not among the shares.
        replacements: What takes the place of what is removed: ``inpainted`` from its surroundings, ``blurred``, or for
            text inputs the ``mask_token`` or ``pad_token``. By default the first two, and of texts the mask token where
            the tokenizer has one.
        noise: Standard deviation of the noise for the stability, as a share of the range of each sample.
        n_noisy: How many noisy copies of each sample are explained by all methods together; 0 for no stability.

    Raises:
        ConfigurationError: If a share or the noise is out of range, a replacement is unknown, or there are no shares.

    Example:
        >>> Perturbation(replacements=["inpainted"]).shares
        (0.25, 0.75)
    """

    shares: Sequence[float] = (0.25, 0.75)
    replacements: str | Sequence[str] = ()
    noise: float = 0.02
    n_noisy: int = 1

    def __post_init__(self) -> None:
        set_field(self, "shares", _checked_shares(plain(self.shares)))
        set_field(self, "replacements", _checked_replacements(plain(self.replacements)))
        set_field(self, "noise", checked_real("noise", self.noise, above=0))
        set_field(self, "n_noisy", checked_integer("n_noisy", self.n_noisy, 0))


def _checked_shares(given: Any) -> tuple[float, ...]:
    shares = given if isinstance(given, Sequence) and not isinstance(given, str) else [given]
    are_shares = all(isinstance(one, int | float) and not isinstance(one, bool) and 0 < one < 1 for one in shares)
    if not shares or not are_shares:
        raise ConfigurationError(f"shares={given!r}; expected shares between 0 and 1, such as [0.25, 0.75]")
    return tuple(sorted({round(float(one), 6) for one in shares}))


def _checked_replacements(given: Any) -> tuple[str, ...]:
    names = [given] if isinstance(given, str) else list(given or ())
    for name in names:
        if name not in REPLACEMENTS:
            raise ConfigurationError(f"replacement {name!r} is unknown; {nearest_names(str(name), REPLACEMENTS)}")
    return tuple(dict.fromkeys(names))
