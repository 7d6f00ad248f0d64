"""What a run leaves in TensorBoard, and that it says what was computed."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from PIL import Image
from scipy.stats import spearmanr
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from saliency_callbacks import Probe, SaliencyMonitor, Storage
from saliency_callbacks.sinks import MemorySink, read_index
from tests.score_tags import MAP_TAGS
from tests.trainer.runs import Classifier, RecordingLogger, digits, stages, train_loader, trainer, val_loader

_SCALARS = {
    *(
        f"saliency/{method}/{score}"
        for method in ("gradient", "grad_cam")
        for score in ("drift_previous", "drift_initial", *MAP_TAGS)
    ),
    "saliency/probe_accuracy",
    "saliency/probe_confidence",
}
_DRAWN = {tag for tag in _SCALARS if tag.rpartition("/")[2] in ("drift_previous", "drift_initial", "probe_accuracy")}
_PICTURES = {f"saliency/{method}{suffix}" for method in ("gradient", "grad_cam") for suffix in ("", "/filmstrip")}
_PICTURES.add("saliency/methods")


def _events(logger: TensorBoardLogger) -> EventAccumulator:
    logger.experiment.flush()
    events = EventAccumulator(logger.log_dir, size_guidance={"images": 0, "scalars": 0})
    events.Reload()
    return events


def _image(encoded: bytes) -> Any:
    return np.asarray(Image.open(io.BytesIO(encoded)))


def test_without_arguments_few_scalars_are_drawn_and_all_are_monitored(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path)
    run = trainer(tmp_path, SaliencyMonitor(), logger=logger)
    run.fit(Classifier(), train_loader(), val_loader())
    events = _events(logger)
    assert set(events.Tags()["images"]) == _PICTURES
    assert {tag for tag in events.Tags()["scalars"] if tag.startswith("saliency/")} == _DRAWN
    assert run.callback_metrics.keys() >= _SCALARS
    index = read_index(Path(logger.log_dir, "saliency"))
    assert [(entry["stage"], entry["epoch"]) for entry in index["observations"]] == [
        ("initial", 0),
        ("fit", 0),
        ("fit", 1),
    ]
    assert len(index["observations"][0]["ids"]) == 16


@pytest.mark.parametrize("changes", [{}, {"accumulate_grad_batches": 2}, {"val_check_interval": 0.5}])
def test_pictures_and_scores_have_the_steps_of_lightnings_metrics(tmp_path: Path, changes: dict[str, Any]) -> None:
    logger = TensorBoardLogger(tmp_path)
    trainer(tmp_path, SaliencyMonitor("gradient", probe=4), logger=logger, max_epochs=3, **changes).fit(
        Classifier(), train_loader(), val_loader()
    )
    events = _events(logger)
    steps = [event.step for event in events.Scalars("val_loss")]
    assert len(steps) == (6 if "val_check_interval" in changes else 3)
    for tag in ("saliency/gradient", "saliency/gradient/filmstrip"):
        assert [event.step for event in events.Images(tag)] == [0, *steps]
    assert [event.step for event in events.Scalars("saliency/gradient/drift_initial")] == steps
    assert [event.step for event in events.Scalars("saliency/probe_accuracy")] == [0, *steps]


def test_train_epochs_have_the_steps_of_lightnings_metrics(tmp_path: Path) -> None:
    class LogsAtEpochEnd(Classifier):
        def on_train_epoch_end(self) -> None:
            self.log("epoch_end", 1.0)

    logger, sink = RecordingLogger(tmp_path), MemorySink()
    monitor = SaliencyMonitor("gradient", probe=Probe(4, source="train"), sinks=[sink])
    trainer(tmp_path, monitor, logger=logger).fit(LogsAtEpochEnd(), train_loader())
    steps = [step for step, _ in logger.of("epoch_end")]
    assert steps == [3, 7]
    assert [snapshot.step for snapshot in sink.snapshots] == [0, *steps]
    assert [step for step, _ in logger.of("saliency/probe_accuracy")] == [0, *steps]


def test_pictures_in_the_event_file_are_the_rendered_ones(tmp_path: Path) -> None:
    logger, sink = TensorBoardLogger(tmp_path), MemorySink()
    trainer(tmp_path, SaliencyMonitor(probe=4, sinks=[sink]), logger=logger).fit(
        Classifier(), train_loader(), val_loader()
    )
    events = _events(logger)
    assert len(sink.pictures) == 3
    for tag in _PICTURES:
        written = events.Images(tag)
        assert len(written) == len(sink.pictures)
        for event, pictures in zip(written, sink.pictures, strict=True):
            assert pictures[tag].dtype == np.uint8
            np.testing.assert_array_equal(_image(event.encoded_image_string), pictures[tag])


def test_a_trained_model_gives_other_pictures(tmp_path: Path) -> None:
    sink = MemorySink()
    run = trainer(tmp_path, SaliencyMonitor(probe=4, sinks=[sink]), max_epochs=5)
    run.fit(Classifier(), train_loader(), val_loader())
    assert not np.array_equal(sink.pictures[0]["saliency/gradient"], sink.pictures[-1]["saliency/gradient"])
    widths = [pictures["saliency/gradient/filmstrip"].shape[1] for pictures in sink.pictures]
    # A strip of one or two columns is as wide as its title.
    assert widths[2:] == sorted(set(widths[2:])), "the filmstrip has one more column at each observation"


def test_drift_is_one_minus_spearman_of_the_raw_maps(tmp_path: Path) -> None:
    sink = MemorySink()
    trainer(tmp_path, SaliencyMonitor(probe=5, sinks=[sink]), max_epochs=3).fit(
        Classifier(), train_loader(), val_loader()
    )
    for method in ("gradient", "grad_cam"):
        maps = [snapshot.attributions[method].values.flatten(1).double() for snapshot in sink.snapshots]
        assert f"saliency/{method}/drift_initial" not in sink.snapshots[0].scores
        for position, snapshot in enumerate(sink.snapshots[1:], start=1):
            # Of each sample the first map that has an order.
            firsts = [
                next((one for one in earlier if one.std() > 0), earlier[0])
                for earlier in zip(*maps[:position], strict=True)
            ]
            for tag, reference in (("drift_initial", firsts), ("drift_previous", maps[position - 1])):
                # One channel: the signed map is the raw one. A constant map has no order, and no drift.
                pairs = [pair for pair in zip(maps[position], reference, strict=True) if all(m.std() > 0 for m in pair)]
                expected = [1 - spearmanr(*pair).statistic for pair in pairs]
                assert snapshot.scores[f"saliency/{method}/{tag}"] == pytest.approx(np.mean(expected), abs=1e-5)
    assert sink.latest.scores["saliency/gradient/drift_initial"] > 0.01


def test_logged_scores_are_those_of_the_snapshots(tmp_path: Path) -> None:
    logger, sink = RecordingLogger(tmp_path), MemorySink()
    trainer(tmp_path, SaliencyMonitor(probe=4, sinks=[sink], storage=Storage(scalars="all")), logger=logger).fit(
        Classifier(), train_loader(), val_loader()
    )
    for tag in _SCALARS:
        expected = [
            (snapshot.step, pytest.approx(snapshot.scores[tag], rel=1e-6))
            for snapshot in sink.snapshots
            if tag in snapshot.scores
        ]
        assert logger.of(tag) == expected


def test_the_first_observation_sees_the_initial_weights(tmp_path: Path) -> None:
    class Weights(MemorySink):
        def write(self, snapshot: Any, pictures: Any) -> None:
            super().write(snapshot, pictures)
            seen.append(({k: v.clone() for k, v in module.state_dict().items()}, run.global_step))

    seen: list[Any] = []
    module = Classifier()
    initial = {name: value.clone() for name, value in module.state_dict().items()}
    sink = Weights()
    run = trainer(tmp_path, SaliencyMonitor("gradient", probe=4, sinks=[sink], on_error="raise"), max_epochs=1)
    run.fit(module, train_loader(), val_loader())
    assert stages(sink) == [("initial", 0), ("fit", 0)]
    assert seen[0][1] == 0
    assert all(torch.equal(seen[0][0][name], value) for name, value in initial.items())
    assert not torch.equal(seen[1][0]["net.0.weight"], initial["net.0.weight"])


def test_probe_accuracy_and_confidence_are_the_models(tmp_path: Path) -> None:
    sink = MemorySink()
    module = Classifier()
    trainer(tmp_path, SaliencyMonitor("gradient", probe=8, sinks=[sink])).fit(module, train_loader(), val_loader())
    images, labels = digits(100, 140)[[int(name) for name in sink.latest.ids]]
    assert sink.latest.labels.tolist() == labels.tolist()
    with torch.no_grad():
        confidence, prediction = module.eval()(images).softmax(1).max(1)
    assert sink.latest.predictions.tolist() == prediction.tolist()
    scores = sink.latest.scores
    assert scores["saliency/probe_accuracy"] == pytest.approx((prediction == labels).float().mean().item())
    assert scores["saliency/probe_confidence"] == pytest.approx(confidence.mean().item(), rel=1e-5)


def test_masks_give_localization_scores(tmp_path: Path) -> None:
    images, labels = digits(100, 104)[:]
    masks = torch.zeros(4, 8, 8, dtype=torch.bool)
    masks[:, :, :4] = True
    logger, sink = RecordingLogger(tmp_path), MemorySink()
    probe = Probe.from_tensors(images, labels, masks=masks)
    monitor = SaliencyMonitor("gradient", probe, sinks=[sink], storage=Storage(scalars=["*/region_*"]))
    trainer(tmp_path, monitor, logger=logger, max_epochs=1).fit(Classifier(), train_loader(), val_loader())
    maps = sink.latest.attributions["gradient"].magnitude
    mass = (maps[:, :, :4].flatten(1).sum(1) / maps.flatten(1).sum(1)).mean().item()
    assert logger.of("saliency/gradient/region_mass")[-1][1] == pytest.approx(mass, rel=1e-5)
    assert logger.of("saliency/gradient/region_lift")[-1][1] == pytest.approx(2 * mass, rel=1e-5)


def test_the_namespace_is_the_first_part_of_every_tag(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path)
    run = trainer(tmp_path, SaliencyMonitor("gradient", probe=4, namespace="where"), logger=logger, max_epochs=1)
    run.fit(Classifier(), train_loader(), val_loader())
    events = _events(logger)
    assert set(events.Tags()["images"]) == {"where/gradient", "where/gradient/filmstrip"}
    assert not [tag for tag in events.Tags()["scalars"] if tag.startswith("saliency")]
    assert Path(logger.log_dir, "where", "index.json").exists()


def test_validate_alone_observes_without_training(tmp_path: Path) -> None:
    sink = MemorySink()
    logger = CSVLogger(tmp_path)
    run = trainer(tmp_path, SaliencyMonitor("gradient", probe=4, sinks=[sink]), logger=logger)
    (metrics,) = run.validate(Classifier(), val_loader(), verbose=False)
    assert stages(sink) == [("validate", 0)]
    assert metrics["saliency/probe_accuracy"] == pytest.approx(sink.latest.scores["saliency/probe_accuracy"], rel=1e-6)
