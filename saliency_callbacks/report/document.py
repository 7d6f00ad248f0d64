"""Runs → one HTML file that contains its data, style and script."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import files
from os import PathLike
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.report.comparison import check_comparable
from saliency_callbacks.report.payload import payload_of
from saliency_callbacks.report.run_contents import Contents, read_contents
from saliency_callbacks.report.runs import read_run, short_names
from saliency_callbacks.report.sprites import choose_quality
from saliency_callbacks.sinks.disk.atomic import replace_file

__all__ = ["write_report"]

_SCRIPTS = (
    "base/elements", "base/format", "base/data", "base/source", "base/state", "base/place",
    "maps/sprites", "maps/paint", "maps/painting", "maps/tiles",
    "views/grid", "views/sample", "views/strip", "views/compare",
    "parts/charts", "parts/timeline", "parts/controls", "parts/summary", "parts/shortcuts", "parts/keyboard",
    "live/connection", "live/queue", "live/frame", "live/live", "live/chooser", "main",
)  # fmt: skip
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
            DiskSink's. Two must have the same probe.
        output: Where to write; by default ``report.html`` in the first directory.
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
        raise ConfigurationError(f"runs is {given}; expected a list of one or two run directories")
    found = [read_run(directory) for directory in runs]
    names = short_names([run.directory for run in found])
    found = [replace(run, name=name) for run, name in zip(found, names, strict=True)]
    path = Path(runs[0], "report.html") if output is None else Path(output)
    path = path.expanduser().absolute()
    if path.is_dir():
        raise ConfigurationError(f"output={str(output)!r} is a directory; expected a file, e.g. report.html in it")
    contents = [read_contents(run, max_megabytes * _MEGABYTE / len(found)) for run in found]
    check_comparable(contents)
    page = _fitting_page(contents, max_megabytes)
    try:
        replace_file(path, page)
    except OSError as error:
        raise ConfigurationError(
            f"{str(path)!r} cannot be written ({error.strerror}); name another file with output"
        ) from error
    return path


def render_page(payload: dict[str, Any]) -> bytes:
    """Return the page for a payload."""
    assets = files("saliency_callbacks.report") / "assets"
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    template = environment.from_string((assets / "report.html.j2").read_text("utf-8"))
    style = (assets / "report.css").read_text("utf-8")
    parts = "\n".join((assets / f"{name}.js").read_text("utf-8") for name in _SCRIPTS)
    script = f'(() => {{\n"use strict";\n{parts}\n}})();\n'
    page = template.render(
        title=payload["title"],
        # Ours, and allowed by their digests: no other script or style would run.
        style=Markup(style),  # noqa: S704
        script=Markup(script),  # noqa: S704
        style_digest=_digest(style),
        script_digest=_digest(script),
        payload=_embedded(payload),
    )
    return page.encode()


def _fitting_page(contents: Sequence[Contents], max_megabytes: float) -> bytes:
    limit = max_megabytes * _MEGABYTE
    monitors = [monitor for content in contents for monitor in content.monitors]
    bare = len(render_page(payload_of(contents, None)))
    budget = limit - bare
    for _ in range(_ATTEMPTS):
        page = render_page(payload_of(contents, choose_quality(monitors, budget)))
        if len(page) <= limit:
            return page
        budget -= 1.1 * (len(page) - limit)
    raise ConfigurationError(
        f"max_megabytes={max_megabytes:g} is too little for this run: without any map the report takes "
        f"{bare / _MEGABYTE:.1f} MB; allow at least {2 * bare / _MEGABYTE:.1f}"
    )


def _embedded(payload: dict[str, Any]) -> Markup:
    """Return JSON that cannot close the element around it, whatever strings it contains."""
    text = json.dumps(payload, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 - escaped above


def _digest(content: str) -> str:
    return base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
