"""When to observe."""

from __future__ import annotations

from saliency_callbacks.errors import ConfigurationError

__all__ = ["check_interval", "is_due"]


def check_interval(every_n_epochs: int) -> int:
    """Return a valid interval.

    Raises:
        ConfigurationError: If it is not a positive whole number.
    """
    if isinstance(every_n_epochs, bool) or not isinstance(every_n_epochs, int) or every_n_epochs < 1:
        raise ConfigurationError(f"every_n_epochs={every_n_epochs!r}; expected a whole number of at least 1")
    return every_n_epochs


def is_due(epoch: int, last_observed: int | None, every_n_epochs: int) -> bool:
    """Return whether a validation in ``epoch`` is observed.

    The first validation always is, so that monitored scores exist from the start. All validations of one epoch are
    observed alike (``val_check_interval``), and the interval is counted from the last observation, so that it works
    together with ``check_val_every_n_epoch``.

    Args:
        epoch: The Trainer's epoch, counted from 0.
        last_observed: Epoch of the last observation; ``None`` before the first.
        every_n_epochs: Epochs between two observations.

    Example:
        >>> [is_due(epoch, 0, 2) for epoch in range(4)]
        [True, False, True, True]
    """
    return last_observed is None or epoch == last_observed or epoch - last_observed >= every_n_epochs
