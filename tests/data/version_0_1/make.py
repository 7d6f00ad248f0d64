"""Made ``runs``, ``checkpoints`` and ``expected.json`` beside this file, and is kept as a record of how.

It was run with version 0.1.0 of the package, before its modules moved: imports and constructor arguments are those of
that version. In the root of the repository as it was then, with an empty directory to write to::

    python -m tests.data.version_0_1.make DIRECTORY

Each training is of two epochs, and its checkpoint was saved in the validation of the first. ``expected.json`` holds,
for ``images`` and ``text_inputs`` each:

- ``run``: the scores of every observation in the directory of the run, by the callback's own directory in it, with
  ``null`` for NaN as in the rest of the file;
- ``headlines``: what the report says first;
- ``texts``: the tags of the texts that it shows;
- ``checkpoint``: the keys of each callback's state, by the key of the callback in the checkpoint;
- ``resumed``, ``logged``: the observations of the training that goes on from the checkpoint in another directory, and
  what the Trainer had logged of them when it ended;
- ``replayed``: those of a replay of the checkpoint, after the untrained model.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

import saliency_callbacks
from saliency_callbacks import CueAlarm, Probe, RandomizationTest, SaliencyMonitor, TokenSaliencyMonitor
from saliency_callbacks.probe import PatchCue
from saliency_callbacks.replay import find_checkpoints, replay
from saliency_callbacks.report.contents import read_contents
from saliency_callbacks.report.runs import read_run
from saliency_callbacks.report.words import documents_of, headlines_of
from saliency_callbacks.sinks import read_index
from tests.data.version_0_1 import models


def image_callbacks() -> list[L.Callback]:
    return [
        SaliencyMonitor(
            ["gradient", "grad_cam"], Probe(4, masks=models.bright), target="initial_prediction", on_error="raise"
        ),
        RandomizationTest(["gradient", "grad_cam"], 4, n_draws=2, cascade_draws=2, on_error="raise"),
        CueAlarm(
            PatchCue(models.CUE_BOX),
            1,
            16,
            threshold=0.1,
            patience=2,
            n_bootstrap=100,
            on_alarm="log",
            panel_size=2,
            groups_at_fit_end=True,
            on_error="raise",
        ),
    ]


def image_loggers(run: Path, elsewhere: Path) -> list[Any]:
    """Log to files in the run; a TensorBoard shows the pictures of the maps, so that they are not kept there, too."""
    return [CSVLogger(run, name="", version=""), TensorBoardLogger(elsewhere)]


def text_callbacks() -> list[L.Callback]:
    return [
        TokenSaliencyMonitor(
            ["input_x_gradient", "integrated_gradients"],
            4,
            models.TOKENS,
            bars=None,
            top=3,
            keep_maps=1,
            on_error="raise",
        )
    ]


@dataclass(frozen=True)
class Training:
    """What is trained, and what observes it."""

    name: str
    model: Callable[[], L.LightningModule]
    data: Callable[[], L.LightningDataModule]
    callbacks: Callable[[], list[L.Callback]]
    loggers: Callable[[Path, Path], Any]

    def trainer(self, directory: Path, *more: L.Callback, logger: Any = False) -> L.Trainer:
        L.seed_everything(0, verbose=False)
        return L.Trainer(
            accelerator="cpu",
            devices=1,
            max_epochs=2,
            default_root_dir=directory,
            callbacks=[*self.callbacks(), *more],
            logger=logger,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            log_every_n_steps=1,
        )


TRAININGS = (
    Training("images", models.image_classifier, models.image_data, image_callbacks, image_loggers),
    Training("text_inputs", models.text_classifier, models.text_data, text_callbacks, lambda run, elsewhere: False),
)


class Saver(L.Callback):
    """Save one checkpoint in the validation of the first epoch, as a ``ModelCheckpoint`` does."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not trainer.sanity_checking and trainer.current_epoch == 0:
            trainer.save_checkpoint(self.path)


def observations(run: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the scores in the directory of a run, by the directory of the callback."""
    return {
        index.parent.relative_to(run).as_posix(): [
            {key: entry[key] for key in ("stage", "epoch", "step", "scores")}
            for entry in read_index(index.parent)["observations"]
        ]
        for index in sorted(run.rglob("index.json"))
    }


def report(run: Path) -> dict[str, Any]:
    contents = read_contents(read_run(run), budget=1e6)
    archives = contents.run.archives
    headlines = headlines_of(archives, contents.monitors)
    return {
        "headlines": [{key: headline[key] for key in ("level", "title", "text")} for headline in headlines],
        "texts": [document["tag"] for document in documents_of(archives)],
    }


def make(training: Training, root: Path, elsewhere: Path) -> dict[str, Any]:
    run, path = root / "runs" / training.name, root / "checkpoints" / f"{training.name}.ckpt"
    resumed, replayed = elsewhere / "resumed", elsewhere / "replayed"
    trainer = training.trainer(run, Saver(path), logger=training.loggers(run, elsewhere))
    trainer.fit(training.model(), datamodule=training.data())
    states = torch.load(path, weights_only=True)["callbacks"]
    trainer = training.trainer(resumed)
    trainer.fit(training.model(), datamodule=training.data(), ckpt_path=path, weights_only=True)
    logged = {tag: value.item() for tag, value in sorted(trainer.callback_metrics.items())}
    checkpoints, _ = find_checkpoints([path])
    trainer = training.trainer(replayed)
    replay(trainer, training.model(), checkpoints, datamodule=training.data(), is_untrained=True)
    return {
        "run": observations(run),
        **report(run),
        "checkpoint": {key: sorted(state) for key, state in states.items()},
        "resumed": observations(resumed),
        "logged": {tag: value if math.isfinite(value) else None for tag, value in logged.items()},
        "replayed": observations(replayed),
    }


def main(root: Path) -> None:
    assert saliency_callbacks.__version__ == "0.1.0"
    expected = {}
    for training in TRAININGS:
        with tempfile.TemporaryDirectory() as elsewhere:
            expected[training.name] = make(training, root, Path(elsewhere))
    (root / "expected.json").write_text(json.dumps(expected, indent=1, allow_nan=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
