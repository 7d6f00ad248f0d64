"""What every sink keeps to, wherever it writes."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
import torch
from torch.utils.tensorboard import SummaryWriter

from saliency_callbacks import sinks
from saliency_callbacks.errors import PictureError
from saliency_callbacks.rendering.lazy import LazyPictures
from saliency_callbacks.sinks import DiskSink, MemorySink, TensorBoardSink
from saliency_callbacks.types import PreparingSink, Sink
from tests.sinks import swanlab_run
from tests.sinks.comet_archive import offline_logger
from tests.sinks.lightning_cloud import connect

pytestmark = [
    # Of wandb and comet_ml, which no caller can avoid.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:There is a wandb run already in progress:UserWarning"),
]


def comet(directory, monkeypatch):
    logger = offline_logger(directory, monkeypatch)
    return sinks.CometSink(logger), logger.experiment.end


def disk(directory, monkeypatch):
    return DiskSink(directory / "disk", pictures=True), None


def memory(directory, monkeypatch):
    return MemorySink(), None


def image_method(directory, monkeypatch):
    class Logger:
        def log_image(self, key, images, step=None): ...

    return sinks.ImageMethodSink(Logger()), None


def litlogger(directory, monkeypatch):
    connect(monkeypatch)
    from lightning.pytorch import loggers

    if not hasattr(loggers, "LitLogger"):
        pytest.skip("this release of Lightning has no LitLogger")
    logger = loggers.LitLogger(directory, name="digits", save_logs=False)
    # As for MLflow.
    assert logger.experiment
    return sinks.LitLoggerSink(logger), logger.finalize


def mlflow(directory, monkeypatch):
    from lightning.pytorch.loggers import MLFlowLogger

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    logger = MLFlowLogger(tracking_uri=(directory / "runs").as_uri())
    # A run's random name is drawn from Python's generator: a Trainer has that done before the callbacks are set up.
    assert logger.run_id
    return sinks.MLflowSink(logger), None


def swanlab(directory, monkeypatch):
    logger = swanlab_run.offline_logger(directory)
    # As for MLflow.
    assert logger.experiment
    return sinks.SwanLabSink(logger), swanlab_run.end


def tensorboard(directory, monkeypatch):
    writer = SummaryWriter(str(directory / "events"))
    return TensorBoardSink(writer), writer.close


def trackio(directory, monkeypatch):
    monkeypatch.setenv("TRACKIO_DIR", str(directory / "trackio"))  # read when it is imported
    package = pytest.importorskip("trackio", reason="needs the package trackio")
    run = package.init(project="contract", name=directory.name, embed=False, auto_log_gpu=False, auto_log_cpu=False)
    return sinks.TrackioSink(run), package.finish


def wandb(directory, monkeypatch):
    from lightning.pytorch.loggers import WandbLogger

    monkeypatch.setenv("WANDB_SILENT", "true")
    logger = WandbLogger(offline=True, save_dir=directory)
    return sinks.WandbSink(logger), logger.experiment.finish


SINKS = {
    "CometSink": comet,
    "DiskSink": disk,
    "ImageMethodSink": image_method,
    "LitLoggerSink": litlogger,
    "MLflowSink": mlflow,
    "MemorySink": memory,
    "SwanLabSink": swanlab,
    "TensorBoardSink": tensorboard,
    "TrackioSink": trackio,
    "WandbSink": wandb,
}


@pytest.fixture(params=SINKS)
def sink(request, tmp_path, monkeypatch):
    made, close = SINKS[request.param](tmp_path, monkeypatch)
    yield made
    if close is not None:
        close()


def test_every_sink_is_tested():
    assert set(SINKS) == {name for name in sinks.__all__ if name.endswith("Sink")}


def write(sink, snapshot, pictures):
    assert sink.write(snapshot, pictures) is None
    if isinstance(sink, PreparingSink):
        assert sink.commit() is None


def test_it_is_a_sink(sink):
    assert isinstance(sink, Sink)


def test_what_is_written_is_not_changed(sink, make_snapshot, picture):
    snapshot, before = make_snapshot(), make_snapshot()
    pixels = picture.copy()
    write(sink, snapshot, {"saliency/gradient": picture})
    np.testing.assert_array_equal(picture, pixels)
    for name, attribution in snapshot.attributions.items():
        assert torch.equal(attribution.values, before.attributions[name].values)


def test_an_animation_is_taken_or_left_out(sink, make_snapshot, picture):
    frames = np.stack([picture, 255 - picture])
    before = frames.copy()
    write(sink, make_snapshot(), {"saliency/film": frames, "saliency/gradient": picture})
    np.testing.assert_array_equal(frames, before)


def test_a_picture_that_cannot_be_drawn_is_not_hidden(sink, make_snapshot):
    def draw():
        raise ValueError("no font")

    with pytest.raises(PictureError, match="no font"):
        write(sink, make_snapshot(), LazyPictures({"saliency/gradient": draw}))


def test_scores_that_are_not_finite_and_no_pictures_are_fine(sink, make_snapshot):
    write(sink, make_snapshot(scores={"saliency/gradient/entropy": math.nan}), {})


def test_the_random_state_is_not_touched(sink, make_snapshot, picture):
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
    write(sink, make_snapshot(), {"saliency/gradient": picture})
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]  # noqa: NPY002
    assert random.getstate() == before[2]
