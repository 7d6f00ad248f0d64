"""What a real MLflow run received, read back through MLflow's own client."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from lightning.pytorch.loggers import MLFlowLogger
from PIL import Image

from saliency_callbacks.sinks import MLflowSink, sink_for_logger
from saliency_callbacks.types import Cell, Snapshot, Table
from tests.sinks.mlflow_store import kept_in


@pytest.fixture
def logger(tmp_path, monkeypatch):
    # The store that needs no database: mlflow 3 wants to be asked for it.
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    return MLFlowLogger(tracking_uri=(tmp_path / "runs").as_uri())


def artifacts(logger, folder):
    """Return the relative paths of the files under a folder of the run's artifacts."""
    found = []
    for entry in logger.experiment.list_artifacts(logger.run_id, folder):
        found += artifacts(logger, entry.path) if entry.is_dir else [entry.path]
    return sorted(found)


def downloaded(logger, path, directory):
    return Path(logger.experiment.download_artifacts(logger.run_id, path, str(directory)))


def snapshot(**changes):
    return Snapshot(**{"epoch": 2, "step": 30, "stage": "fit", "attributions": {}, **changes})


def test_images_by_step_have_the_very_pixels(logger, picture):
    sink = sink_for_logger(logger)
    assert isinstance(sink, MLflowSink)
    sink.write(snapshot(step=0, stage="initial"), {"saliency/gradient": 255 - picture})
    sink.write(snapshot(), {"saliency/gradient": picture})
    # mlflow before 3.11 writes the name saliency#gradient%step%30%timestamp%...
    files = {path.replace("%", "+").split("+")[2]: path for path in artifacts(logger, "images") if path.endswith("png")}
    assert files.keys() == {"0", "30"}
    assert all(path.startswith(("images/saliency~gradient+", "images/saliency#gradient%")) for path in files.values())
    for step, expected in [("0", 255 - picture), ("30", picture)]:
        with Image.open(kept_in(logger) / files[step]) as image:
            np.testing.assert_array_equal(np.asarray(image), expected)


def test_any_tag_becomes_a_key_that_mlflow_takes(logger, picture):
    tags = ["cue/été: 20 %/panel", "cue/ete: 20 %/panel", "../up", "x" * 200]
    MLflowSink(logger).write(snapshot(texts=dict.fromkeys(tags, "text")), dict.fromkeys(tags, picture))
    assert len([path for path in artifacts(logger, "images") if path.endswith("png")]) == len(tags)
    assert len(artifacts(logger, "texts")) == len(tags)


def test_texts_and_alerts(logger, tmp_path):
    texts, alerts = {"cue/x/groups": "| é |\n|---|"}, {"cue/x/alarm": "look " * 2000}
    MLflowSink(logger).write(snapshot(texts=texts, alerts=alerts), {})
    assert artifacts(logger, "texts") == ["texts/cue/x/alarm/000000030.md", "texts/cue/x/groups/000000030.md"]
    for tag, text in {**texts, **alerts}.items():
        file = downloaded(logger, f"texts/{tag}/000000030.md", tmp_path)
        assert file.read_text(encoding="utf-8") == text
    tags = logger.experiment.get_run(logger.run_id).data.tags
    assert tags["cue/x/alarm"] == ("look " * 2000)[:5000]
    assert "cue/x/groups" not in tags


def test_a_table_is_a_text(logger, tmp_path):
    table = Table(("a",), ((Cell("é", "name"),),))
    MLflowSink(logger).write(snapshot(tables={"cue/x/groups": table}), {})
    file = downloaded(logger, "texts/cue/x/groups/000000030.md", tmp_path)
    assert file.read_text(encoding="utf-8") == table.markdown()


def test_an_animation_is_a_gif_among_the_artifacts(logger, tmp_path, picture):
    MLflowSink(logger).write(snapshot(), {"saliency/gradient/film": np.stack([picture, 255 - picture])})
    (path,) = artifacts(logger, "animations")
    assert path == "animations/saliency/gradient/film/000000030.gif"
    with Image.open(downloaded(logger, path, tmp_path)) as image:
        assert (image.format, image.n_frames, image.size) == ("GIF", 2, (20, 12))
    assert artifacts(logger, "images") == []


def test_a_run_that_cannot_be_reached_is_not_hidden(logger, picture, monkeypatch):
    def refuse(*_, **__):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(logger.experiment, "log_image", refuse)
    with pytest.raises(ConnectionError, match="no route"):
        MLflowSink(logger).write(snapshot(), {"tag": picture})
