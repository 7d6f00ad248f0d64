"""``saliency-callbacks demo``: the demo."""

from __future__ import annotations

from importlib import import_module

from jsonargparse import ArgumentParser, Namespace

from saliency_callbacks.cli.parsing import PROGRAM, Command, make_parser, tensorboard_line, write_report
from saliency_callbacks.errors import ConfigurationError

__all__ = ["DEMO"]


def _parser() -> ArgumentParser:
    parser = make_parser(
        f"""Train a small network on digits where every 0 bears a sticker, and watch it fall for the sticker.

SaliencyMonitor, RandomizationTest, CueAlarm and ShortcutDiscovery are attached; the last is told nothing of the
sticker. It takes about a minute on a CPU, needs scikit-image, prints what was found, and says where the pictures are.

examples:
  {PROGRAM} demo --epochs 8 --directory /tmp/demo
  {PROGRAM} demo --clean"""
    )
    parser.add_argument("--epochs", type=int, default=8, help="epochs of training, at least 1")
    parser.add_argument("--directory", type=str, default="lightning_logs", help="logs go to demo/version_N in it")
    parser.add_argument("--clean", action="store_true", help="the control: no 0 bears the sticker")
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


DEMO = Command("train a network that falls for a shortcut, and watch it", _parser, _run)
