"""``saliency-callbacks dismiss``: what a person has looked at and knows to be no shortcut."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from saliency_callbacks.cli.parsing import PROGRAM, Command, make_parser
from saliency_callbacks.errors import ConfigurationError

__all__ = ["DISMISS"]


def _parser() -> ArgumentParser:
    parser = make_parser(
        f"""Dismiss a suspected shortcut that you have reviewed, for example because it is the object itself.

The dismissal is stored with the run. Later evaluations and reports of this run, and of neighboring runs on the same
data, leave the suspicion out and only count it.

examples:
  {PROGRAM} dismiss lightning_logs/version_0 copies-4-17
  {PROGRAM} dismiss lightning_logs/version_0 copies-4-17 --undo"""
    )
    parser.add_argument("run", type=str, help="directory of a run with a ShortcutDiscovery")
    parser.add_argument("key", type=str, help="name of the suspicion, as in the list and the report")
    parser.add_argument("--undo", action="store_true", help="undo the dismissal")
    return parser


def _run(given: Namespace) -> None:
    if not Path(given.run).is_dir():
        raise ConfigurationError(f"run={given.run!r} does not exist; expected the directory of a run")
    module = import_module("saliency_callbacks.report.shortcuts.dismissing")
    print((module.restore_suspicion if given.undo else module.dismiss_suspicion)(given.run, given.key))


DISMISS = Command("dismiss a suspected shortcut", _parser, _run)
