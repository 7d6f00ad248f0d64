"""Which versions made an observation."""

from __future__ import annotations

import platform
from functools import cache
from importlib.metadata import distributions
from typing import Any, Literal

from saliency_callbacks.callbacks.runtime import lightning as host

__all__ = ["Weights", "circumstances", "versions"]

Weights = Literal["raw", "averaged"]


def circumstances(trainer: host.Trainer, callback: host.Callback, *, at_end: bool) -> dict[str, str]:
    """Return under what an observation is made, for its metadata: the precision, and which weights are explained.

    ``weights`` is left out where no callback of Lightning averages any, and outside of a training: the module then has
    whatever weights it was given.

    Args:
        trainer: The Trainer.
        callback: The one of the Trainer's callbacks that observes, in a hook of its own.
        at_end: Whether that hook is ``on_train_end``.
    """
    facts = {"precision": str(trainer.precision)}
    if host.is_training(trainer):
        # The Trainer calls its callbacks in this order, and those that average do so in the hooks that we observe in.
        callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
        own = callbacks.index(callback) if callback in callbacks else len(callbacks)
        found = [
            weights
            for position, other in enumerate(callbacks)
            if (weights := _weights(trainer, other, is_first=position < own, at_end=at_end)) is not None
        ]
        if found:
            facts["weights"] = "averaged" if "averaged" in found else "raw"
    return facts


def _weights(trainer: host.Trainer, averaging: Any, *, is_first: bool, at_end: bool) -> Weights | None:
    """Return which weights one callback leaves in the module; ``None`` where it averages none."""
    # By name: older releases lack one of the classes, and each of the two packages of Lightning has its own.
    names = {kind.__name__ for kind in type(averaging).__mro__}
    if "WeightAveraging" in names:
        # Swapped in when a validation starts, out in `on_validation_epoch_end`, and in for good in `on_train_end`.
        return "averaged" if (is_first if at_end else trainer.validating and not is_first) else "raw"
    if "StochasticWeightAveraging" in names:
        # With BatchNorm it adds an epoch in which nothing is learned, and averages are put in as that starts; without,
        # in `on_train_end` of the last epoch. By then the Trainer has counted on.
        epoch, last = trainer.current_epoch - at_end, averaging.swa_end
        is_over = at_end and is_first and last in (epoch, float("inf"))
        return "averaged" if epoch > last or is_over else "raw"
    return None


_PACKAGES = ("saliency-callbacks", "torch", "lightning", "pytorch-lightning")


@cache
def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that matter to a map, those that are installed."""
    installed = {distribution.name: distribution.version for distribution in distributions()}
    known = {package: installed[package] for package in _PACKAGES if package in installed}
    return {"python": platform.python_version(), **known}
