"""Uses what ``contributions`` added to a copy of the package, run in that copy; writes what came out as JSON."""

from __future__ import annotations

import json
import sys
import warnings
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.loggers import Logger

from tests.data.version_0_1 import models


class NotebookLogger(Logger):
    """A logger that the package has never heard of; its pages are for the sink, its lines for the Trainer."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.directory = directory
        self.pages: list[Any] = []

    name = "notebook"
    version = "0"

    @property
    def root_dir(self) -> str:
        return str(self.directory)

    @property
    def log_dir(self) -> str:
        return str(self.directory)

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Keep nothing: what is logged is read from the Trainer."""

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Keep nothing."""


def trained(directory: Path) -> dict[str, Any]:
    """Train for one epoch with the new score, similarity, cue, sink and callback."""
    from saliency_callbacks import (
        Cascade,
        Confirmation,
        CueAlarm,
        Draws,
        RandomizationTest,
        SaliencyMonitor,
        WeightMonitor,
    )
    from saliency_callbacks.probe import FrameCue
    from saliency_callbacks.report import write_report
    from saliency_callbacks.sinks import read_index

    logger = NotebookLogger(directory)
    draws = Draws(n_draws=2, similarities=["spearman", "bray_curtis"])
    trainer = L.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=1,
        logger=logger,
        callbacks=[
            SaliencyMonitor(["gradient", "peak_cam"], 4, on_error="raise"),
            RandomizationTest("peak_cam", 4, draws=draws, cascade=Cascade(at_fit_end=False), on_error="raise"),
            CueAlarm(FrameCue(1), 1, 16, confirmation=Confirmation(groups_at_fit_end=False), on_error="raise"),
            WeightMonitor(),
        ],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(models.image_classifier(), datamodule=models.image_data())
    entries = read_index(directory / "weights")["observations"]
    return {
        "logged": {tag: value.item() for tag, value in trainer.callback_metrics.items()},
        "pages": logger.pages,
        "written": [[entry["stage"], entry["scores"]["weights/norm"]] for entry in entries],
        "has_chart": "Share of the maximum" in write_report([directory]).read_text(encoding="utf-8"),
    }


def explained() -> dict[str, Any]:
    """Explain by the new method's name, with the class that has its settings, and list it."""
    from saliency_callbacks import explain
    from saliency_callbacks.cli import main
    from saliency_callbacks.methods import PeakCAM

    images = models.image_data().val.images[:2]
    found = explain(models.image_classifier().net, images, methods=["peak_cam", PeakCAM(name="named")])
    with redirect_stdout(StringIO()) as table:
        code = main(["methods"])
    return {
        "shape": list(found["peak_cam"].heatmap.shape),
        "is_the_same": found["peak_cam"].values.equal(found["named"].values),
        "methods": [line.split()[0] for line in table.getvalue().splitlines() if line] if code == 0 else code,
    }


def use_all(directory: Path) -> None:
    import saliency_callbacks

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = {"package": saliency_callbacks.__file__, **trained(directory), **explained()}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    use_all(Path(sys.argv[1]))
