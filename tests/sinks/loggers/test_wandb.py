"""What a real, offline W&B run received."""

from __future__ import annotations

import inspect
import json
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import wandb
from lightning.pytorch.loggers import WandbLogger
from PIL import Image

from saliency_callbacks import SaliencyMonitor
from saliency_callbacks.sinks import WandbSink, sink_for_logger
from saliency_callbacks.sinks.loggers import wandb as wandb_sink
from saliency_callbacks.types import Cell, Snapshot, Table
from tests.trainer.runs import Classifier, train_loader, trainer, val_loader

pytestmark = [
    # Of wandb and of the Lightning adapter to it, which no caller can avoid.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:There is a wandb run already in progress:UserWarning"),
]

_GROWING = pytest.mark.skipif(
    "log_mode" not in inspect.signature(wandb.Table.__init__).parameters,
    reason="in this release of wandb tables do not grow",
)


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


def test_a_report_is_shown_and_kept_as_an_artifact(logger, monkeypatch, tmp_path):
    kept = []
    log_artifact = logger.experiment.log_artifact
    monkeypatch.setattr(logger.experiment, "log_artifact", lambda one: (kept.append(one), log_artifact(one)))
    report = tmp_path / "report.html"
    report.write_text("<!doctype html><p>Ümlaut</p>", encoding="utf-8")
    WandbSink(logger).add_report(report, "saliency/report")
    (shown,) = media(logger, "html", "html")
    assert shown.read_bytes() == report.read_bytes()
    (artifact,) = kept
    assert (artifact.type, artifact.name.partition(":")[0]) == ("report", f"saliency-report-{logger.experiment.id}")
    assert Path(artifact.manifest.entries["report.html"].local_path).read_bytes() == report.read_bytes()


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
    written(sink, snapshot, pictures)
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
    written(WandbSink(logger), Snapshot(epoch=0, step=0, stage="fit", attributions={}), {})
    assert calls == []


def test_a_table_is_markdown_as_it_stands(logger):
    table = Table(("a",), ((Cell("<b>"),),))
    written(
        WandbSink(logger), Snapshot(epoch=0, step=0, stage="fit", attributions={}, tables={"cue/x/groups": table}), {}
    )
    (text,) = media(logger, "html", "html")
    assert "| a |\n|---|\n| &lt;b&gt; |" in text.read_text()


def test_an_animation_is_a_gif(logger):
    frames = np.stack([picture(0), picture(1)])
    written(WandbSink(logger), Snapshot(epoch=0, step=0, stage="fit", attributions={}), {"saliency/film": frames})
    (file,) = media(logger, "videos", "gif")
    with Image.open(file) as image:
        assert (image.format, image.n_frames, image.size) == ("GIF", 2, (20, 12))


def written(sink: WandbSink, snapshot: Snapshot, pictures: dict[str, np.ndarray]) -> None:
    sink.write(snapshot, pictures)
    sink.commit()


def observation(step: int, **scores: list[float]) -> Snapshot:
    return Snapshot(
        epoch=step,
        step=step,
        stage="fit",
        attributions={},
        predictions=torch.tensor([0, 1]),
        confidences=torch.tensor([0.5, 0.75]),
        labels=torch.tensor([1, 1]),
        ids=("val/3", "val/9"),
        sample_scores={f"saliency/{name}": torch.tensor(values) for name, values in scores.items()},
    )


def tables(logger: WandbLogger) -> list[tuple[str, dict]]:
    """Return the name of the key and the content of every table in the run's directory, oldest first."""
    # The number behind the key is W&B's step, and counts calls.
    files = sorted(media(logger, "table", "table.json"), key=lambda file: int(file.stem.split("_")[-2]))
    return [(file.name.rsplit("_", 2)[0], json.loads(file.read_text())) for file in files]


def test_each_observation_adds_its_rows_and_only_these(logger):
    sink = WandbSink(logger)
    written(sink, observation(0, gini=[0.5, float("nan")], mass=[1.0, 0.0]), {})
    written(sink, observation(7, gini=[0.25, 0.5]), {})
    (first, second) = tables(logger)
    facts = ["moment", "epoch", "step", "sample", "label", "prediction", "confidence"]
    assert [name for name, _ in (first, second)] == ["samples", "samples"]
    assert first[1] == {
        "columns": [*facts, "saliency/gini", "saliency/mass"],
        "data": [
            ["epoch 0", 0, 0, "val/3", 1, 0, 0.5, 0.5, 1.0],
            ["epoch 0", 0, 0, "val/9", 1, 1, 0.75, None, 0.0],
        ],
    }
    assert second[1]["columns"] == first[1]["columns"]
    assert second[1]["data"] == [
        ["epoch 7", 7, 7, "val/3", 1, 0, 0.5, 0.25, None],
        ["epoch 7", 7, 7, "val/9", 1, 1, 0.75, 0.5, None],
    ]


