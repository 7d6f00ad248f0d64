"""One training, all loggers at once: the same pixels in every one of them."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lightning.pytorch.loggers import CSVLogger, MLFlowLogger, TensorBoardLogger, WandbLogger
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from saliency_callbacks import SaliencyMonitor
from saliency_callbacks.sinks import DiskSink, MemorySink, read_index
from tests.sinks.comet_archive import archived, offline_logger
from tests.sinks.mlflow_store import kept_in
from tests.trainer.runs import Classifier, train_loader, trainer, val_loader

pytestmark = [
    # Of wandb, comet_ml and their Lightning adapters, which no caller can avoid.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:There is a wandb run already in progress:UserWarning"),
]

TAG = "saliency/gradient"
KEY = "0123456789abcdef0123456789abcdef01234567"

Panels = dict[int, np.ndarray]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    directory = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        patch.setenv("WANDB_SILENT", "true")
        patch.setenv("WANDB_API_KEY", KEY)
        patch.setenv("COMET_API_KEY", KEY)
        patch.setenv("MLFLOW_TRACKING_TOKEN", KEY)
        patch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        loggers = {
            "tensorboard": TensorBoardLogger(directory / "tensorboard"),
            "csv": CSVLogger(directory / "csv"),
            "wandb": WandbLogger(offline=True, save_dir=directory),
            "mlflow": MLFlowLogger(tracking_uri=(directory / "mlflow").as_uri()),
            "comet": offline_logger(directory, patch),
        }
        memory = MemorySink()
        sinks = [memory, DiskSink(directory / "disk", pictures=True)]
        monitor = SaliencyMonitor("gradient", probe=4, sinks=sinks, on_error="raise", report=True)
        trainer(directory, monitor, logger=list(loggers.values())).fit(Classifier(), train_loader(), val_loader())
        yield directory, loggers, memory
        loggers["wandb"].experiment.finish()


def _pixels(content: bytes | Path) -> np.ndarray:
    with Image.open(io.BytesIO(content) if isinstance(content, bytes) else content) as image:
        return np.asarray(image)


def _from_tensorboard(directory: Path, logger: TensorBoardLogger) -> Panels:
    logger.experiment.flush()
    events = EventAccumulator(logger.log_dir, size_guidance={"images": 0}).Reload()
    return {event.step: _pixels(event.encoded_image_string) for event in events.Images(TAG)}


def _from_wandb(directory: Path, logger: WandbLogger) -> Panels:
    files = Path(logger.experiment.dir, "media/images/saliency").glob("gradient_*.png")
    in_order = sorted(files, key=lambda file: int(file.stem.split("_")[1]))  # by calls of W&B, of which one is ours
    steps = [entry["step"] for entry in read_index(directory / "disk")["observations"] if TAG in entry["pictures"]]
    return {step: _pixels(file) for step, file in zip(steps, in_order, strict=True)}


def _from_mlflow(directory: Path, logger: MLFlowLogger) -> Panels:
    client = logger.experiment
    files = [file.path for file in client.list_artifacts(logger.run_id, "images") if file.path.endswith(".png")]
    parts = {path: path.replace("%", "+").split("+") for path in files}
    return {
        int(step): _pixels(kept_in(logger) / path)
        for path, (name, _, step, *_) in parts.items()
        if name.replace("#", "~") == "images/saliency~gradient"
    }


def _from_comet(directory: Path, logger: Any) -> Panels:
    images = archived(logger, "visualization")
    return {facts["step"]: _pixels(content) for facts, _, content in images if facts["figName"] == TAG}


def _from_disk(directory: Path, logger: None) -> Panels:
    observations = read_index(directory / "disk")["observations"]
    return {
        entry["step"]: _pixels(directory / "disk" / entry["pictures"][TAG])
        for entry in observations
        if TAG in entry["pictures"]
    }


READERS = {
    "comet": _from_comet,
    "disk": _from_disk,
    "mlflow": _from_mlflow,
    "tensorboard": _from_tensorboard,
    "wandb": _from_wandb,
}


@pytest.mark.parametrize("name", READERS)
def test_every_logger_holds_the_very_panels(run: Any, name: str) -> None:
    directory, loggers, memory = run
    moments = zip(memory.snapshots, memory.pictures, strict=True)
    expected = {shot.step: pictures[TAG] for shot, pictures in moments if TAG in pictures}
    assert len(expected) == 3
    found = READERS[name](directory, loggers.get(name))
    assert found.keys() == expected.keys()
    for step, panel in expected.items():
        np.testing.assert_array_equal(found[step], panel)


def _reports_of_comet(logger: Any) -> list[bytes]:
    return [content for facts, _, content in archived(logger, "asset") if facts["fileName"] == "saliency/report.html"]


def _reports_of_wandb(logger: WandbLogger) -> list[bytes]:
    return [file.read_bytes() for file in Path(logger.experiment.dir, "media/html").rglob("report_*.html")]


REPORTS = {
    "comet": _reports_of_comet,
    "mlflow": lambda logger: [kept_in(logger).joinpath("saliency/report.html").read_bytes()],
    "tensorboard": lambda logger: [Path(logger.log_dir, "report.html").read_bytes()],
    "wandb": _reports_of_wandb,
}


@pytest.mark.parametrize("name", REPORTS)
def test_every_logger_that_can_show_it_has_the_report(run: Any, name: str) -> None:
    _, loggers, _ = run
    (found,) = REPORTS[name](loggers[name])
    assert found == Path(loggers["tensorboard"].log_dir, "report.html").read_bytes()


def test_the_csv_logger_beside_them_gets_the_scores_alone(run: Any) -> None:
    _, loggers, _ = run
    assert "saliency/gradient/drift_previous" in Path(loggers["csv"].log_dir, "metrics.csv").read_text()
    assert not list(Path(loggers["csv"].log_dir).rglob("*.png"))


def test_nothing_that_is_written_tells_a_key(run: Any) -> None:
    directory, _, _ = run
    contents = {}
    for file in directory.rglob("*"):
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                contents |= {f"{file}/{name}": archive.read(name) for name in archive.namelist()}
        elif file.is_file():
            contents[str(file)] = file.read_bytes()
    assert len(contents) > 20
    assert [name for name, content in contents.items() if KEY.encode() in content] == []
