"""``saliency-callbacks replay``: observations after the fact."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from saliency_callbacks.cli.parsing import PROGRAM, Command, make_parser, tensorboard_line
from saliency_callbacks.config.wording import counted

__all__ = ["REPLAY"]


def _parser() -> ArgumentParser:
    parser = make_parser(
        f"""Observe a training after the fact, from its checkpoints.

CONFIG is a LightningCLI configuration: model (class_path, init_args), data, and a trainer whose `callbacks` include
callbacks of this package; later files override earlier ones. Modules are imported from the current directory. The logs
(TensorBoard, raw maps) are those that the training would have written: same probe, schedule, tags, epochs and steps.
The untrained model is observed as well if there is a checkpoint of step 0, or if the configuration sets a seed
(`seed_everything: 0`) from which the initial weights can be drawn again.

examples:
  {PROGRAM} replay --config lightning_logs/version_0/config.yaml --checkpoints lightning_logs/version_0/checkpoints
  {PROGRAM} replay --config model.yaml configs/full.yaml --checkpoints a.ckpt b.ckpt --output replayed"""
    )
    parser.add_argument("--config", nargs="+", type=str, required=True, help="configuration files of a LightningCLI")
    parser.add_argument(
        "--checkpoints", nargs="+", type=str, required=True, help="checkpoint files, or directories of *.ckpt files"
    )
    parser.add_argument(
        "--output",
        type=str,
        default=None,
        help="new directory for the logs; lightning_logs/replay/version_N by default",
    )
    parser.add_argument(
        "--trust-checkpoints",
        action="store_true",
        help="also read checkpoints that contain more than tensors and plain values; this can run code hidden in them",
    )
    return parser


def _run(given: Namespace) -> None:
    replay = import_module("saliency_callbacks.replay")
    # As `python train.py` would: the user's own modules are here.
    sys.path.insert(0, str(Path.cwd()))
    checkpoints, left_out = replay.find_checkpoints(given.checkpoints, is_trusted=given.trust_checkpoints)
    run = replay.load_run(given.config, given.output)
    for line in left_out:
        print(line)
    if checkpoints[0].global_step > 0 and not run.is_untrained:
        print(
            "the untrained model is not observed: there is no checkpoint of step 0, and the configuration sets no seed"
        )
    done = replay.replay(run.trainer, run.module, checkpoints, datamodule=run.datamodule, is_untrained=run.is_untrained)
    for identity, number in done.observations.items():
        print(f"{identity}: {counted(number, 'observation')} of {counted(len(checkpoints), 'checkpoint')}")
    print(f"logs and raw maps:  {run.directory}")
    print(f"in TensorBoard:     {tensorboard_line(run.directory)}")


REPLAY = Command("observe a training after the fact, from checkpoints", _parser, _run)
