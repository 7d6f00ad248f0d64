"""What is said to the person who trains: once, on rank zero."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from saliency_callbacks.callbacks.runtime import packages
from saliency_callbacks.callbacks.runtime.observation import Moment
from saliency_callbacks.errors import ConfigurationError, RankError, SaliencyWarning

__all__ = ["failures", "tell", "tell_that_training_had_ended", "warn", "warn_of_late_start", "warn_of_no_probe"]

# The frames of this file and of Lightning's own function, so that a warning names the line it is about.
_FRAMES = 5


def tell(message: str) -> None:
    """Say something that is no reason to worry."""
    packages.rank_zero_info(message)


def warn(message: str, category: type[Warning] = SaliencyWarning) -> None:
    """Warn of something; the training goes on."""
    packages.rank_zero_warn(message, stacklevel=_FRAMES, category=category)


def warn_of_late_start() -> None:
    """Say that the untrained model is not observed."""
    warn(
        "the validation dataloader does not exist before training, so the untrained model is not observed; with "
        "Trainer(num_sanity_val_steps=1) it does. What compares with an earlier observation is logged from the second "
        "one on"
    )


def warn_of_no_probe(source: str) -> None:
    """Say that there is no data to take a probe from."""
    warn(
        f"nothing is observed: there is no {source} dataloader here to take the probe from; fit before, or use "
        "probe=Probe.from_tensors(inputs, labels)"
    )


@contextmanager
def failures(moment: Moment, *, on_error: str, is_early: bool) -> Iterator[None]:
    """Turn what fails at a moment into a warning, so that it never reaches the training.

    Args:
        moment: When this is.
        on_error: ``"raise"`` to let everything through.
        is_early: Whether no training is lost by an error, so that a wrong configuration is one.

    Raises:
        RankError: If the ranks are out of sync, so that the training cannot go on.
        ConfigurationError: Where ``is_early``.
    """
    try:
        yield
    except Exception as error:
        is_mistake = is_early and isinstance(error, ConfigurationError)
        if is_mistake or isinstance(error, RankError) or on_error == "raise":
            raise
        _warn_of_failure(moment, error)


def _warn_of_failure(moment: Moment, error: Exception) -> None:
    """Say that an observation failed."""
    what = "the end-of-training summary" if moment.stage == "final" else f"the observation of epoch {moment.epoch}"
    warn(
        f"{what} is skipped ({type(error).__name__}: {error}); the training goes on. Use on_error='raise' to see where "
        "it comes from"
    )


def tell_that_training_had_ended(name: str) -> None:
    """Say why a run that goes on from a finished one observes nothing."""
    tell(
        f"{name}: the checkpoint is of a training that had ended, so nothing is observed. What it found is in the "
        "directory of that run; trainer.validate observes the model as it is"
    )
