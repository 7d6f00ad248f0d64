"""``saliency-callbacks report``: the report."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from saliency_callbacks.cli.parsing import PROGRAM, Command, make_parser, write_report
from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.sinks.addresses import is_remote

__all__ = ["REPORT"]


def _parser() -> ArgumentParser:
    parser = make_parser(
        f"""Write one HTML file with everything that a run left on disk, to open in a browser or to send.

examples:
  {PROGRAM} report lightning_logs/version_0
  {PROGRAM} report lightning_logs/version_0 lightning_logs/version_1 -o comparison.html"""
    )
    parser.add_argument("run", type=str, help="directory of a run that contains its maps, or an address")
    parser.add_argument("other", nargs="?", type=str, help="directory or address of a second run, for comparison")
    parser.add_argument(
        "-o", "--output", type=str, default=None, help="output file; report.html in the run's directory by default"
    )
    parser.add_argument("--max-megabytes", type=float, default=15.0, help="maximum file size in MB")
    return parser


def _run(given: Namespace) -> None:
    runs = [run if is_remote(run) else Path(run) for run in (given.run, given.other) if run is not None]
    for run in runs:
        if isinstance(run, Path) and not run.is_dir():
            raise ConfigurationError(f"run={str(run)!r} does not exist; expected the directory of a run")
    path = write_report(runs, given.output, max_megabytes=given.max_megabytes)
    print(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")


REPORT = Command("write one HTML report of a run, or of two side by side", _parser, _run)
