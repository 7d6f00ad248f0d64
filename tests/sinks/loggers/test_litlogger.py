"""What a real LitLogger sends, read where it would leave this machine."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from saliency_callbacks import SaliencyMonitor
from saliency_callbacks.sinks import LitLoggerSink, sink_for_logger
from saliency_callbacks.types import Cell, Snapshot, Table
from tests.sinks.lightning_cloud import connect
from tests.trainer.runs import Classifier, train_loader, trainer, val_loader

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of litlogger's own dependencies
    pytest.mark.filterwarnings("ignore:LitLogger does not support `log_graph`:UserWarning"),
]


@pytest.fixture
def cloud(monkeypatch):
    return connect(monkeypatch)


@pytest.fixture
def logger(cloud, tmp_path):
    loggers = pytest.importorskip("lightning.pytorch.loggers")
    if not hasattr(loggers, "LitLogger"):
        pytest.skip("this release of Lightning has no LitLogger")
    logger = loggers.LitLogger(tmp_path / "runs", name="digits", save_logs=False)
    yield logger
    logger.finalize("success")


def snapshot(**changes):
    return Snapshot(**{"epoch": 2, "step": 30, "stage": "fit", "attributions": {}, **changes})


def pixels(content):
    return np.asarray(Image.open(io.BytesIO(content)))


def test_images_by_step_have_the_very_pixels(logger, cloud, picture):
    sink = sink_for_logger(logger)
    assert isinstance(sink, LitLoggerSink)
    sink.write(snapshot(step=0, stage="initial"), {"saliency/gradient": 255 - picture})
    sink.write(snapshot(), {"saliency/gradient": picture})
    assert [(one.name, one.kind, one.step) for one in cloud.media] == [
        ("saliency/gradient", "image", 0),
        ("saliency/gradient", "image", 30),
    ]
    np.testing.assert_array_equal(pixels(cloud.media[0].content), 255 - picture)
    np.testing.assert_array_equal(pixels(cloud.media[1].content), picture)


def test_texts_tables_and_alerts_do_not_clash_with_the_metrics_of_their_tags(logger, cloud):
    table = Table(("a",), ((Cell("é", "name"),),))
    logger.log_metrics({"cue/x/alarm": 1.0, "cue/x/groups": 0.5}, step=30)
    LitLoggerSink(logger).write(snapshot(alerts={"cue/x/alarm": "look"}, tables={"cue/x/groups": table}), {})
    assert {one.name: (one.kind, one.step, one.content.decode()) for one in cloud.media} == {
        "cue/x/alarm/text": ("text", 30, "look"),
        "cue/x/groups/text": ("text", 30, table.markdown()),
    }


def test_an_animation_is_a_gif(logger, cloud, picture):
    LitLoggerSink(logger).write(snapshot(), {"saliency/film": np.stack([picture, 255 - picture])})
    (upload,) = cloud.media
    with Image.open(io.BytesIO(upload.content)) as image:
        assert (upload.kind, image.format, image.n_frames, image.size) == ("image", "GIF", 2, (20, 12))


def test_a_report_is_a_file(logger, cloud, tmp_path):
    report = tmp_path / "report.html"
    report.write_text("<!doctype html><p>Ümlaut</p>", encoding="utf-8")
    LitLoggerSink(logger).add_report(report, "saliency/report")
    assert cloud.files == {"saliency/report.html": report.read_bytes()}


def test_what_was_sent_is_not_kept_in_memory(logger, picture):
    LitLoggerSink(logger).write(snapshot(), {"saliency/gradient": picture})
    (kept,) = logger.experiment["saliency/gradient"]
    assert isinstance(kept._data, str), "a path, not the picture"
    assert not Path(kept._data).exists()


def test_steps_of_a_training_are_those_of_its_metrics(logger, cloud, tmp_path):
    monitor = SaliencyMonitor("gradient", probe=4, report=True)
    trainer(tmp_path, monitor, logger=logger).fit(Classifier(), train_loader(), val_loader())
    logger.finalize("success")
    metrics = [step for name, _, step in cloud.metrics if name == "saliency/probe_accuracy"]
    assert [one.step for one in cloud.media if one.name == "saliency/gradient"] == metrics
    assert len(metrics) == 3
    assert cloud.files["saliency/report.html"].startswith(b"<!doctype html>")
