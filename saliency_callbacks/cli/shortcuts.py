"""``saliency-callbacks shortcuts``: a search for what nobody named, after the fact."""

from __future__ import annotations

import shlex
import sys
from importlib import import_module
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from saliency_callbacks.cli.parsing import PROGRAM, Command, make_parser, write_report
from saliency_callbacks.errors import ConfigurationError

__all__ = ["SHORTCUTS"]


def _parser() -> ArgumentParser:
    parser = make_parser(
        f"""Search the training data of a run for cues that give a class away, and test which of them the model uses.

CONFIG is a LightningCLI configuration, as for `{PROGRAM} replay`: model, data, and trainer. The settings are those of
the ShortcutDiscovery among its `callbacks`, or else the defaults. The ranked list is printed, and written to disk with
a picture of each suspicion and a report.

The search finds pixels that many images of a class share almost exactly, and positions and properties that differ by
class; it then tests which of these the model uses. It cannot tell a planted cue from the object itself. An empty list
does not rule out a shortcut.

example:
  {PROGRAM} shortcuts --config lightning_logs/version_0/config.yaml --checkpoint last.ckpt --output found"""
    )
    parser.add_argument("--config", nargs="+", type=str, required=True, help="configuration files of a LightningCLI")
    parser.add_argument("--checkpoint", type=str, required=True, help="checkpoint file with the weights")
    parser.add_argument(
        "--output", type=str, default=None, help="new output directory; lightning_logs/replay/version_N by default"
    )
    parser.add_argument(
        "--trust-checkpoints",
        action="store_true",
        help="also read a checkpoint that contains more than tensors and plain values; this can run code hidden in it",
    )
    return parser


def _run(given: Namespace) -> None:
    replay = import_module("saliency_callbacks.replay")
    # As `python train.py` would: the user's own modules are here.
    sys.path.insert(0, str(Path.cwd()))
    if Path(given.checkpoint).is_dir():
        raise ConfigurationError(
            f"checkpoint={given.checkpoint!r} is a directory; expected one file, such as last.ckpt in it"
        )
    (checkpoint,), _ = replay.find_checkpoints([given.checkpoint], is_trusted=given.trust_checkpoints)
    run = replay.load_run(given.config, given.output)
    found = import_module("saliency_callbacks.replay.shortcuts").search_for_shortcuts(run, checkpoint)
    for rank, one in enumerate(found.suspicions, start=1):
        print(f"{rank}. [{one.name}] {one.sentence}")
    if not found.suspicions:
        print("no shortcut is suspected")
    print(import_module("saliency_callbacks.discovery.words").HONEST_WORDS)
    print(f"\nlist and pictures:  {found.directory}")
    print(f"report:             {write_report([found.directory])}")
    if found.suspicions:
        example = shlex.join([PROGRAM, "dismiss", str(found.directory), found.suspicions[0].name])
        print(f"to dismiss one:     {example}")


SHORTCUTS = Command("search a run's training data for shortcuts that nobody named", _parser, _run)
