"""A report of a run, as soon as it has ended."""

from __future__ import annotations

from importlib import import_module

from saliency_callbacks.callbacks.base import ObservingCallback
from saliency_callbacks.callbacks.runtime import notices
from saliency_callbacks.callbacks.runtime.arguments import OnError
from saliency_callbacks.callbacks.runtime.host import Host
from saliency_callbacks.callbacks.runtime.sink_writer import SinkWriter
from saliency_callbacks.config.checks import checked_flag
from saliency_callbacks.config.secrets import without_secrets
from saliency_callbacks.errors import ConfigurationError

__all__ = ["checked_report", "write_report"]


def checked_report(report: bool, *, save_maps: bool) -> bool:
    """Return ``report``.

    Raises:
        ConfigurationError: If it is neither true nor false, or nothing is kept on disk that a report could be made of.
    """
    checked_flag("report", report)
    if report and not save_maps:
        raise ConfigurationError(
            "report=True with storage.save_maps=False; expected storage=Storage(save_maps=True), because the report "
            "is made from the maps on disk"
        )
    return report


def write_report(host: Host, writer: SinkWriter, title: str, on_error: OnError) -> None:
    """Write one HTML file of all that the run's callbacks kept, say where it is, and give it to the loggers.

    Only rank zero writes.

    Args:
        host: The run; what its callbacks have observed is written first.
        writer: Where the callback writes.
        title: Its tag.
        on_error: ``"raise"`` to let a failure through, else it is a warning.

    Raises:
        Exception: Whatever the report or a sink raises, with ``on_error="raise"``.
    """
    observing = [callback for callback in host.callbacks if isinstance(callback, ObservingCallback)]
    for callback in observing:
        callback.drain()
    directory = writer.run_directory
    if not host.ranks.is_main or host.is_dry_run or directory is None:
        return
    try:
        # Late: most runs need no report, and the template engine is none of a training's business.
        path = import_module("saliency_callbacks.report").write_report([directory])
    except Exception as error:
        if on_error == "raise":
            raise
        notices.warn("no report", f"the report could not be written ({type(error).__name__}: {without_secrets(error)})")
        return
    elsewhere = [callback.identity for callback in observing if callback.kept_in not in (None, directory)]
    left_out = f"; it does not include {', '.join(elsewhere)}, which writes to another directory" if elsewhere else ""
    notices.tell(f"the report of this run is {path}{left_out}")
    writer.add_report(path, title)
