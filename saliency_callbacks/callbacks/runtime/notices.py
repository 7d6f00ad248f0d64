"""What is said when there is nothing to observe, or an observation fails; the training goes on."""

from __future__ import annotations

from saliency_callbacks.callbacks.runtime import lightning as host
from saliency_callbacks.callbacks.runtime.observation import Moment
from saliency_callbacks.errors import SaliencyWarning

__all__ = ["say_that_training_had_ended", "warn_of_failure", "warn_of_late_start", "warn_of_no_probe"]


def warn_of_late_start() -> None:
    """Say that the untrained model is not observed."""
    _warn(
        "the validation dataloader does not exist before training, so the untrained model is not observed; with "
        "Trainer(num_sanity_val_steps=1) it does. What compares with an earlier observation is logged from the second "
        "one on"
    )


def warn_of_no_probe(source: str) -> None:
    """Say that there is no data to take a probe from."""
    _warn(
        f"nothing is observed: there is no {source} dataloader here to take the probe from; fit before, or use "
        "probe=Probe.from_tensors(inputs, labels)"
    )


def warn_of_failure(moment: Moment, error: Exception) -> None:
    """Say that an observation failed."""
    what = (
        "what is made when the training ends" if moment.stage == "final" else f"the observation of epoch {moment.epoch}"
    )
    _warn(
        f"{what} is skipped ({type(error).__name__}: {error}); the training goes on. Use on_error='raise' to see where "
        "it comes from"
    )


def say_that_training_had_ended(name: str) -> None:
    """Say why a run that goes on from a finished one observes nothing."""
    host.rank_zero_info(
        f"{name}: the checkpoint is of a training that had ended, so nothing is observed. What it found is in the "
        "directory of that run; trainer.validate observes the model as it is"
    )


def _warn(message: str) -> None:
    host.rank_zero_warn(message, category=SaliencyWarning)
