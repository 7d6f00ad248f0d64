"""What all commands have in common: parsers, and lines that are printed by several."""

from __future__ import annotations

from argparse import RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, DefaultHelpFormatter, Namespace

__all__ = ["PROGRAM", "Command", "make_parser", "tensorboard_line", "write_report"]

PROGRAM = "saliency-callbacks"


class _HelpFormatter(DefaultHelpFormatter, RawDescriptionHelpFormatter):  # type: ignore[misc, unused-ignore]
    """Keep the line breaks of descriptions, in which there are examples."""


@dataclass(frozen=True)
class Command:
    """A command of the program.

    Args:
        help: What it does, in a line.
        parser: Makes the parser of its arguments.
        run: Does it. What it needs is imported there, so that other commands need not wait for it.
    """

    help: str
    parser: Callable[[], ArgumentParser]
    run: Callable[[Namespace], None]


def make_parser(description: str, **settings: Any) -> ArgumentParser:
    """Return a parser without abbreviations, which raises what is wrong."""
    return ArgumentParser(
        description=description,
        formatter_class=_HelpFormatter,
        exit_on_error=False,
        allow_abbrev=False,
        default_env=False,
        **settings,
    )


def write_report(runs: Sequence[str | Path], output: str | None = None, **settings: Any) -> Path:
    """Write a report; see :func:`saliency_callbacks.report.write_report`."""
    path: Path = import_module("saliency_callbacks.report").write_report(runs, output, **settings)
    return path


def tensorboard_line(directory: Path) -> str:
    """Return the command that shows a run."""
    shown = f"'{directory}'" if " " in str(directory) else str(directory)
    return f"tensorboard --logdir {shown} --samples_per_plugin images=1000"
