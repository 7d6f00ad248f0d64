"""What a real, offline W&B run received."""

from __future__ import annotations

import builtins
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from lightning.pytorch.loggers import WandbLogger
from PIL import Image

from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.sinks import WandbSink, sink_for_logger
from saliency_callbacks.types import Snapshot

pytestmark = [
    # Of wandb and of the Lightning adapter to it, which no caller can avoid.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:There is a wandb run already in progress:UserWarning"),
]


@pytest.fixture
def logger(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_SILENT", "true")
    logger = WandbLogger(offline=True, save_dir=tmp_path, project="test")
    yield logger
    logger.experiment.finish()


def media(logger: WandbLogger, kind: str, suffix: str) -> list[Path]:
    return sorted((Path(logger.experiment.dir) / "media" / kind).rglob(f"*.{suffix}"))


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (12, 20, 3), dtype=np.uint8)


def test_the_files_of_a_run_have_the_very_pixels_and_texts(logger, monkeypatch):
    logged, alerts = [], []
    log, alert = logger.log_metrics, logger.experiment.alert
    monkeypatch.setattr(
        logger, "log_metrics", lambda metrics, step: (logged.append((step, set(metrics))), log(metrics, step))
    )
    monkeypatch.setattr(logger.experiment, "alert", lambda **given: (alerts.append(given), alert(**given)))
    sink = sink_for_logger(logger)
    assert isinstance(sink, WandbSink)
    pictures = {"saliency/a": picture(0), "saliency/b": picture(1)}
    snapshot = Snapshot(
        epoch=2,
        step=30,
        stage="fit",
        attributions={},
        texts={"cue/x/alarm": "<script>alert(1)</script>"},
        alerts={"cue/x/alarm": "look"},
    )
    sink.write(snapshot, pictures)
    assert logged == [(30, {"saliency/a", "saliency/b", "cue/x/alarm/text"})], "one call, one step of the slider"
    files = {path.name.split("_")[0]: np.asarray(Image.open(path)) for path in media(logger, "images", "png")}
    assert files.keys() == {"a", "b"}
    for name, expected in files.items():
        assert np.array_equal(expected, pictures[f"saliency/{name}"])
    (text,) = media(logger, "html", "html")
    assert "&lt;script&gt;" in text.read_text()
    assert "<script>alert" not in text.read_text()
    assert [(given["title"], given["text"]) for given in alerts] == [("cue/x/alarm", "look")]


def test_an_observation_without_media_makes_no_step(logger, monkeypatch):
    calls = []
    monkeypatch.setattr(logger, "log_metrics", lambda *args, **kwargs: calls.append(args))
    WandbSink(logger).write(Snapshot(epoch=0, step=0, stage="fit", attributions={}), {})
    assert calls == []


def test_a_missing_package_names_the_extra(monkeypatch):
    def refuse(name, *args, **kwargs):
        if name == "wandb":
            raise ImportError("No module named 'wandb'")
        return original(name, *args, **kwargs)

    original = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ConfigurationError, match=r"pip install 'saliency-callbacks\[wandb\]'"):
        WandbSink(SimpleNamespace())
