"""What a real, offline Comet experiment received, read back from its archive."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from saliency_callbacks.sinks import CometSink, sink_for_logger
from saliency_callbacks.types import Cell, Snapshot, Table
from tests.sinks.comet_archive import archived, offline_logger

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of comet_ml, which no caller can avoid


@pytest.fixture
def logger(tmp_path, monkeypatch):
    logger = offline_logger(tmp_path, monkeypatch)
    yield logger
    logger.experiment.end()


def snapshot(**changes):
    return Snapshot(**{"epoch": 2, "step": 30, "stage": "fit", "attributions": {}, **changes})


def test_images_by_step_have_the_very_pixels(logger, tmp_path, picture):
    sink = sink_for_logger(logger)
    assert isinstance(sink, CometSink)
    dark = picture // 4
    sink.write(snapshot(step=0, stage="initial"), {"saliency/gradient": picture})
    sink.write(snapshot(), {"saliency/gradient": dark})
    found = {facts["step"]: (facts["figName"], content) for facts, _, content in archived(logger, "visualization")}
    assert found.keys() == {0, 30}
    for step, expected in [(0, picture), (30, dark)]:
        name, content = found[step]
        assert name == "saliency/gradient"
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(content))), expected)


def test_texts_and_alerts_carry_their_tag(logger):
    texts = {"cue/x/alarm": "look", "cue/x/groups": "| é |"}
    CometSink(logger).write(snapshot(texts=texts, alerts={"cue/x/alarm": "look"}), {})
    found = {
        metadata["tag"]: (facts, metadata, content) for facts, metadata, content in archived(logger, "text-sample")
    }
    assert {tag: content.decode() for tag, (_, _, content) in found.items()} == texts
    assert {tag: metadata["alert"] for tag, (_, metadata, _) in found.items()} == {
        "cue/x/alarm": True,
        "cue/x/groups": False,
    }
    assert {facts["step"] for facts, _, _ in found.values()} == {30}


def test_a_table_is_a_text(logger):
    table = Table(("a",), ((Cell("é", "name"),),))
    CometSink(logger).write(snapshot(tables={"cue/x/groups": table}), {})
    ((_, metadata, content),) = archived(logger, "text-sample")
    assert (metadata["tag"], metadata["alert"], content.decode()) == ("cue/x/groups", False, table.markdown())


def test_an_animation_is_a_gif_among_the_assets(logger, picture):
    CometSink(logger).write(snapshot(), {"saliency/film": np.stack([picture, 255 - picture])})
    ((facts, _, content),) = archived(logger, "asset")
    assert (facts["fileName"], facts["step"]) == ("saliency/film/000000030.gif", 30)
    with Image.open(io.BytesIO(content)) as image:
        assert (image.format, image.n_frames, image.size) == ("GIF", 2, (20, 12))
