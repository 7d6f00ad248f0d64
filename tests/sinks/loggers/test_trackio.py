"""What a real, local Trackio run wrote, read back from its database and its files."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from lightning.pytorch.loggers.logger import Logger
from PIL import Image

from saliency_callbacks import SaliencyMonitor
from saliency_callbacks.sinks import TrackioSink, sink_for_logger
from saliency_callbacks.types import Cell, Snapshot, Table
from tests.trainer.runs import Classifier, train_loader, trainer, val_loader

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of trackio, which no caller can avoid


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    # Trackio reads it when it is imported.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRACKIO_DIR", str(tmp_path_factory.mktemp("trackio")))
        trackio = pytest.importorskip("trackio", reason="needs the package trackio")
        # Of whoever imported it first.
        yield trackio.utils.TRACKIO_DIR


@pytest.fixture
def run(directory, request):
    import trackio

    run = trackio.init(project=request.node.name[:40], embed=False, auto_log_gpu=False, auto_log_cpu=False)
    yield run
    trackio.finish()


class TrackioLogger(Logger):
    """The logger of ``docs/dashboards.md``."""

    def __init__(self, run):
        super().__init__()
        self.experiment = run

    @property
    def name(self):
        return self.experiment.project

    @property
    def version(self):
        return self.experiment.name

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None):
        self.experiment.log(dict(metrics), step=step)

    def log_hyperparams(self, params, *args, **kwargs):
        self.experiment.config.update(params)


def snapshot(**changes):
    return Snapshot(**{"epoch": 2, "step": 30, "stage": "fit", "attributions": {}, **changes})


def stored(run, directory):
    """End the run; return what was logged as ``{key: [(step, value)]}``, and its alerts."""
    run.finish()
    with sqlite3.connect(directory / f"{run.project}.db") as database:
        rows = database.execute("SELECT step, metrics FROM metrics ORDER BY id").fetchall()
        alerts = database.execute("SELECT step, title, text, level FROM alerts").fetchall()
    database.close()
    found = {}
    for step, metrics in rows:
        for key, value in json.loads(metrics).items():
            found.setdefault(key, []).append((step, value))
    return found, alerts


def pixels(directory, value):
    image = Image.open(Path(directory, "media", value["file_path"]))
    return np.asarray(image.convert("RGB"))


def test_images_by_step_have_the_very_pixels(run, directory, picture):
    first, second = snapshot(step=0, stage="initial"), snapshot()
    sink = TrackioSink(run)
    sink.write(first, {"saliency/gradient": 255 - picture})
    sink.write(second, {"saliency/gradient": picture})
    found, _ = stored(run, directory)
    (start, now) = found["saliency/gradient"]
    assert (start[0], start[1]["caption"], now[0], now[1]["caption"]) == (0, first.moment, 30, second.moment)
    np.testing.assert_array_equal(pixels(directory, start[1]), 255 - picture)
    np.testing.assert_array_equal(pixels(directory, now[1]), picture)


def test_texts_tables_and_alerts(run, directory):
    table = Table(("a",), ((Cell("é", "name"),),))
    run.log({"cue/x/alarm": 1.0, "cue/x/groups": 0.5}, step=30)
    TrackioSink(run).write(
        snapshot(texts={"cue/x/alarm": "*look*"}, alerts={"cue/x/alarm": "look"}, tables={"cue/x/groups": table}), {}
    )
    found, alerts = stored(run, directory)
    assert found["cue/x/alarm/text"] == [(30, {"_type": "trackio.markdown", "_value": "*look*"})]
    assert found["cue/x/groups/table"] == [(30, {"_type": "trackio.table", "_value": [{"a": "é"}]})]
    assert (found["cue/x/alarm"], found["cue/x/groups"]) == ([(30, 1.0)], [(30, 0.5)])
    assert alerts == [(30, "cue/x/alarm", "look", "warn")]


def test_an_animation_is_a_gif(run, directory, picture):
    TrackioSink(run).write(snapshot(), {"saliency/film": np.stack([picture, 255 - picture])})
    ((step, value),) = stored(run, directory)[0]["saliency/film"]
    with Image.open(Path(directory, "media", value["file_path"])) as image:
        assert (step, value["_type"], image.format, image.n_frames) == (30, "trackio.image", "GIF", 2)


def test_steps_of_a_training_are_those_of_its_metrics_and_the_report_is_html(run, directory, tmp_path):
    logger = TrackioLogger(run)
    assert isinstance(sink_for_logger(logger), TrackioSink)
    monitor = SaliencyMonitor("gradient", probe=4, report=True)
    trainer(tmp_path, monitor, logger=logger).fit(Classifier(), train_loader(), val_loader())
    found, _ = stored(run, directory)
    steps = [step for step, _ in found["saliency/gradient"]]
    assert steps == [step for step, _ in found["saliency/probe_accuracy"]]
    assert len(steps) == 3
    ((step, value),) = found["saliency/report"]
    assert step >= steps[-1]
    report = Path(directory, "media", value["file_path"]).read_text(encoding="utf-8")
    assert report.lower().startswith("<!doctype html>")
