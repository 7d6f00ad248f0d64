"""A report of a run, as soon as it has ended."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from saliency_callbacks.callbacks.base import ObservingCallback, OnError
from saliency_callbacks.callbacks.runtime import lightning as host
from saliency_callbacks.errors import ConfigurationError, SaliencyWarning

__all__ = ["checked_report", "write_report"]


def checked_report(report: bool, *, save_maps: bool) -> bool:
    """Return ``report``.

    Raises:
        ConfigurationError: If nothing is kept on disk that a report could be made of.
    """
    if report and not save_maps:
        raise ConfigurationError(
            "report=True with save_maps=False; expected save_maps=True, as the report is made of what is kept on disk"
        )
    return report


def write_report(trainer: host.Trainer, directory: Path | None, on_error: OnError) -> None:
    """Write one HTML file of all that the Trainer's callbacks kept, and say where it is. Only rank zero writes.

    Args:
        trainer: The Trainer; what its callbacks have observed is written first.
        directory: The run's directory; without one there is no report.
        on_error: ``"raise"`` to let a failure through, else it is a warning.

    Raises:
        Exception: Whatever the report raises, with ``on_error="raise"``.
    """
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, ObservingCallback):
            callback.drain()
    if not trainer.is_global_zero or host.is_dry_run(trainer):
        return
    if directory is None:
        host.rank_zero_warn(
            "there is no report: the run's directory is remote. Use a logger with a local directory, or report=False "
            "to be rid of this warning",
            category=SaliencyWarning,
        )
        return
    try:
        # Late: most runs need no report, and the template engine is none of a training's business.
        path = import_module("saliency_callbacks.report").write_report([directory])
    except Exception as error:
        if on_error == "raise":
            raise
        host.rank_zero_warn(f"there is no report ({type(error).__name__}: {error})", category=SaliencyWarning)
        return
    host.rank_zero_info(f"the report of this run is in {path}")
