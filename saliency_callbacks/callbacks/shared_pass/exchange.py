"""Where the callbacks of a run find what another has explained at the same moment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Protocol

from saliency_callbacks.callbacks.runtime import notices
from saliency_callbacks.callbacks.runtime.host import Host
from saliency_callbacks.callbacks.runtime.observation import Moment
from saliency_callbacks.callbacks.runtime.schedule import ObservationCost
from saliency_callbacks.callbacks.shared_pass.union import Found, can_join, explain
from saliency_callbacks.callbacks.shared_pass.wish import Wish
from saliency_callbacks.capture.weights.mark import ModelMark, mark_of
from saliency_callbacks.engine.explanation import Explanation
from saliency_callbacks.errors import RankError

__all__ = ["Participant", "SharedPasses"]


class Participant(Protocol):
    """A callback that explains the model."""

    @property
    def identity(self) -> str:
        """What tells it from the others of the run."""

    @property
    def title(self) -> str:
        """What a line about it begins with."""

    @property
    def cost(self) -> ObservationCost:
        """What it makes the training wait."""

    @property
    def is_new(self) -> bool:
        """Whether it has not explained anything yet."""

    def wish_at(self, moment: Moment, host: Host) -> Wish | None:
        """Return what it will want explained at a moment; ``None`` where it does not know yet. No collective."""


@dataclass(frozen=True, eq=False)
class _Kept:
    """What was explained, until those that want it have had their turn.

    Args:
        found: What was explained.
        mark: Of the model that it is of.
        seconds: Who was explained together → what each is charged.
        by: Who was explained alone.
    """

    found: Found
    mark: ModelMark
    seconds: Mapping[str, float] = field(default_factory=dict)
    by: str | None = None


class SharedPasses:
    """What the callbacks of one run explain together; one object for all of them.

    From one moment to the next it is kept who can be explained together; of what was explained, nothing.
    """

    def __init__(self) -> None:
        self._kept: list[_Kept] = []
        self._apart: set[frozenset[str]] = set()
        self._failing: set[str] = set()
        self._swapped: set[frozenset[str]] = set()
        # Pairs that were explained at the same moment, each in its own way, with the same result.
        self._equal: set[frozenset[str]] = set()
        # Those of which the result did not tell that yet.
        self._undecided: set[frozenset[str]] = set()

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_kept": []}

    def release(self) -> None:
        """Forget what was explained: the moment is over."""
        self._kept = []

    def explained(
        self, own: Participant, wish: Wish, everyone: Sequence[Participant], moment: Moment, host: Host
    ) -> Explanation:
        """Return what ``own`` wants explained, of the samples that this process explains; all ranks must call it.

        Args:
            own: Whose turn it is.
            wish: What it wants.
            everyone: All callbacks that explain, in the order of their turns.
            moment: When this is.
            host: What runs the training.

        Raises:
            SaliencyError: If it cannot be explained.
        """
        if len(everyone) < 2:
            return explain([wish], host.ranks)[0].explanation
        later = _after(own, everyone)
        # Who has failed before this is told of here, and nothing below fails before all have voted.
        with host.ranks.together():
            kept, joining = self._looked_for(own, wish, later, moment, host)
        names = [one.identity for one, _ in joining]
        votes = host.ranks.from_all((kept is not None, names))
        found: Explanation | None = None
        if kept is not None and all(is_kept for is_kept, _ in votes):
            found = kept.found.part_for(wish)
            own.cost.charge(kept.seconds.get(own.identity, 0.0))
        elif joining and all(theirs == names for _, theirs in votes):
            found = self._together(own, wish, joining, host)
        if found is None:
            found = self._alone(own, wish, host, is_kept=any(self._may_look(one, own) for one in later))
        is_shared = bool(self._kept)
        self._kept = [known for known in self._kept if any(self._may_take(one, known) for one in later)]
        # Whoever writes into a map, as a sink may, writes into no other's.
        return found.copied() if is_shared else found

    def _looked_for(
        self, own: Participant, wish: Wish, later: Sequence[Participant], moment: Moment, host: Host
    ) -> tuple[_Kept | None, list[tuple[Participant, Wish]]]:
        """Return what another has explained, or who can be explained together with ``own``."""
        try:
            kept = self._kept_for(own, wish)
            return kept, [] if kept is not None else self._joining(own, wish, later, moment, host)
        except Exception:
            # Whatever cannot be compared is not shared; if it is wrong in itself, explaining it alone says so.
            return None, []

    def _kept_for(self, own: Participant, wish: Wish) -> _Kept | None:
        """Return what another has explained, if that is what is wanted, of the same weights."""
        kept = next((one for one in self._kept if one.found.part_for(wish) is not None), None)
        if kept is None or kept.mark.is_of(wish.model):
            return kept
        # Something changes the weights between the turns, and will do so the next time, too.
        self._swapped |= {frozenset((own.identity, other)) for other in kept.seconds}
        return None

    def _joining(
        self, own: Participant, wish: Wish, later: Sequence[Participant], moment: Moment, host: Host
    ) -> list[tuple[Participant, Wish]]:
        """Return who can be explained together with ``own``."""
        joining: list[tuple[Participant, Wish]] = []
        if own.identity in self._failing:
            return joining
        asked = [(one, wanted) for one, wanted in self._asked(own, later, moment, host) if wanted is not None]
        # Who shares no pass with the first may share one with the next.
        while more := next((one for one in asked if self._can_join(one, [(own, wish), *joining])), None):
            asked.remove(more)
            joining.append(more)
        names = frozenset((own.identity, *(one.identity for one, _ in joining)))
        return [] if names in self._apart else joining

    def _can_join(self, one: tuple[Participant, Wish], others: Sequence[tuple[Participant, Wish]]) -> bool:
        names = [other.identity for other, _ in (one, *others)]
        any_graph = all(frozenset(pair) in self._equal for pair in combinations(names, 2))
        return can_join(one[1], [wanted for _, wanted in others], any_graph=any_graph)

    def _asked(
        self, own: Participant, later: Sequence[Participant], moment: Moment, host: Host
    ) -> Iterator[tuple[Participant, Wish | None]]:
        """Yield those that wait for their turn, with what they will want."""
        at_end = moment.stage == "final"
        served = {name for kept in self._kept for name in kept.seconds}
        weights = host.weights(own, at_end=at_end)
        for one in later:
            is_out = one.identity in served | self._failing or frozenset((own.identity, one.identity)) in self._swapped
            if not is_out and host.weights(one, at_end=at_end) == weights:
                yield one, _wish_of(one, moment, host)

    def _together(
        self, own: Participant, wish: Wish, others: Sequence[tuple[Participant, Wish]], host: Host
    ) -> Explanation | None:
        """Explain the model for several; ``None`` where that fails, so that each has to try alone."""
        names = frozenset((own.identity, *(one.identity for one, _ in others)))
        begin = own.cost.now(host.device)
        try:
            found = explain([wish, *(wanted for _, wanted in others)], host.ranks)
        except RankError:
            raise
        except Exception as error:
            self._apart.add(names)
            titles = ", ".join([own.title, *(one.title for one, _ in others)])
            notices.tell_once(
                ("not together", names),
                f"{titles} are explained separately, because explaining them together fails ({type(error).__name__}: "
                f"{error})",
            )
            return None
        whole = own.cost.now(host.device) - begin
        participants = (own, *(one for one, _ in others))
        seconds = {one.identity: whole * part.explanation.share for one, part in zip(participants, found, strict=True)}
        own.cost.charge(seconds[own.identity] - whole)
        # Also of neighbors: their sinks and subclasses are a person's own.
        mark = mark_of(wish.model)
        self._kept += [_Kept(one, mark, seconds) for one in found]
        return found[0].explanation

    def _alone(self, own: Participant, wish: Wish, host: Host, *, is_kept: bool) -> Explanation:
        try:
            (found,) = explain([wish], host.ranks)
        except Exception as error:
            self._note_failing(own, error)
            raise
        self._failing.discard(own.identity)
        for known in self._kept:
            if known.by is not None:
                self._compare(found, known.found, frozenset((own.identity, known.by)))
        if is_kept:
            self._kept.append(_Kept(found, mark_of(wish.model), by=own.identity))
        return found.explanation

    def _may_look(self, one: Participant, own: Participant) -> bool:
        """Return whether somebody will compare what ``own`` has explained alone, or take it."""
        # Callbacks that have not explained yet do not know what they want.
        return one.is_new or frozenset((own.identity, one.identity)) in self._undecided

    def _may_take(self, one: Participant, known: _Kept) -> bool:
        pair = frozenset((one.identity, known.by or ""))
        return one.is_new or one.identity in known.seconds or pair in self._undecided

    def _compare(self, found: Found, known: Found, pair: frozenset[str]) -> None:
        """Learn from what two have found, each in its own way, whether the way makes a difference."""
        try:
            is_equal = known.is_equal(found) if found.wish.agrees_with(known.wish) else False
        except Exception:
            # What cannot be compared stays apart.
            is_equal = False
        self._undecided.discard(pair)
        if is_equal is None:
            self._undecided.add(pair)
        elif is_equal:
            self._equal.add(pair)

    def _note_failing(self, own: Participant, error: Exception) -> None:
        """Leave out who fails alone, and let the others be explained together again."""
        self._failing.add(own.identity)
        blamed = {names for names in self._apart if own.identity in names}
        if blamed:
            self._apart -= blamed
            notices.tell_once(
                ("failing", own.identity),
                f"{own.title} fails ({type(error).__name__}: {error}); the other callbacks are explained together "
                "without it",
            )


def _after(own: Participant, everyone: Sequence[Participant]) -> Sequence[Participant]:
    place = next((place for place, one in enumerate(everyone) if one is own), len(everyone))
    return everyone[place + 1 :]


def _wish_of(one: Participant, moment: Moment, host: Host) -> Wish | None:
    try:
        return one.wish_at(moment, host)
    except Exception:
        # It meets the same error at its own turn, where it says so.
        return None
