"""The program: which commands there are, and what becomes of a mistake.

A mistake in what was asked for is one line on the standard error, and exit code 2.
"""

from __future__ import annotations

import sys
from argparse import ArgumentError
from collections.abc import Mapping, Sequence

from jsonargparse import ArgumentParser

from saliency_callbacks import __version__
from saliency_callbacks.cli.demo import DEMO
from saliency_callbacks.cli.dismiss import DISMISS
from saliency_callbacks.cli.methods import METHODS
from saliency_callbacks.cli.parsing import PROGRAM, Command, make_parser
from saliency_callbacks.cli.replay import REPLAY
from saliency_callbacks.cli.report import REPORT
from saliency_callbacks.cli.shortcuts import SHORTCUTS
from saliency_callbacks.cli.view import VIEW
from saliency_callbacks.errors import ConfigurationError, nearest_names

__all__ = ["build_parser", "main"]

_COMMANDS: Mapping[str, Command] = {
    "demo": DEMO,
    "dismiss": DISMISS,
    "methods": METHODS,
    "replay": REPLAY,
    "report": REPORT,
    "shortcuts": SHORTCUTS,
    "view": VIEW,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        _check_command(given)
        parsed = build_parser().parse_args(given)
        _COMMANDS[parsed.command].run(parsed[parsed.command])
    except (ArgumentError, ConfigurationError) as error:
        print(f"{PROGRAM}: error: {_one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def build_parser() -> ArgumentParser:
    """Return the parser of all commands."""
    parser = make_parser(
        f"""Explain a model during and after training.

examples:
  {PROGRAM} demo
  {PROGRAM} methods
  {PROGRAM} replay --config config.yaml --checkpoints checkpoints/
  {PROGRAM} report lightning_logs/version_0
  {PROGRAM} shortcuts --config config.yaml --checkpoint last.ckpt
  {PROGRAM} view lightning_logs""",
        prog=PROGRAM,
        version=__version__,
    )
    commands = parser.add_subcommands(dest="command", required=True)
    for name, command in _COMMANDS.items():
        commands.add_subcommand(name, command.parser(), help=command.help)
    return parser


def _check_command(given: Sequence[str]) -> None:
    if not given:
        raise ConfigurationError(f"no command was given; expected one of {', '.join(_COMMANDS)}, or --help")
    if not given[0].startswith("-") and given[0] not in _COMMANDS:
        raise ConfigurationError(f"command {given[0]!r} is unknown; {nearest_names(given[0], _COMMANDS)}")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
