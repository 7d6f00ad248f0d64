"""Runs → one HTML file that contains its data, style and script."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from os import PathLike
from pathlib import Path

from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.report.comparison import check_comparable
from saliency_callbacks.report.media import Embedded
from saliency_callbacks.report.page import render_page
from saliency_callbacks.report.payload import payload_of
from saliency_callbacks.report.pictures.sprites import choose_quality
from saliency_callbacks.report.run_contents import Contents, read_contents
from saliency_callbacks.report.runs import RunDirectory, read_run, short_names
from saliency_callbacks.sinks.addresses import fetched, is_remote
from saliency_callbacks.sinks.disk.atomic import replace_file

__all__ = ["report_page", "write_report"]

_ATTEMPTS = 4
_MEGABYTE = 1_000_000


def write_report(
    runs: Sequence[str | PathLike[str]], output: str | PathLike[str] | None = None, *, max_megabytes: float = 15
) -> Path:
    """Write what one run found, or two runs side by side, as one self-contained HTML file.

    Observations that are damaged or incomplete are left out, and the report says so. Maps are stored as large as
    ``max_megabytes`` allows.

    Args:
        runs: One or two directories, each what a Trainer's run left (``lightning_logs/version_0``) or one of
            DiskSink's, or addresses of such, as ``s3://bucket/runs/version_0-3fa94c1d22b7``. Two must have the same
            probe.
        output: Where to write; by default ``report.html`` in the first directory, or here if that is at an address.
        max_megabytes: Largest size of the file, in units of 10^6 bytes.

    Returns:
        The path of the report.

    Raises:
        ConfigurationError: If there are not one or two runs, nothing in one can be read, their probes differ, the
            file cannot be made small enough, or it cannot be written.

    Example:
        >>> import tempfile
        >>> from saliency_callbacks.sinks import DiskSink
        >>> from saliency_callbacks.types import Snapshot
        >>> sink = DiskSink(tempfile.mkdtemp())
        >>> sink.write(Snapshot(epoch=0, step=10, stage="fit", attributions={}, scores={"drift": 0.5}), {})
        >>> write_report([sink.directory]).name
        'report.html'
    """
    if isinstance(runs, str | PathLike) or not 1 <= len(runs) <= 2:
        given = repr(runs) if isinstance(runs, str | PathLike) else f"{len(runs)} directories"
        raise ConfigurationError(f"runs={given}; expected a list of one or two run directories")
    # Beside what it is made of, unless that is at an address.
    beside = Path() if is_remote(runs[0]) else Path(runs[0])
    path = Path(beside, "report.html") if output is None else Path(output)
    path = path.expanduser().absolute()
    if path.is_dir():
        raise ConfigurationError(f"output={str(output)!r} is a directory; expected a file, e.g. report.html in it")
    with ExitStack() as copies:
        found = [read_run(copies.enter_context(fetched(directory))) for directory in runs]
        names = short_names([run.directory for run in found])
        page = report_page([replace(run, name=name) for run, name in zip(found, names, strict=True)], max_megabytes)
    try:
        replace_file(path, page)
    except OSError as error:
        raise ConfigurationError(
            f"{str(path)!r} cannot be written ({error.strerror}). Give another file as `output`"
        ) from error
    return path


def report_page(runs: Sequence[RunDirectory], max_megabytes: float) -> bytes:
    """Return the page of one run, or of two side by side.

    Raises:
        ConfigurationError: If the probes of two runs differ, or the page cannot be made small enough.
    """
    contents = [read_contents(run, max_megabytes * _MEGABYTE / len(runs), runs) for run in runs]
    try:
        check_comparable(contents)
    except ConfigurationError as error:
        raise ConfigurationError(f"{error}, or write a report of each run") from error
    return _fitting_page(contents, max_megabytes)


def _fitting_page(contents: Sequence[Contents], max_megabytes: float) -> bytes:
    limit = max_megabytes * _MEGABYTE
    monitors = [monitor for content in contents for monitor in content.monitors]
    bare = len(render_page(payload_of(contents, Embedded(None))))
    budget = limit - bare
    for _ in range(_ATTEMPTS):
        page = render_page(payload_of(contents, Embedded(choose_quality(monitors, budget))))
        if len(page) <= limit:
            return page
        budget -= 1.1 * (len(page) - limit)
    raise ConfigurationError(
        f"max_megabytes={max_megabytes:g} is too small for this run: even without maps, the report takes "
        f"{bare / _MEGABYTE:.1f} MB; allow at least {2 * bare / _MEGABYTE:.1f}"
    )