def test_pictures_and_rows_share_one_call(logger, monkeypatch):
    logged = []
    monkeypatch.setattr(logger, "log_metrics", lambda metrics, step: logged.append((step, set(metrics))))
    written(WandbSink(logger), observation(3, gini=[0.5, 0.5]), {"saliency/a": picture(0)})
    assert logged == [(3, {"saliency/a", "saliency/samples"})]


@_GROWING
def test_a_long_run_and_new_columns_begin_new_tables(logger, monkeypatch):
    monkeypatch.setattr(wandb_sink, "_MOST_INCREMENTS", 2)
    sink = WandbSink(logger)
    for step in range(5):
        written(sink, observation(step, gini=[0.5, 0.5]), {})
    written(sink, observation(5, gini=[0.5, 0.5], mass=[0.5, 0.5]), {})
    names = [name for name, _ in tables(logger)]
    assert names == ["samples", "samples", "samples_2", "samples_2", "samples_3", "samples_4"]
    assert {len(table["data"]) for _, table in tables(logger)} == {2}
    assert len(sink._table._table.data) == 2, "what was sent long ago is not kept"


@_GROWING
def test_a_second_training_in_the_same_run_does_not_hide_the_rows_of_the_first(logger):
    for step in (0, 1):
        written(WandbSink(logger), observation(step, gini=[0.5, 0.5]), {})
    assert [name for name, _ in tables(logger)] == ["samples", "samples_2"]


def test_before_tables_could_grow_each_observation_has_its_own(logger, monkeypatch):
    class Table(wandb.Table):
        def __init__(self, columns, data):
            super().__init__(columns=columns, data=data)

    monkeypatch.setattr(wandb, "Table", Table)
    sink = WandbSink(logger)
    for step in (0, 1):
        written(sink, observation(step, gini=[0.5, 0.5]), {})
    assert [(name, [row[2] for row in table["data"]]) for name, table in tables(logger)] == [
        ("samples", [0, 0]),
        ("samples", [1, 1]),
    ]


def test_media_share_a_step_among_themselves_and_with_the_metrics_the_key_of_a_slider(logger, tmp_path):
    callbacks = [SaliencyMonitor("gradient", probe=4), SaliencyMonitor("gradient", probe=4, namespace="other")]
    trainer(tmp_path, *callbacks, logger=logger).fit(Classifier(), train_loader(), val_loader())
    logger.experiment.finish()
    (file,) = tmp_path.rglob("*.wandb")
    rows, axes = history(file)
    for namespace in ("saliency", "other"):
        with_media = [row for row in rows if f"{namespace}/gradient" in row]
        assert all({f"{namespace}/gradient/filmstrip", f"{namespace}/samples"} <= row.keys() for row in with_media)
        metrics = [row["trainer/global_step"] for row in rows if f"{namespace}/probe_accuracy" in row]
        assert [row["trainer/global_step"] for row in with_media] == metrics
        assert len(metrics) == 3
    assert axes == {"*": "trainer/global_step"}


def test_only_the_thread_that_trains_logs(logger, tmp_path, monkeypatch):
    """W&B counts its steps without a lock: of two threads that log at once, one loses what it logged."""
    log, threads = logger.log_metrics, {}

    def logged(metrics, step):
        threads.setdefault(threading.current_thread(), []).extend(metrics)
        log(metrics, step)

    monkeypatch.setattr(logger, "log_metrics", logged)
    trainer(tmp_path, SaliencyMonitor("gradient", probe=4), logger=logger).fit(
        Classifier(), train_loader(), val_loader()
    )
    (keys,) = (keys for thread, keys in threads.items() if thread is threading.main_thread())
    assert len(threads) == 1
    assert keys.count("saliency/gradient") == 3


def history(file: Path) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Return the rows that a run logged and, by pattern, the axis of its metrics."""
    from wandb.proto.wandb_internal_pb2 import Record

    rows, axes = [], {}
    for record in map(Record.FromString, leveldb_records(file.read_bytes())):
        if record.HasField("history"):
            items = record.history.item
            # Of media, each entry of the description is an item.
            rows.append({item.key or item.nested_key[0]: json.loads(item.value_json) for item in items})
        if record.HasField("metric") and record.metric.glob_name:
            axes[record.metric.glob_name] = record.metric.step_metric
    return rows, axes


def leveldb_records(content: bytes) -> Iterator[bytes]:
    """Yield the records of a log of LevelDB: blocks of 32 KiB, and in them pieces with seven bytes of header."""
    position, pieces, block = 7, b"", 32768
    while position + 7 <= len(content):
        rest = block - position % block
        if rest < 7:
            position += rest
            continue
        _, length, kind = struct.unpack_from("<IHB", content, position)
        pieces += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or the last piece
            yield pieces
            pieces = b""
