"""Random copies that are explained once in a run, where they do not depend on the trained weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from saliency_callbacks.callbacks.randomization.settings import Draws
from saliency_callbacks.callbacks.randomization.trial import Trial, run_anew
from saliency_callbacks.callbacks.runtime import notices
from saliency_callbacks.callbacks.runtime.ranks import Ranks
from saliency_callbacks.capture.weights.layers import KnownLayers, WeightLayer
from saliency_callbacks.engine.settled import settled
from saliency_callbacks.randomization.copies import Conditions, RandomCopies, take_stamp
from saliency_callbacks.randomization.result import RandomizationResult
from saliency_callbacks.randomization.states import Reference, explain_reference, weight_layers
from saliency_callbacks.scores.randomization import is_certain
from saliency_callbacks.targets.multi_label import MultiLabels
from saliency_callbacks.targets.named import NamedTarget

__all__ = ["CopyKeeping"]

# 5 copies make 10 pairs, enough for a standard error of the floor. That of 20 is about half as large; a verdict that is
# still open then is close to a limit, and hardly worth more memory.
_FEWEST = 5
_MOST = 20
# Adding 3 at a time comes from 5 to 20 in five steps, and explains at most 2 copies more than are needed.
_MORE = 3
_MIB = 2**20


@dataclass(frozen=True, eq=False)
class _Explained:
    """The trained model of a trial, explained, and what its copies have to be like."""

    trial: Trial
    inputs: Any
    layers: tuple[WeightLayer, ...]
    reference: Reference
    fresh: RandomCopies

    @classmethod
    def now(cls, trial: Trial, draws: Draws, known: KnownLayers) -> _Explained:
        inputs = trial.inputs
        settings = settled(trial.model, inputs, trial.settings, trial.target)
        layers = known.of(trial.model, lambda: weight_layers(trial.model, inputs, settings))
        reference = explain_reference(
            trial.model,
            inputs,
            settings,
            trial.target,
            trial.similarities,
            random_logit=draws.random_logit,
            explanation=trial.explanation,
        )
        trial.progress(1, 1)
        conditions = Conditions.of(reference, trial.inputs_name, trial.redraw)
        stamp = take_stamp(trial.model, inputs, reference, layers, trial.redraw)
        return cls(trial, inputs, layers, reference, RandomCopies(conditions, stamp))

    def extended(self, copies: RandomCopies, n_draws: int) -> RandomCopies:
        trial = self.trial
        return copies.extended(trial.model, self.inputs, self.reference, self.layers, n_draws, trial.progress)


class CopyKeeping:
    """Tests a model against random copies, and keeps what is compared of them from one test to the next.

    Of it only ``n_copies`` is for a checkpoint, and nothing of the copies in a duplicate or pickle: a run that goes on
    explains them once more, with the same result.

    Args:
        draws: Which copies there are.
        name: Of the callback, for what is said.

    Attributes:
        n_copies: After a test, see :class:`~saliency_callbacks.callbacks.randomization.state.CopiesState`.
    """

    def __init__(self, draws: Draws, name: str) -> None:
        self._draws = draws
        self._name = name
        self.n_copies: int | None = None
        self._copies: RandomCopies | None = None
        self._layers = KnownLayers()
        # What was seen to change with the trained weights.
        self._dependence: str | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_copies": None}

    @property
    def _is_auto(self) -> bool:
        return not isinstance(self._draws.n_draws, int)

    def test(self, trial: Trial, asked: Any, n_copies: int | None = None) -> RandomizationResult:
        """Test a model; all ranks must call it.

        Args:
            trial: What is tested.
            asked: The target that was asked for.
            n_copies: What this was after the last test, of an interrupted run, too.
        """
        self.n_copies = n_copies
        if n_copies == 0 and self._dependence is None:
            self._dependence = "they were found to depend on the trained weights earlier in the run"
        obstacle = self._obstacle(trial, asked) or self._dependence
        # What a target has not found yet, it may have at the next test.
        is_fixed = not isinstance(trial.target, NamedTarget) or trial.target.is_fixed
        if obstacle is None and is_fixed:
            result = self._against_kept(trial)
            if result is not None:
                return result
            obstacle = self._dependence
        if self._draws.max_mib > 0 and obstacle is not None:
            message = f"{self._name}: the random copies are explained anew at every test, because {obstacle}"
            notices.tell_once(("copies anew", self._name), message)
        if self._is_auto and self._dependence is not None:
            self.n_copies = 0
        n_draws = _FEWEST if self._is_auto else int(self._draws.n_draws)
        return run_anew(trial, order=self._draws.order, n_draws=n_draws, random_logit=self._draws.random_logit)

    def _obstacle(self, trial: Trial, asked: Any) -> str | None:
        """Return why copies cannot be kept, as far as the settings tell."""
        if self._draws.max_mib == 0:
            return "max_mib=0"
        if self._draws.order != "full":
            return f"with order={self._draws.order!r}, they also contain trained weights"
        if trial.redraw == "permute":
            return "randomize='permute' derives them from the trained weights"
        if asked == "predicted":
            return "with target='predicted', the explained classes may differ at every test"
        if callable(trial.target) and not isinstance(trial.target, MultiLabels | NamedTarget):
            return "a callable target may return different scores at every test"
        return None

    def _against_kept(self, trial: Trial) -> RandomizationResult | None:
        """Return ``None`` where the copies turn out to depend on the trained weights."""
        ranks = trial.ranks
        with ranks.together():
            explained = _Explained.now(trial, self._draws, self._layers)
            changes = self._changes(explained.fresh)
        changed, dependences, kept = zip(*ranks.from_all((*changes, self._n_kept)), strict=True)
        self._dependence = next(filter(None, dependences), None)
        self._drop_where_changed(changed, kept)
        if self._dependence is not None:
            self._copies = None
            return None
        copies, result = self._compared(explained, self._copies or explained.fresh)
        self._keep(copies, ranks)
        return result

    @property
    def _n_kept(self) -> int:
        return 0 if self._copies is None else len(self._copies.maps)

    def _drop_where_changed(self, changed: Sequence[str | None], kept: Sequence[int]) -> None:
        """Keep the copies only where all ranks can, and have equally many, as they explain them together."""
        what = next(filter(None, changed), None)
        if what is None and len(set(kept)) > 1:
            what = "the number of copies kept by one process"
        if what is not None:
            self._copies = None
            notices.tell(f"{self._name}: the random copies are explained anew: {what} changed")

    def _changes(self, now: RandomCopies) -> tuple[str | None, str | None]:
        """Return what has changed since the copies were explained: around them, and in them."""
        if self._copies is None:
            return None, None
        changed = self._copies.conditions.change(now.conditions)
        return changed, None if changed is not None else self._copies.stamp.change(now.stamp)

    def _compared(self, explained: _Explained, copies: RandomCopies) -> tuple[RandomCopies, RandomizationResult]:
        """Return as many copies as are needed, and the result of the test."""
        trial, ranks = explained.trial, explained.trial.ranks
        n_before = self.n_copies or 0
        n_draws = max(_FEWEST, len(copies.maps)) if self._is_auto else int(self._draws.n_draws)
        while True:
            with ranks.together():
                copies = explained.extended(copies, n_draws)
                part = copies.compared(explained.reference, explained.fresh.stamp.unchanged)
            result = trial.whole(part)
            if not self._is_auto or n_draws >= _MOST:
                return copies, result
            is_decided = n_draws >= n_before and _is_decided(result, copies)
            n_draws = n_before if n_draws < n_before else min(n_draws + _MORE, _MOST)
            # Devices may round differently.
            if ranks.from_zero(is_decided or not self._fits(copies, n_draws)):
                return copies, result

    def _keep(self, copies: RandomCopies, ranks: Ranks) -> None:
        n_draws, mib = len(copies.maps), copies.n_bytes / _MIB
        if self._is_auto:
            self.n_copies = n_draws
        if not all(ranks.from_all(copies.are_complete)):
            # What failed on some copies is to be tried again.
            self._copies = None
            return
        if ranks.from_zero(self._fits(copies, n_draws)):
            self._copies = copies
            told = (
                f"the {n_draws} random copies are explained only once; keeping their maps for later tests takes "
                f"{mib:.2g} MiB"
            )
        else:
            told = (
                f"the random copies are explained anew at every test, because keeping the maps of {n_draws} copies "
                f"would take {mib:.2g} MiB, more than Draws(max_mib={self._draws.max_mib:g}) allows"
            )
        notices.tell_once(("copies kept", self._name), f"{self._name}: {told}")

    def _fits(self, copies: RandomCopies, n_draws: int) -> bool:
        return copies.n_bytes / len(copies.maps) * n_draws <= self._draws.max_mib * _MIB


def _is_decided(result: RandomizationResult, copies: RandomCopies) -> bool:
    """Return whether more copies would hardly change a verdict."""
    name = result.similarities[0]
    return all(
        is_certain(result.last_values(method), result.floors[name][method], copies.pairs, result.ceiling(method))
        for method in result.methods
    )
