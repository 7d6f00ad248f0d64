"""What ``tests/data/version_0_1/make.py`` trained and observed, in the words of this version, and what it left."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L

from saliency_callbacks import (
    AlarmRule,
    Cascade,
    Confirmation,
    CueAlarm,
    Draws,
    Probe,
    RandomizationTest,
    SaliencyMonitor,
    Storage,
    TextAppearance,
    TokenSaliencyMonitor,
)
from saliency_callbacks.probe import PatchCue
from tests.data.version_0_1 import models
from tests.trainer.runs import WEIGHTS_ONLY

__all__ = ["DATA", "EXPECTED", "TRAININGS", "Case"]

DATA = Path(__file__).parents[1] / "data" / "version_0_1"
EXPECTED = json.loads((DATA / "expected.json").read_text(encoding="utf-8"))


def image_callbacks() -> list[L.Callback]:
    """Return what ``make.image_callbacks`` returned."""
    probe = Probe(4, masks=models.bright)
    return [
        SaliencyMonitor(["gradient", "grad_cam"], probe, target="initial_prediction", on_error="raise"),
        RandomizationTest(
            ["gradient", "grad_cam"], 4, draws=Draws(n_draws=2), cascade=Cascade(n_draws=2), on_error="raise"
        ),
        CueAlarm(
            PatchCue(models.CUE_BOX),
            1,
            16,
            rule=AlarmRule(threshold=0.1, patience=2, n_bootstrap=100),
            on_alarm="log",
            confirmation=Confirmation(panel_size=2, groups_at_fit_end=True),
            on_error="raise",
        ),
    ]


def text_callbacks() -> list[L.Callback]:
    """Return what ``make.text_callbacks`` returned."""
    return [
        TokenSaliencyMonitor(
            ["input_x_gradient", "integrated_gradients"],
            4,
            models.TOKENS,
            appearance=TextAppearance(bars=None, top=3),
            storage=Storage(keep_maps=1),
            on_error="raise",
        )
    ]


@dataclass(frozen=True)
class Training:
    """What was trained and what observed it.

    Args:
        frames: How many observations the report has maps of.
        notes: How its notes begin.
        tables: The rows of its tables, by their tags.
    """

    model: Callable[[], L.LightningModule]
    data: Callable[[], L.LightningDataModule]
    callbacks: Callable[[], list[L.Callback]]
    frames: int
    notes: list[str]
    tables: Mapping[str, list[str]]

    def trainer(self, directory: Path) -> L.Trainer:
        L.seed_everything(0, verbose=False)
        return L.Trainer(
            accelerator="cpu",
            devices=1,
            max_epochs=2,
            default_root_dir=directory,
            callbacks=self.callbacks(),
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            log_every_n_steps=1,
        )

    def resumed(self, directory: Path, checkpoint: Path) -> L.Trainer:
        """Go on from a checkpoint to the end of the second epoch."""
        trainer = self.trainer(directory)
        trainer.fit(self.model(), datamodule=self.data(), ckpt_path=checkpoint, **WEIGHTS_ONLY)
        return trainer


TRAININGS = {
    "images": Training(
        models.image_classifier,
        models.image_data,
        image_callbacks,
        frames=3,
        notes=[],
        tables={
            "cue/patch/groups": [
                "class | samples | without the cue | with the cue",
                "row | 10 | 100.0% | 0.0%",
                "column | 10 | 0.0% | 100.0%",
            ],
            "randomization/verdicts": [
                "method | similarity | floor | calibrated | random logit | verdict",
                "gradient | 0.14 ± 0.22 | -0.07 | 0.19 | -0.97 | depends on the weights",
                "grad_cam | -0.25 ± 0.15 | 0.08 | -0.35 | -0.46 | depends on the weights",
            ],
            "randomization/cascade": [
                "randomized | gradient | grad_cam",
                "net.6 | -0.48 | -0.38",
                "net.2 | -0.17 | -0.10",
                "net.0 | 0.14 | -0.25",
                "floor | -0.07 | 0.08",
            ],
        },
    ),
    "text_inputs": Training(
        models.text_classifier,
        models.text_data,
        text_callbacks,
        frames=2,
        notes=["tokens: the maps of 1 of 3 observations (epoch 0) were not kept"],
        tables={
            "tokens/input_x_gradient/top_tokens": [
                "class | word | mean score | times",
                "dull | dullly | +0.163 | 1",
                "dull | dull | +0.103 | 1",
                "dull | the | +0.0227 | 1",
                "great | was | +0.063 | 3",
                "great | film | +0.0464 | 2",
                "great | great | +0.0175 | 1",
            ],
            "tokens/integrated_gradients/top_tokens": [
                "class | word | mean score | times",
                "dull | dullly | +0.187 | 1",
                "dull | dull | +0.116 | 1",
                "dull | the | +0.0239 | 1",
                "great | was | +0.0821 | 3",
                "great | film | +0.0581 | 2",
                "great | great | +0.022 | 1",
            ],
        },
    ),
}


@dataclass(frozen=True)
class Case:
    """A training of version 0.1.0, and what it left."""

    name: str

    @property
    def training(self) -> Training:
        return TRAININGS[self.name]

    @property
    def expected(self) -> dict[str, Any]:
        return EXPECTED[self.name]

    @property
    def run(self) -> Path:
        return DATA / "runs" / self.name

    @property
    def checkpoint(self) -> Path:
        return DATA / "checkpoints" / f"{self.name}.ckpt"

    def copied(self, directory: Path) -> Path:
        return Path(shutil.copytree(self.run, directory / "run"))
