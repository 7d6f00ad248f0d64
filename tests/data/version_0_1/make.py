"""Made ``runs``, ``checkpoints`` and ``expected.json`` beside this file, and is kept as a record of how.

It was run with version 0.1.0 of the package, before its modules moved: imports and constructor arguments are those of
that version. In the root of the repository as it was then, with an empty directory to write to::

    python -m tests.data.version_0_1.make DIRECTORY

Each training is of two epochs, and its checkpoint was saved in the validation of the first. ``expected.json`` holds,
for ``images`` and ``text_inputs`` each:

- ``run``: every observation in the directory of the run, by the callback's own directory in it;
- ``headlines``: what the report says first;
- ``texts``: the tags of the texts that it shows;
- ``checkpoint``: the keys of each callback's state, by the key of the callback in the checkpoint;
- ``resumed``, ``logged``: the observations of the training that goes on from the checkpoint in another directory, and
  what the Trainer had logged of them when it ended;
- ``replayed``: those of a replay of the checkpoint, after the untrained model.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch

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
            6,
            threshold=0.1,
            patience=2,
            n_bootstrap=100,
            on_alarm="log",
            panel_size=2,
            groups_at_fit_end=True,
            on_error="raise",
        ),
    ]


def text_callbacks() -> list[L.Callback]:
    methods = ["gradient_norm", "input_x_gradient", "integrated_gradients"]
    return [TokenSaliencyMonitor(methods, 4, models.TOKENS, top=3, on_error="raise")]


@dataclass(frozen=True)
class Training:
    """What is trained, and what observes it."""

    name: str
    model: Callable[[], L.LightningModule]
    data: Callable[[], L.LightningDataModule]
    callbacks: Callable[[], list[L.Callback]]

    def trainer(self, directory: Path, *more: L.Callback) -> L.Trainer:
        L.seed_everything(0, verbose=False)
        return L.Trainer(
            accelerator="cpu",
            devices=1,
            max_epochs=2,
            default_root_dir=directory,
            callbacks=[*self.callbacks(), *more],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )


TRAININGS = (
    Training("images", models.image_classifier, models.image_data, image_callbacks),
    Training("text_inputs", models.text_classifier, models.text_data, text_callbacks),
)


class Saver(L.Callback):
    """Save one checkpoint in the validation of the first epoch, as a ``ModelCheckpoint`` does."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not trainer.sanity_checking and trainer.current_epoch == 0:
            trainer.save_checkpoint(self.path)


def observations(run: Path) -> dict[str, list[dict[str, Any]]]:
    """Return what the indices in the directory of a run hold, but for what is in files of their own."""
    found = {}
    for index in sorted(run.rglob("index.json")):
        found[index.parent.relative_to(run).as_posix()] = [
            {key: entry[key] for key in ("stage", "epoch", "step", "scores")}
            | {key: sorted(entry[key]) for key in ("methods", "pictures", "texts", "alerts")}
            for entry in read_index(index.parent)["observations"]
        ]
    return found


def report(run: Path) -> dict[str, Any]:
    contents = read_contents(read_run(run), budget=1e6)
    archives = contents.run.archives
    headlines = headlines_of(archives, contents.monitors)
    return {
        "headlines": [{key: headline[key] for key in ("level", "title", "text")} for headline in headlines],
        "texts": [document["tag"] for document in documents_of(archives)],
    }


def make(training: Training, root: Path) -> dict[str, Any]:
    run, path = root / "runs" / training.name, root / "checkpoints" / f"{training.name}.ckpt"
    training.trainer(run, Saver(path)).fit(training.model(), datamodule=training.data())
    states = torch.load(path, weights_only=True)["callbacks"]
    with tempfile.TemporaryDirectory() as directory:
        resumed, replayed = Path(directory, "resumed"), Path(directory, "replayed")
        trainer = training.trainer(resumed)
        trainer.fit(training.model(), datamodule=training.data(), ckpt_path=path, weights_only=True)
        logged = {tag: value.item() for tag, value in trainer.callback_metrics.items()}
        checkpoints, _ = find_checkpoints([path])
        replay(training.trainer(replayed), training.model(), checkpoints, datamodule=training.data(), is_untrained=True)
        return {
            "run": observations(run),
            **report(run),
            "checkpoint": {key: sorted(state) for key, state in states.items()},
            "resumed": observations(resumed),
            "logged": dict(sorted(logged.items())),
            "replayed": observations(replayed),
        }


def main(root: Path) -> None:
    assert saliency_callbacks.__version__ == "0.1.0"
    expected = {training.name: make(training, root) for training in TRAININGS}
    (root / "expected.json").write_text(json.dumps(expected, indent=1, allow_nan=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
