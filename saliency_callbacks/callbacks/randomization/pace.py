"""How long a test takes: measured state by state, foretold, shown, and kept within a limit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tqdm import tqdm

from saliency_callbacks.callbacks.randomization.settings import Cascade
from saliency_callbacks.callbacks.runtime.host import Host
from saliency_callbacks.config.wording import counted
from saliency_callbacks.randomization.result import RandomizationResult

__all__ = ["Pace", "describe_cascade", "describe_left_out", "shown"]

_NAMED_AT_MOST = 3


@dataclass
class Pace:
    """The time that each state of the weights takes.

    Args:
        max_seconds: Most seconds for all of them; ``None`` for no limit.
        clock: Seconds, from any start.

    Attributes:
        n_states: How many are done.
    """

    max_seconds: float | None = None
    clock: Callable[[], float] = time.perf_counter
    n_states: int = field(default=0, init=False)
    _start: float = field(default=0.0, init=False)
    _first: float = field(default=0.0, init=False)
    _last: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self._start = self.clock()

    def note(self, done: int, total: int) -> None:
        """Note that one more state is done."""
        self._last = self.clock()
        if self.n_states == 0:
            self._first = self._last
        self.n_states += 1

    @property
    def seconds(self) -> float:
        """How long it took so far, with what came before the first state."""
        return self._last - self._start

    @property
    def seconds_per_state(self) -> float:
        """How long a state takes; the first, which warms up, counts only where it is alone."""
        if self.n_states < 2:
            return self.seconds
        return (self._last - self._first) / (self.n_states - 1)

    def is_over(self, n_states: int) -> bool:
        """Return whether ``n_states`` would take longer than the limit."""
        left = (n_states - self.n_states) * self.seconds_per_state
        return self.max_seconds is not None and self.seconds + left > self.max_seconds


def describe_cascade(settings: Cascade, pace: Pace, n_layers: int) -> str:
    """Return what the cascade at the end of the training will take, going by a test that was made.

    Example:
        >>> pace = Pace(clock=iter([0.0, 1.0, 2.0, 3.0]).__next__)
        >>> for done in range(3):
        ...     pace.note(done, 3)
        >>> print(describe_cascade(Cascade(n_draws=2), pace, n_layers=50))
        the cascade at the end of training will take about 1.7 min (50 layers, 2 draws); limit it with \
Cascade(max_seconds=…), or skip it with Cascade(at_fit_end=False)
    """
    n_states = settings.n_draws * (n_layers + (settings.order == "independent"))
    seconds = n_states * pace.seconds_per_state
    told = f"about {_in_words(seconds)} ({counted(n_layers, 'layer')}, {counted(settings.n_draws, 'draw')})"
    if settings.max_seconds is None:
        fix = "limit it with Cascade(max_seconds=…), or skip it with Cascade(at_fit_end=False)"
        return f"the cascade at the end of training will take {told}; {fix}"
    if seconds <= settings.max_seconds:
        return f"the cascade at the end of training will take {told}"
    return (
        f"the cascade at the end of training will stop after {_in_words(settings.max_seconds)}; all layers would "
        f"take {told}"
    )


def describe_left_out(cascade: RandomizationResult, pace: Pace) -> str:
    """Return what there was no time for in a cascade."""
    n_done, n_left_out = len(cascade.steps), len(cascade.left_out)
    named = ", ".join(map(repr, cascade.left_out[:_NAMED_AT_MOST])) + (", …" if n_left_out > _NAMED_AT_MOST else "")
    return (
        f"the cascade reached max_seconds={pace.max_seconds:g} after {n_done} of "
        f"{counted(n_done + n_left_out, 'layer')} ({pace.seconds:.2g} s); not randomized: {named}"
    )


@contextmanager
def shown(pace: Pace, title: str, host: Host) -> Iterator[Callable[[int, int], None]]:
    """Yield what notes each state in ``pace`` and shows a bar, where the run shows bars.

    Args:
        pace: What is measured.
        title: Written before the bar.
        host: What runs the training.
    """
    with tqdm(desc=title, disable=not host.shows_progress, leave=False, unit="state") as bar:

        def note(done: int, total: int) -> None:
            pace.note(done, total)
            bar.total = total
            bar.update(done - bar.n)

        yield note


def _in_words(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds < 60 else f"{seconds / 60:.1f} min"
