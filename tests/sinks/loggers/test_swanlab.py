"""What a real, offline SwanLab run wrote, read back from its files."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from saliency_callbacks import SaliencyMonitor
from saliency_callbacks.sinks import SwanLabSink, sink_for_logger
from saliency_callbacks.types import Cell, Snapshot, Table
from tests.sinks.swanlab_run import end, offline_logger
from tests.trainer.runs import Classifier, train_loader, trainer, val_loader

swanlab = pytest.importorskip("swanlab", reason="needs the package swanlab")

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of swanlab, which no caller can avoid
    pytest.mark.filterwarnings("ignore:Protobuf gencode version:UserWarning"),
]


@pytest.fixture
def logger(tmp_path):
    yield offline_logger(tmp_path)
    end()


def snapshot(**changes):
    return Snapshot(**{"epoch": 2, "step": 30, "stage": "fit", "attributions": {}, **changes})


def stored(logger):
    """End the run; return its media as ``{key: [(step, kind, caption, content)]}`` and its scalars' steps by key."""
    from swanlab.proto.swanlab.record.v1.record_pb2 import Record
    from swanlab.sdk.internal.core_python.store import DataStoreReader

    directory = Path(logger.experiment.dir)
    swanlab.finish()
    reader = DataStoreReader()
    (file,) = directory.glob("*.swanlab")
    reader.open(file)
    media, scalars = {}, {}
    for record in map(Record.FromString, reader):
        for item in record.media.value.items:
            (path,) = (directory / "media").rglob(item.filename)
            found = (record.media.step, path.parent.name, item.caption, path.read_bytes())
            media.setdefault(record.media.key, []).append(found)
        if record.HasField("scalar"):
            scalars.setdefault(record.scalar.key, []).append(record.scalar.step)
    reader.close()
    return media, scalars


def pixels(content):
    return np.asarray(Image.open(io.BytesIO(content)))


def test_images_by_step_have_the_very_pixels(logger, picture):
    sink = sink_for_logger(logger)
    assert isinstance(sink, SwanLabSink)
    first, second = snapshot(step=0, stage="initial"), snapshot()
    sink.write(first, {"saliency/gradient": 255 - picture})
    sink.write(second, {"saliency/gradient": picture})
    media, _ = stored(logger)
    (start, now) = media["saliency/gradient"]
    assert (start[:3], now[:3]) == ((0, "image", first.moment), (30, "image", second.moment))
    np.testing.assert_array_equal(pixels(start[3]), 255 - picture)
    np.testing.assert_array_equal(pixels(now[3]), picture)


def test_texts_tables_and_alerts_do_not_clash_with_the_metrics_of_their_tags(logger):
    table = Table(("a",), ((Cell("é", "name"),),))
    logger.log_metrics({"cue/x/alarm": 1.0, "cue/x/groups": 0.5}, step=30)
    SwanLabSink(logger).write(snapshot(alerts={"cue/x/alarm": "look"}, tables={"cue/x/groups": table}), {})
    media, scalars = stored(logger)
    assert {key: [(step, kind, text.decode()) for step, kind, _, text in found] for key, found in media.items()} == {
        "cue/x/alarm/text": [(30, "text", "look")],
        "cue/x/groups/text": [(30, "text", table.markdown())],
    }
    assert scalars == {"cue/x/alarm": [30], "cue/x/groups": [30]}


def test_an_animation_is_a_gif(logger, picture):
    SwanLabSink(logger).write(snapshot(), {"saliency/film": np.stack([picture, 255 - picture])})
    media, _ = stored(logger)
    ((step, kind, _, content),) = media["saliency/film"]
    with Image.open(io.BytesIO(content)) as image:
        assert (step, kind, image.format, image.n_frames, image.size) == (30, "image", "GIF", 2, (20, 12))


def test_steps_of_a_training_are_those_of_its_metrics_and_the_report_is_html(logger, tmp_path):
    monitor = SaliencyMonitor("gradient", probe=4, report=True)
    trainer(tmp_path, monitor, logger=logger).fit(Classifier(), train_loader(), val_loader())
    media, scalars = stored(logger)
    steps = [step for step, *_ in media["saliency/gradient"]]
    assert steps == scalars["saliency/probe_accuracy"]
    assert len(steps) == 3
    ((step, kind, _, content),) = media["saliency/report"]
    assert (step >= steps[-1], kind, content[:15].lower()) == (True, "html", b"<!doctype html>")
