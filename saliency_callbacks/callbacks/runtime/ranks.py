"""What the processes of a training do together: agree on errors, share the work, and put it together again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from saliency_callbacks import errors
from saliency_callbacks.callbacks.runtime import notices
from saliency_callbacks.callbacks.runtime.collectives import Collectives
from saliency_callbacks.engine.explanation import Explanation, Unscaled
from saliency_callbacks.engine.logits import run_logits
from saliency_callbacks.engine.outputs import Outputs, run_outputs
from saliency_callbacks.engine.pins import run_pins
from saliency_callbacks.engine.run import run_engine
from saliency_callbacks.engine.settings import Settings, count_samples
from saliency_callbacks.errors import ExternalMethodError, RankError, SaliencyError
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.targets.named import NamedTarget
from saliency_callbacks.targets.selectors import Target

__all__ = ["ALONE", "Ranks", "Share", "share_of"]

_Value = TypeVar("_Value")
_Read = TypeVar("_Read", ProbeBatch, ProbeBatch | None)

# How long a rank that has failed waits for the others where every forward is a collective, so that they either fail in
# the same place or never come.
_PATIENCE = timedelta(minutes=1)


@dataclass(frozen=True)
class Share:
    """The part that one rank has in a number of samples.

    Args:
        rows: What the rank runs: equally many samples on every rank, as under FSDP2 every forward is a collective.
        own: What is kept of it; empty where there are fewer samples than ranks.
    """

    rows: range
    own: range

    def kept(self, values: Tensor) -> Tensor:
        """Return of ``values`` of ``rows`` those of ``own``."""
        return values[self.own.start - self.rows.start : self.own.stop - self.rows.start]


def share_of(n_samples: int, size: int, rank: int) -> Share:
    """Return the part of one of ``size`` ranks in ``n_samples``, each of which is the own of exactly one.

    Example:
        >>> [share_of(5, 2, rank) for rank in range(2)]
        [Share(rows=range(0, 3), own=range(0, 3)), Share(rows=range(2, 5), own=range(3, 5))]
    """
    length = -(-n_samples // size)
    begin = min(rank * length, n_samples)
    start = min(begin, n_samples - length)
    return Share(range(start, start + length), range(begin, min(begin + length, n_samples)))


class Ranks:
    """The ranks of a training. Unless it says otherwise, a method must be called on all of them.

    Args:
        collectives: How they speak with each other; ``None`` for a single process.
        shards_probe: Whether each rank explains a part of the samples, instead of all.
    """

    def __init__(self, collectives: Collectives | None = None, *, shards_probe: bool = False) -> None:
        self.collectives = collectives
        self.size = 1 if collectives is None else collectives.size
        self.number = 0 if collectives is None else collectives.number
        self.shards_probe = shards_probe and self.shards

    @property
    def is_main(self) -> bool:
        """Whether this is rank zero, which alone writes; no collective."""
        return self.number == 0

    @property
    def shards(self) -> bool:
        """Whether each rank can run samples of its own: the ranks of tensor parallelism must all run the same."""
        return self.size > 1 and self._others.has_own_data

    @property
    def is_lockstep(self) -> bool:
        """Whether every forward is a collective, so that no rank can run one alone."""
        return self.size > 1 and self._others.has_sharded_weights

    @property
    def _others(self) -> Collectives:
        assert self.collectives is not None, "one that is alone has nobody to ask"
        return self.collectives

    @contextmanager
    def together(self) -> Iterator[None]:
        """Raise on every rank what is raised on one, so that all of them go the same way.

        Raises:
            Exception: The error itself where it was raised; elsewhere one of the same type, if that is ours, or a
                RuntimeError.
            RankError: If the ranks cannot be brought together again.
        """
        if self.size == 1:
            yield
            return
        own: Exception | None = None
        try:
            yield
        except RankError:
            raise
        except Exception as error:
            own = error
        if self._all_fine(own):
            return
        report = next(filter(None, self._others.from_all(None if own is None else _report(own, self))))
        if own is not None and _report(own, self) == report:
            raise own
        raise _reported(report) from own

    def _all_fine(self, own: Exception | None) -> bool:
        is_lockstep = own is not None and self._others.has_sharded_weights
        try:
            return self._others.do_all(own is None, patience=_PATIENCE if is_lockstep else None)
        except Exception as error:
            cause = error if own is None else own
            raise RankError(
                f"rank {self.number} ({type(cause).__name__}: {cause}) and the other ranks are out of sync: one rank "
                "failed or ended while others waited for it in a collective, so training cannot continue. The cause "
                "is the first error reported by any rank"
            ) from cause

    def share(self, n_samples: int) -> Share:
        """Return what this rank has to do of ``n_samples``; no collective."""
        return share_of(n_samples, self.size, self.number)

    def from_zero(self, value: _Value) -> _Value:
        """Return rank zero's ``value``."""
        return value if self.size == 1 else self._others.from_zero(value)

    def from_all(self, value: _Value) -> Sequence[_Value]:
        """Return every rank's ``value``, in order."""
        return [value] if self.size == 1 else self._others.from_all(value)

    def gathered(self, values: Tensor, n_samples: int, *, dim: int = 0) -> Tensor:
        """Return all samples' values, on the CPU, from those of the rows of each rank's share."""
        parts = self._others.gathered(values.movedim(dim, 0))
        shares = [share_of(n_samples, self.size, rank) for rank in range(self.size)]
        return torch.cat([share.kept(part) for share, part in zip(shares, parts, strict=True)]).movedim(0, dim)

    def agreed(self, probe: _Read) -> _Read:
        """Return a probe that is the same on all ranks: rank zero's, where they have read different ones, or none."""
        fingerprint = None if probe is None else probe.fingerprint
        if self.size == 1 or self._others.do_all(fingerprint == self.from_zero(fingerprint)):
            return probe
        notices.warn(
            "different probes",
            "the ranks have read different probes (each has its own dataset, or one that varies between reads); all "
            "ranks explain the probe of rank zero",
        )
        return self.from_zero(probe)

    def settings(self, settings: Settings, n_samples: int) -> Settings:
        """Return settings for the samples that this rank explains; no collective."""
        if self.size > 1:
            # One rank that runs more often than the others would leave them waiting in a collective.
            settings = replace(settings, back_off=None)
        if self.is_lockstep:
            settings = replace(settings, on_any_rank=self._on_any)
        return replace(settings, samples=self.share(n_samples).rows) if self.shards_probe else settings

    def explain(self, model: nn.Module, inputs: Any, settings: Settings, targets: Sequence[Target]) -> Explanation:
        """Explain a batch, as :func:`~saliency_callbacks.engine.run_engine` does."""
        with self.together():
            # Only who shares the work has to know how much there is.
            n_samples = count_samples(inputs, settings) if self.shards_probe else 0
            found = run_engine(model, inputs, self.settings(settings, n_samples), targets)
        return self.whole(found, n_samples)

    def known_everywhere(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return those of a rank's names that all ranks have, in its order; maybe none."""
        own = tuple(names)
        return _in_all(own, self.from_all(own))

    def methods_everywhere(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return those of a rank's methods that all ranks have: another library's may have failed on one rank only.

        Raises:
            ExternalMethodError: If none is left, on all ranks.
        """
        own = tuple(names)
        everyone = self.from_all(own)
        found = _in_all(own, everyone)
        if not found:
            listed = "; ".join(f"rank {rank}: {', '.join(others)}" for rank, others in enumerate(everyone))
            raise ExternalMethodError(
                f"there is no method that found maps on all ranks ({listed}); expected at least one. Each warning "
                "above says why a method failed; add a built-in method, or explain all samples on every rank, "
                "compute=Compute(shard_probe=False)"
            )
        return found

    def whole(self, found: Explanation, n_samples: int) -> Explanation:
        """Return what was found of all samples, from what each rank has explained, by the methods that all have."""
        if self.size == 1:
            return found
        everywhere = self.methods_everywhere(found.maps[0])
        maps = [{name: parts[name] for name in everywhere} for parts in found.maps]
        costs = {name: cost for name, cost in found.costs.items() if name in everywhere}
        if not self.shards_probe:
            return replace(found, maps=tuple(maps), costs=costs)
        return replace(
            found,
            maps=tuple({name: self._whole(part, n_samples) for name, part in parts.items()} for parts in maps),
            logits=None if found.logits is None else self.gathered(found.logits, n_samples),
            costs=costs,
        )

    def logits(self, model: nn.Module, inputs: Any, settings: Settings) -> Tensor:
        """Return the class scores of a batch ``[N, classes]`` on the CPU, bit by bit the same on all ranks."""
        with self.together():
            # Only who shares the work has to know how much there is.
            n_samples = count_samples(inputs, settings) if self.shards_probe else 0
            found = run_logits(model, inputs, self.settings(settings, n_samples)).cpu()
        return self.gathered(found, n_samples) if self.shards_probe else self.from_zero(found)

    def outputs(self, model: nn.Module, inputs: Any, settings: Settings) -> Outputs:
        """Return what the model returns of all samples, as :func:`~saliency_callbacks.engine.run_outputs` does."""
        with self.together():
            return run_outputs(model, inputs, settings if self.size == 1 else replace(settings, back_off=None))

    def pins(self, model: nn.Module, inputs: Any, settings: Settings, target: NamedTarget) -> dict[str, Tensor]:
        """Return what a target finds of all samples, as :func:`~saliency_callbacks.engine.pins.run_pins` does."""
        with self.together():
            found = run_pins(model, inputs, settings if self.size == 1 else replace(settings, back_off=None), target)
        return self.from_zero(found)

    def all_samples(self, settings: Settings, n_samples: int) -> Callable[[Tensor], Tensor]:
        """Return what makes of values ``[…, M]`` of this rank's samples those of all, ``[…, N]``."""
        return lambda values: self.gathered(values, n_samples, dim=-1) if settings.samples is not None else values

    def _on_any(self, are_true: Tensor) -> Tensor:
        found = self._others.gathered(are_true)
        return torch.stack(found).any(dim=0).to(are_true.device)

    def _whole(self, part: Unscaled, n_samples: int) -> Unscaled:
        def gathered(values: Tensor) -> Tensor:
            return self.gathered(values, n_samples)

        extras = {name: gathered(values) for name, values in part.raw.extras.items()}
        return replace(
            part,
            raw=replace(part.raw, values=gathered(part.raw.values), extras=extras),
            clean=part.clean._replace(target=gathered(part.clean.target), score=gathered(part.clean.score)),
            counted=None if part.counted is None else gathered(part.counted),
        )


ALONE = Ranks()
"""A single process."""

_Report = tuple[int, str, str]


def _report(error: Exception, ranks: Ranks) -> _Report:
    """Return where an error was raised first, the name of its type, and its message."""
    known: Mapping[str, Any] = vars(error)
    report: _Report = known.get("first_report") or (ranks.number, type(error).__name__, str(error))
    return report


def _reported(report: _Report) -> Exception:
    rank, kind, message = report
    ours = getattr(errors, kind, None)
    error: Exception = RuntimeError(f"{kind} on rank {rank}: {message}")
    if isinstance(ours, type) and issubclass(ours, SaliencyError):
        error = ours(f"on rank {rank}: {message}")
    # So that it is told once, however many agreements it passes on its way.
    vars(error)["first_report"] = report
    return error


def _in_all(own: Sequence[str], everyone: Sequence[Sequence[str]]) -> tuple[str, ...]:
    return tuple(name for name in own if all(name in others for others in everyone))
