"""What is suspected: a cue that nobody named, how often each class bears it, and what it does to the network."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from saliency_callbacks.discovery.changes import Change
from saliency_callbacks.discovery.exhibit import Exhibit

__all__ = ["Suspicion"]

_SAME = 0.5
_N_SHOWN_IDS = 8


@dataclass(frozen=True, eq=False)
class Suspicion:
    """A cue that nobody named: found in many samples of one class, hardly anywhere else, and put to the test.

    *Found* is a statement about the data: the cue is in ``share`` of the class and in at most ``share_elsewhere`` of
    any other, and by chance that would happen with probability ``p_value``, corrected for all that was looked at.
    *Used* is one about the network: the cue, put into samples of other classes, moves it towards the class by
    ``effect``, whose lower bound exceeds the threshold, and by more than what the same change does without the cue.

    Neither says that anybody planted it: a template that *is* the object, such as a standard icon, is found as well.

    Args:
        class_index: The class c.
        class_name: Its name, or its index where it has none.
        kind: Which generator found it: ``copies``, ``places``, ``properties`` or ``tokens``.
        what: The cue in plain words, as part of a sentence: ``the same 36 pixels``, ``more brightness``.
        share: Share of class c that bears it, in [0, 1], counted on samples that did not propose it.
        share_elsewhere: The largest share of another class, likewise.
        elsewhere: Name of that class.
        counts: Bearers and samples of class c, bearers and samples of that other class.
        p_value: Probability of such a difference by chance, corrected for everything that was looked at.
        effect: Mean over samples of other classes of the ``statistic`` with the cue put into them, in standard
            deviations of the logits over the classes.
        lower_bound: Lower bootstrap bound of ``effect``.
        control: The largest mean effect of a control, the same change without the cue.
        control_bound: Lower bootstrap bound of ``effect`` minus that control.
        statistic: ``"effect"``, the rise of the margin m_c; or ``"contrast"``, that of class c minus the median of the
            others, for what changes the whole input.
        is_used: Whether ``lower_bound`` exceeds the threshold, and ``control_bound`` 0; never for a property in which
            the class may differ naturally, with so few others to compare.
        region: Where it is in its first bearer, bool ``[H, W]``; ``None`` where it has no place.
        bearers: Ids of all samples of the class that bear it, the most typical first.
        change: What puts the cue into an input.
        exhibit: The samples that a person decides by; ``None`` for a suspicion that was restored from a checkpoint.
        first_seen: Epoch in which it was first found; ``None`` without a Trainer.
        known_as: Name that it was given when it was first found; ``None`` for one that is found for the first time.
        is_conclusive: Whether the effect tells what the network uses from what the class is by nature.

    Example:
        >>> import torch
        >>> from saliency_callbacks.discovery.changes import PastedPixels
        >>> change = PastedPixels(torch.ones(1, 1, 1), torch.ones(1, 1, dtype=torch.bool), top=0, left=1)
        >>> found = Suspicion(
        ...     class_index=4, class_name="4", kind="copies", what="the same pixel", share=0.5, share_elsewhere=0.0,
        ...     elsewhere="3", counts=(32, 64, 0, 64), p_value=1e-9, effect=1.3, lower_bound=1.1, control=0.1,
        ...     control_bound=1.0, statistic="effect", is_used=True, region=None, bearers=("17",), change=change,
        ... )
        >>> print(found.sentence)
        the same pixel: in 50% of class 4 (32 of 64) and in no other class; the model uses it: \
inserted into other classes, it shifts them towards 4 by 1.30 sd
        >>> found.to_cue().insert(torch.zeros(1, 1, 1, 2))
        tensor([[[[0., 1.]]]])
    """

    class_index: int
    class_name: str
    kind: str
    what: str
    share: float
    share_elsewhere: float
    elsewhere: str
    counts: tuple[int, int, int, int]
    p_value: float
    effect: float
    lower_bound: float
    control: float
    control_bound: float
    statistic: str
    is_used: bool
    region: Tensor | None = field(repr=False)
    bearers: tuple[str, ...]
    change: Change
    exhibit: Exhibit | None = field(default=None, repr=False)
    first_seen: int | None = None
    known_as: str | None = None
    is_conclusive: bool = True

    @property
    def sample_ids(self) -> tuple[str, ...]:
        """Ids of a few samples that bear the cue, the most typical first."""
        return self.bearers[:_N_SHOWN_IDS]

    @property
    def name(self) -> str:
        """A name for tags and directories: ``copies-4-17``, of the kind, the class and the first bearer."""
        if self.known_as is not None:
            # Which bearer is the first may change from one evaluation to the next; a tag must not.
            return self.known_as
        parts = (self.kind, self.class_name, *self.bearers[:1])
        return "-".join(
            "".join(sign if sign.isascii() and sign.isalnum() else "_" for sign in str(part)) for part in parts
        )

    @property
    def sentence(self) -> str:
        """What was found, in plain words."""
        bearing, size, *_ = self.counts
        if self.is_used:
            use = (
                f"the model uses it: inserted into other classes, it shifts them towards {self.class_name} by "
                f"{self.effect:.2f} sd"
            )
        elif not math.isfinite(self.effect):
            use = "unclear whether the model uses it, because its outputs are not finite"
        elif not self.is_conclusive:
            use = (
                f"inserted into other classes, it shifts them towards {self.class_name} by {self.effect:.2f} sd, but "
                "the class may differ by nature"
            )
        else:
            use = "the model was not found to use it"
        return (
            f"{self.what}: in {self.share:.0%} of class {self.class_name} ({bearing} of {size}) and "
            f"{self.elsewhere_in_words}; {use}"
        )

    @property
    def elsewhere_in_words(self) -> str:
        """How often it is in other classes, as part of a sentence: ``in at most 2% of another (dog: 1 of 64)``."""
        _, _, others, size = self.counts
        if not others:
            return "in no other class"
        return f"in at most {self.share_elsewhere:.0%} of any other class ({self.elsewhere}: {others} of {size})"

    def to_cue(self) -> Any:
        """Return the cue, for a :class:`~saliency_callbacks.callbacks.cue.alarm.CueAlarm` that watches it."""
        return self.change.to_cue(self.name)

    def is_same_as(self, other: Suspicion) -> bool:
        """Tell whether two suspicions are of one cue: the same class and kind, and half of the fewer bearers shared."""
        same_kind = (self.class_index, self.kind) == (other.class_index, other.kind)
        return same_kind and self.shares_bearers(other)

    def shares_bearers(self, other: Suspicion) -> bool:
        """Tell whether half of the bearers of the one with fewer are bearers of the other."""
        fewer = min(len(self.bearers), len(other.bearers))
        return fewer > 0 and len({*self.bearers} & {*other.bearers}) >= _SAME * fewer
