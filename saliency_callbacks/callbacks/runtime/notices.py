"""What is said to the person who trains: each kind of thing once in a run, on rank zero."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from saliency_callbacks.callbacks.runtime import packages
from saliency_callbacks.callbacks.runtime.observation import Moment
from saliency_callbacks.config.secrets import without_secrets
from saliency_callbacks.errors import (
    ConfigurationError,
    ExternalMethodError,
    ObservationError,
    RankError,
    SaliencyWarning,
    is_news,
)

__all__ = [
    "failures",
    "tell",
    "tell_once",
    "tell_that_training_had_ended",
    "warn",
    "warn_of_late_start",
    "warn_of_no_probe",
]

# The frames of this file and of Lightning's own function, so that a warning names the line it is about.
_FRAMES = 5


def tell(message: str) -> None:
    """Say something that is no reason to worry."""
    packages.rank_zero_info(message)


def tell_once(kind: Hashable, message: str) -> None:
    """Say something that is no reason to worry, unless its kind was said before in this run.

    Args:
        kind: As for :func:`warn`.
        message: What is said.
    """
    if is_news(kind):
        tell(message)


def warn(kind: Hashable, message: str, category: type[Warning] = SaliencyWarning) -> None:
    """Warn of something, unless its kind was warned of before in this run; the training goes on.

    Args:
        kind: What it is about, whatever the numbers, epochs and names in the message: all callbacks of a run say it
            once. A tuple where there are several of a kind, such as one for each method.
        message: What is said.
        category: Type of the warning.
    """
    if is_news(kind):
        packages.rank_zero_warn(message, stacklevel=_FRAMES, category=category)


def warn_of_late_start(reason: str, more: str) -> None:
    """Say that the untrained model is not observed, and why."""
    warn(
        "late start",
        f"{reason}, so the untrained model is not observed ({more}). Scores that compare with an earlier observation "
        "are logged from the second observation on",
    )


def warn_of_no_probe(source: str) -> None:
    """Say that there is no data to take a probe from."""
    warn(
        ("no probe", source),
        f"nothing is observed: there is no {source} dataloader to take the probe from. Call `fit` first, or use "
        "probe=Probe.from_tensors(inputs, labels)",
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
        ConfigurationError: Where ``is_early``, unless it is an ExternalMethodError.
        ObservationError: Before a training, as what a model does not allow now it never does.
    """
    try:
        yield
    except Exception as error:
        lasting = ConfigurationError if moment.stage == "validate" else (ConfigurationError, ObservationError)
        # What a method of another library fails at now it may not the next time.
        is_mistake = is_early and isinstance(error, lasting) and not isinstance(error, ExternalMethodError)
        if is_mistake or isinstance(error, RankError) or on_error == "raise":
            raise
        _warn_of_failure(moment, error)


def _warn_of_failure(moment: Moment, error: Exception) -> None:
    """Say that an observation failed."""
    is_summary = moment.stage == "final"
    what = "the end-of-training summary" if is_summary else f"the observation of epoch {moment.epoch}"
    warn(
        ("failure", is_summary, *_origin(error)),
        f"{what} is skipped ({type(error).__name__}: {without_secrets(error)}); training continues. Use "
        "on_error='raise' for the full traceback",
    )


def _origin(error: BaseException) -> tuple[str, ...]:
    """Return what tells one failure from another, whatever the numbers in its message: its type, and where it began."""
    while error.__cause__ is not None:
        error = error.__cause__
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    place = () if frame is None else (frame.tb_frame.f_code.co_filename, str(frame.tb_lineno))
    return (type(error).__name__, *place)


def tell_that_training_had_ended(name: str) -> None:
    """Say why a run that goes on from a finished one observes nothing."""
    tell(
        f"{name}: nothing is observed, because training had already ended when this checkpoint was saved. The "
        "observations are in the directory of that run; trainer.validate observes the model as it is now"
    )
