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
from saliency_callbacks.errors import ObservationError, SaliencyWarning
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


class Coroutine:
    async def log_image(self, key, images, step=None): ...


class BrokenProperty:
    @property
    def log_image(self):
        raise RuntimeError("not connected to https://user:secret@host")


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
        Coroutine(),
        BrokenProperty(),
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


class NamesFiles(Recording):
    def log_image(self, image_name, image):
        self.calls.append(image_name)


class ForAMoment(Recording):
    def log_image(self, key, images, step=None):
        self.calls.append(key)
        if len(self.calls) == 1:
            raise ConnectionError("no route to host")


def test_only_the_name_of_a_file_gets_a_suffix(picture):
    files, pages = NamesFiles(), ForAMoment()
    ImageMethodSink(files).write(SNAPSHOT, {"saliency/a": picture})
    assert files.calls == ["saliency/a.png"]
    sink = ImageMethodSink(pages)
    with pytest.raises(ConnectionError):
        sink.write(SNAPSHOT, {"saliency/a": picture})
    sink.write(SNAPSHOT, {"saliency/a": picture})
    assert pages.calls == ["saliency/a", "saliency/a"]


def test_without_formats_add_image_takes_channels_first(picture):
    class ChannelsFirst(Recording):
        def add_image(self, tag, img_tensor, global_step=None):
            self.calls.append(img_tensor)

    logger = ChannelsFirst()
    ImageMethodSink(logger).write(SNAPSHOT, {"saliency/a": picture})
    np.testing.assert_array_equal(logger.calls[0], picture.transpose(2, 0, 1))


def test_an_experiment_that_is_closed_says_so(picture):
    logger = ByExperiment()
    sink = ImageMethodSink(logger)
    logger.experiment = None
    with pytest.raises(ObservationError, match=r"ByExperiment no longer has .*Keep the experiment open"):
        sink.write(SNAPSHOT, {"saliency/a": picture})


def _kept(root: Path) -> list[str]:
    (index,) = root.rglob("index.json")
    return [one["stage"] for one in read_index(index.parent)["observations"] if "saliency/gradient" in one["pictures"]]


def test_pictures_are_files_as_well_because_nobody_knows_how_many_such_a_logger_keeps(tmp_path: Path) -> None:
    class Failing(RecordingLogger):
        def log_image(self, key, images, step=None):
            raise ValueError("no such page")

    with pytest.warns(SaliencyWarning) as seen:
        trainer(tmp_path, SaliencyMonitor("gradient", probe=4), logger=Failing(tmp_path)).fit(
            Classifier(), train_loader(), val_loader()
        )
    messages = [str(one.message) for one in seen if issubclass(one.category, SaliencyWarning)]
    assert messages[0] == "ImageMethodSink failed: ValueError: no such page; training continues"
    assert _kept(tmp_path) == ["initial", "fit", "fit"], "the one that failed is among them"


def test_a_logger_that_takes_them_has_files_beside_it(tmp_path: Path) -> None:
    class Latest(RecordingLogger):
        def log_image(self, key, images, step=None): ...

    trainer(tmp_path, SaliencyMonitor("gradient", probe=4), logger=Latest(tmp_path), max_epochs=1).fit(
        Classifier(), train_loader(), val_loader()
    )
    assert _kept(tmp_path) == ["initial", "fit"]
