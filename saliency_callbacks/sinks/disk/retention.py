"""Which observations keep their maps on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from saliency_callbacks.config.hydra import plain
from saliency_callbacks.errors import ConfigurationError

__all__ = ["KeepMaps", "Retention", "checked_retention"]

KeepMaps = str | int | dict[str, int]
"""``"all"``, the number of the last observations, or ``{"last": n, "every": m}`` with one of them or both."""

_ALWAYS = ("initial", "final")


@dataclass(frozen=True)
class Retention:
    """Which maps are kept: those of the ``last`` n observations and of ``every`` m-th one, the first included.

    Those before the training and of the end-of-training summary are always kept and are not counted. The newest ones
    are always kept, too.

    Args:
        last: How many of the newest observations keep their maps.
        every: Which n-th observations keep their maps for good; ``None`` for none.
    """

    last: int = 1
    every: int | None = None

    def superseded(self, stages: Sequence[str]) -> list[int]:
        """Return the positions of the observations that lose their maps.

        Args:
            stages: Stage of every observation, oldest first.

        Example:
            >>> Retention(last=1, every=3).superseded(["initial", "fit", "fit", "fit", "fit", "fit"])
            [2, 3]
        """
        counted = [position for position, stage in enumerate(stages) if stage not in _ALWAYS]
        older = counted[: -self.last]
        return [position for count, position in enumerate(older) if self.every is None or count % self.every]


def checked_retention(keep_maps: KeepMaps) -> Retention | None:
    """Return ``keep_maps`` as a rule; ``None`` to keep all.

    Raises:
        ConfigurationError: If it is none of the allowed forms.
    """
    given = plain(keep_maps)
    if isinstance(given, str) and given == "all":
        return None
    numbers = {"last": given} if not isinstance(given, Mapping) else given
    are_counts = all(isinstance(n, int) and not isinstance(n, bool) and n >= 1 for n in numbers.values())
    if not numbers or not are_counts or not numbers.keys() <= {"last", "every"}:
        raise ConfigurationError(
            f"keep_maps={keep_maps!r}; expected 'all', the number of latest observations that keep their maps, e.g. "
            "50, or {'every': 10} for every tenth; {'last': 50, 'every': 10} keeps both"
        )
    return Retention(**numbers)
