"""Loggers that nobody knows are written to by whatever method they have for images."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import MagicMock, Mock

import numpy as np
import pytest
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.logger import DummyLogger
from mlflow import MlflowClient
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import SummaryWriter

from saliency_callbacks import SaliencyMonitor
from saliency_callbacks.errors import SaliencyWarning
from saliency_callbacks.sinks import ImageMethodSink, read_index, sink_for_logger
from saliency_callbacks.sinks.loggers.image_method import image_method
from saliency_callbacks.types import Snapshot
from tests.trainer.runs import Classifier, RecordingLogger, train_loader, trainer, val_loader

SNAPSHOT = Snapshot(epoch=2, step=30, stage="fit", attributions={})


class Recording:
    """Keeps what it is called with."""

    def __init__(self):
        self.calls = []


class LightningLike(Recording):
    def log_image(self, key, images, step=None, **kwargs):
        self.calls.append((key, images[0], step))
        assert isinstance(images, list)
        assert kwargs == {}


class TensorBoardLike(Recording):
    def add_image(self, tag, img_tensor, global_step=None, walltime=None, dataformats="CHW"):
        self.calls.append((tag, img_tensor, global_step))
        assert dataformats == "HWC"


class CometLike(Recording):
    def log_image(self, image_data, name=None, title=None, step=None):
        self.calls.append((name, image_data, step))
        assert title is None


class MLflowLike(Recording):
    run_id = "abc"

    def log_image(self, run_id, image, artifact_file=None, *, key=None, step=None):
        self.calls.append((key, image, step))
        assert (run_id, artifact_file) == ("abc", None)


class ClearMLLike(Recording):
    def report_image(self, title, series, iteration=None, local_path=None, image=None, matrix=None):
        self.calls.append((title, image, iteration))
        assert series == SNAPSHOT.moment


class PositionalOnly(Recording):
    def log_image(self, name, value, step, /):
        self.calls.append((name, value, step))


class ByExperiment:
    def __init__(self):
        self.experiment = TensorBoardLike()
        self.calls = self.experiment.calls


KINDS = [LightningLike, TensorBoardLike, CometLike, MLflowLike, ClearMLLike, PositionalOnly, ByExperiment]


@pytest.mark.parametrize("kind", KINDS)
def test_each_argument_gets_what_its_name_asks_for(kind, picture):
    logger = kind()
    sink = sink_for_logger(logger)
    assert isinstance(sink, ImageMethodSink)
    sink.write(SNAPSHOT, {"saliency/a": picture, "saliency/film": np.stack([picture, picture])})
    ((tag, image, step),) = logger.calls
    assert (tag, step) == ("saliency/a", 30)
    np.testing.assert_array_equal(image, picture)


class Proxy:
    def __getattr__(self, name):
        return lambda *args, **kwargs: None


class UnknownArgument:
    def log_image(self, key, image, workspace): ...


class NoImage:
    def log_image(self, key, path): ...


class NoMethod:
    log_image = "a string"


class Unreachable:
    @property
    def experiment(self):
        raise ConnectionError("no route to host")


@pytest.mark.parametrize(
    "logger",
    [
        Proxy(),
        Mock(),
        MagicMock(),
        DummyLogger(),
        UnknownArgument(),
        NoImage(),
        NoMethod(),
        Unreachable(),
        object(),
        None,
    ],
    ids=lambda logger: type(logger).__name__,
)
def test_what_only_seems_to_have_a_method_has_none(logger):
    assert image_method(logger) is None
    assert sink_for_logger(logger) is None


def test_a_csv_logger_has_none(tmp_path):
    assert sink_for_logger(CSVLogger(tmp_path)) is None


def test_the_real_writer_of_tensorboard_takes_them(tmp_path, picture):
    class Wrapped:
        experiment = SummaryWriter(str(tmp_path))

    sink_for_logger(Wrapped()).write(SNAPSHOT, {"saliency/a": picture})
    Wrapped.experiment.close()
    events = EventAccumulator(str(tmp_path), size_guidance={"images": 0})
    events.Reload()
    (event,) = events.Images("saliency/a")
    assert (event.step, event.width, event.height) == (30, 20, 12)


def test_the_real_client_of_mlflow_takes_them(tmp_path, monkeypatch, picture):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

    class Wrapped:
        experiment = MlflowClient((tmp_path / "runs").as_uri())
        run_id = experiment.create_run("0").info.run_id

    sink_for_logger(Wrapped()).write(SNAPSHOT, {"saliency/a": picture})
    (file,) = tmp_path.rglob("saliency*30*.png")
    np.testing.assert_array_equal(np.asarray(Image.open(file)), picture)


def test_the_real_logger_of_dvc_takes_them(tmp_path, monkeypatch, picture):
    lightning = pytest.importorskip("dvclive.lightning", reason="needs the package dvclive")
    monkeypatch.chdir(tmp_path)
    logger = lightning.DVCLiveLogger(dir="live", save_dvc_exp=False, dvcyaml=None, monitor_system=False)
    sink_for_logger(logger).write(SNAPSHOT, {"saliency/a": picture})
    (file,) = tmp_path.rglob("a.png")
    np.testing.assert_array_equal(np.asarray(Image.open(file)), picture)


def test_pictures_are_files_from_the_first_failure_on(tmp_path: Path) -> None:
    class Failing(RecordingLogger):
        calls = 0

        def log_image(self, key, images, step=None):
            self.calls += 1
            raise ValueError("no such page")

    logger = Failing(tmp_path)
    with pytest.warns(SaliencyWarning) as seen:
        trainer(tmp_path, SaliencyMonitor("gradient", probe=4), logger=logger).fit(
            Classifier(), train_loader(), val_loader()
        )
    messages = [str(one.message) for one in seen if issubclass(one.category, SaliencyWarning)]
    assert messages[0] == "ImageMethodSink failed: ValueError: no such page; training continues"
    (index,) = tmp_path.rglob("index.json")
    observations = read_index(index.parent)["observations"]
    kept = [entry["stage"] for entry in observations if "saliency/gradient" in entry["pictures"]]
    assert kept == ["initial", "fit", "fit"], "the one that failed is among them"
