"""``saliency-callbacks demo``: the demo."""

from __future__ import annotations

from importlib import import_module

from jsonargparse import ArgumentParser, Namespace

from saliency_callbacks.cli.parsing import PROGRAM, Command, make_parser, tensorboard_line, write_report
from saliency_callbacks.errors import ConfigurationError

__all__ = ["DEMO"]


def _parser() -> ArgumentParser:
    parser = make_parser(
        f"""Train a small network on digits where every 0 has a sticker, and watch it learn the sticker.

SaliencyMonitor, RandomizationTest, FaithfulnessTest, CueAlarm and ShortcutDiscovery observe the training;
ShortcutDiscovery gets no hint of the sticker. The demo takes about a minute on a CPU, needs scikit-image, and prints
the findings and where the logs are.

examples:
  {PROGRAM} demo --epochs 8 --directory /tmp/demo
  {PROGRAM} demo --clean"""
    )
    parser.add_argument("--epochs", type=int, default=8, help="number of training epochs, at least 1")
    parser.add_argument(
        "--directory",
        type=str,
        default="lightning_logs",
        help="parent directory; logs are written to demo/version_N in it",
    )
    parser.add_argument("--clean", action="store_true", help="control run, in which no 0 has the sticker")
    return parser


def _run(given: Namespace) -> None:
    if given.epochs < 1:
        raise ConfigurationError(f"epochs={given.epochs}; expected a whole number of at least 1")
    result = import_module("saliency_callbacks.demo").run_demo(
        given.directory, epochs=given.epochs, is_patched=not given.clean
    )
    print("", *result.lines, sep="\n")
    print(f"\nlogs and raw maps:  {result.directory}")
    print(f"report:             {write_report([result.directory])}")
    print(f"in TensorBoard:     {tensorboard_line(result.directory)}")


DEMO = Command("train a network that learns a shortcut, and watch it", _parser, _run)
