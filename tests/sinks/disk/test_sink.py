import json
import random
import resource
import signal
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import safetensors.numpy
import torch
from PIL import Image

from saliency_callbacks.errors import ConfigurationError, SaliencyWarning
from saliency_callbacks.sinks import DiskSink, read_index, read_maps, read_probe
from saliency_callbacks.sinks.disk import atomic
from saliency_callbacks.sinks.disk import sink as disk_sink
from saliency_callbacks.sinks.disk.archive import read_table
from saliency_callbacks.sinks.disk.atomic import replace_file
from saliency_callbacks.sinks.disk.journal import append_line
from saliency_callbacks.types import Cell, ProbeView, Sink, Snapshot, Table


@contextmanager
def limited_file_size(size):
    """Let no file of this process grow past ``size``."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def steps(directory):
    return [(entry["step"], entry["stage"]) for entry in read_index(directory)["observations"]]


def files(directory):
    return sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file())


def test_is_a_sink(tmp_path):
    assert isinstance(DiskSink(tmp_path), Sink)


def test_the_stored_file_is_plain_safetensors(tmp_path, make_snapshot):
    snapshot = make_snapshot(step=10)
    DiskSink(tmp_path).write(snapshot, {})
    stored = safetensors.numpy.load_file(tmp_path / "maps" / "000000010.safetensors")
    assert sorted(stored) == [
        "confidences",
        "grad_cam/score",
        "grad_cam/target",
        "grad_cam/values",
        "gradient/extras/convergence_delta",
        "gradient/score",
        "gradient/target",
        "gradient/values",
        "labels",
        "predictions",
    ]
    np.testing.assert_array_equal(stored["gradient/values"], snapshot.attributions["gradient"].values.numpy())
    assert stored["labels"].tolist() == [1, 0]


def test_reading_gives_every_tensor_back(tmp_path, make_snapshot):
    snapshot = make_snapshot()
    DiskSink(tmp_path).write(snapshot, {})
    (entry,) = read_index(tmp_path)["observations"]
    maps = read_maps(tmp_path, entry)
    for name, attribution in snapshot.attributions.items():
        for part in ("values", "target", "score"):
            assert torch.equal(maps[f"{name}/{part}"], getattr(attribution, part))
        torch.testing.assert_close(maps[f"{name}/magnitude"], attribution.magnitude)
    for part in ("predictions", "confidences", "labels"):
        assert torch.equal(maps[part], getattr(snapshot, part))


@pytest.fixture
def probe():
    return ProbeView(
        fingerprint="ab" * 32,
        ids=("val/0", "val/7"),
        images=torch.arange(2 * 8 * 6 * 3, dtype=torch.uint8).reshape(2, 8, 6, 3),
        tokens=(("a", "bad"), ("film",)),
        special=((True, False), (False,)),
        labels=torch.tensor([1, 0]),
        class_names=("<b>cat</b>", "dog"),
        masks=torch.tensor([[[True]], [[False]]]),
        groups=("left", "right"),
    )


def test_reading_gives_the_probe_back(tmp_path, make_snapshot, probe):
    DiskSink(tmp_path).write(make_snapshot(probe=probe), {})
    read = read_probe(tmp_path, read_index(tmp_path)["probe"])
    for name, expected in vars(probe).items():
        found = getattr(read, name)
        assert torch.equal(found, expected) if isinstance(expected, torch.Tensor) else found == expected, name


def test_the_probe_is_written_once(tmp_path, make_snapshot, probe):
    sink = DiskSink(tmp_path)
    sink.write(make_snapshot(step=1, probe=probe), {})
    (file,) = tmp_path.glob("probe-*.safetensors")
    file.unlink()
    sink.write(make_snapshot(step=2, probe=probe), {})
    assert not file.exists()
    sink.write(make_snapshot(step=3, probe=replace(probe, fingerprint="../" * 20)), {})
    assert read_index(tmp_path)["probe"]["file"] == "probe-____________.safetensors"


def test_the_index_describes_the_observation(tmp_path, make_snapshot):
    DiskSink(tmp_path).write(make_snapshot(step=10), {})
    assert json.loads((tmp_path / "index.json").read_text()) == {"format": 2, "probe": None}
    (line,) = (tmp_path / "observations.jsonl").read_text().splitlines()
    assert json.loads(line) == {
        "epoch": 1,
        "step": 10,
        "stage": "fit",
        "file": "maps/000000010.safetensors",
        "ids": ["val/0", "val/7"],
        "methods": {
            "gradient": {"layer": None, "reduction": "abs_max", "size": [8, 8]},
            "grad_cam": {"layer": "layer4", "reduction": "sum", "size": [8, 8]},
        },
        "scores": {"saliency/gradient/entropy": 0.25},
        "metadata": {"precision": "32-true"},
        "pictures": {},
        "texts": {},
        "tables": {},
        "alerts": {},
    }


@pytest.mark.parametrize("reduction", [None, "median"], ids=["none", "unknown to the format"])
@pytest.mark.parametrize(
    "magnitude", [torch.rand(2, 8, 8), torch.full((2, 8, 8), torch.nan)], ids=["finite", "not finite"]
)
def test_a_magnitude_that_the_values_do_not_give_is_stored(tmp_path, make_snapshot, magnitude, reduction):
    snapshot = make_snapshot()
    object.__setattr__(snapshot.attributions["gradient"], "magnitude", magnitude)
    object.__setattr__(snapshot.attributions["gradient"], "reduction", reduction)
    DiskSink(tmp_path).write(snapshot, {})
    (entry,) = read_index(tmp_path)["observations"]
    assert entry["methods"]["gradient"]["reduction"] is None
    assert "gradient/magnitude" in safetensors.numpy.load_file(tmp_path / entry["file"])
    stored = read_maps(tmp_path, entry)["gradient/magnitude"]
    assert torch.equal(stored.isnan(), magnitude.isnan())
    assert torch.equal(stored.nan_to_num(), magnitude.nan_to_num())


@pytest.mark.parametrize("name", ["gradient", "grad_cam"])
def test_values_that_are_not_finite_come_back_and_so_does_their_magnitude(tmp_path, make_snapshot, name):
    snapshot = make_snapshot()
    attribution = snapshot.attributions[name]
    attribution.values[0] = torch.nan
    attribution.magnitude[0] = torch.nan
    DiskSink(tmp_path).write(snapshot, {})
    (entry,) = read_index(tmp_path)["observations"]
    assert entry["methods"][name]["reduction"] is not None
    maps = read_maps(tmp_path, entry)
    for part in ("values", "magnitude"):
        torch.testing.assert_close(maps[f"{name}/{part}"], getattr(attribution, part), equal_nan=True)


@pytest.mark.parametrize("spatial", [(6,), (6, 5), (4, 5, 3)])
@pytest.mark.parametrize(
    ("reduction", "reduce"),
    [
        pytest.param("abs_max", lambda values: values.abs().amax(1), id="abs_max"),
        pytest.param("positive_max", lambda values: values.relu().amax(1), id="positive_max"),
        pytest.param("l2", lambda values: torch.linalg.vector_norm(values, dim=1), id="l2"),
        pytest.param("abs_sum", lambda values: values.abs().sum(1), id="abs_sum"),
        pytest.param("sum", lambda values: values.sum(1).abs(), id="sum"),
    ],
)
def test_every_known_reduction_comes_back_in_every_dimension(tmp_path, make_snapshot, spatial, reduction, reduce):
    snapshot = make_snapshot()
    attribution = snapshot.attributions["gradient"]
    object.__setattr__(attribution, "values", torch.randn(2, 3, *spatial))
    object.__setattr__(attribution, "magnitude", reduce(attribution.values))
    object.__setattr__(attribution, "reduction", reduction)
    DiskSink(tmp_path).write(snapshot, {})
    (entry,) = read_index(tmp_path)["observations"]
    assert entry["methods"]["gradient"]["reduction"] == reduction
    assert "gradient/magnitude" not in safetensors.numpy.load_file(tmp_path / entry["file"])
    torch.testing.assert_close(read_maps(tmp_path, entry)["gradient/magnitude"], attribution.magnitude)


def test_views_shared_and_half_precision_tensors(tmp_path, make_snapshot):
    snapshot = make_snapshot()
    gradient, cam = snapshot.attributions["gradient"], snapshot.attributions["grad_cam"]
    object.__setattr__(cam, "target", gradient.target)
    object.__setattr__(gradient, "values", torch.randn(2, 1, 8, 8).bfloat16().expand(2, 3, 8, 8).transpose(2, 3))
    DiskSink(tmp_path).write(snapshot, {})
    maps = read_maps(tmp_path, read_index(tmp_path)["observations"][0])
    assert torch.equal(maps["gradient/values"], gradient.values)
    assert maps["gradient/values"].dtype == torch.bfloat16


def test_a_model_that_does_not_classify(tmp_path, make_snapshot):
    DiskSink(tmp_path).write(make_snapshot(predictions=None, confidences=None, labels=None), {})
    maps = read_maps(tmp_path, read_index(tmp_path)["observations"][0])
    assert not {"predictions", "confidences", "labels"} & set(maps)


def test_stages_of_one_step_do_not_collide(tmp_path, make_snapshot):
    sink = DiskSink(tmp_path)
    for stage in ("initial", "fit", "validate"):
        sink.write(make_snapshot(step=0, stage=stage), {})
    assert steps(tmp_path) == [(0, "initial"), (0, "fit"), (0, "validate")]
    assert files(tmp_path / "maps") == [
        "000000000-initial.safetensors",
        "000000000-validate.safetensors",
        "000000000.safetensors",
    ]


def test_a_resumed_run_continues_the_index(tmp_path, make_snapshot):
    first = DiskSink(tmp_path)
    for step in (10, 20, 30):
        first.write(make_snapshot(step=step, scores={"score": 1.0}), {})
    resumed = DiskSink(tmp_path)
    resumed.write(make_snapshot(step=20, scores={"score": 2.0}), {})
    resumed.write(make_snapshot(step=15), {})
    assert steps(tmp_path) == [(10, "fit"), (15, "fit"), (20, "fit"), (30, "fit")]
    assert [entry["scores"].get("score") for entry in read_index(tmp_path)["observations"]] == [1.0, None, 2.0, 1.0]


def test_scores_that_are_not_finite_are_null(tmp_path, make_snapshot):
    scores = {"nan": float("nan"), "inf": float("inf"), "half": 0.5}
    DiskSink(tmp_path).write(make_snapshot(scores=scores), {})
    assert read_index(tmp_path)["observations"][0]["scores"] == {"nan": None, "inf": None, "half": 0.5}
    json.loads((tmp_path / "observations.jsonl").read_text(), parse_constant=pytest.fail)


def test_any_metadata_is_kept_as_well_as_json_can(tmp_path, make_snapshot):
    metadata = {
        "flag": True,
        "shape": (3, 8),
        "nested": {1: [None, float("nan")]},
        "count": np.int64(3),
        "rate": torch.tensor(0.5),
        "dtype": torch.float16,
        "path": tmp_path,
    }
    DiskSink(tmp_path).write(make_snapshot(metadata=metadata), {})
    assert read_index(tmp_path)["observations"][0]["metadata"] == {
        "flag": True,
        "shape": [3, 8],
        "nested": {"1": [None, None]},
        "count": 3,
        "rate": 0.5,
        "dtype": "torch.float16",
        "path": str(tmp_path),
    }


def test_pictures_are_off_by_default(tmp_path, make_snapshot, picture):
    DiskSink(tmp_path).write(make_snapshot(), {"saliency/gradient": picture})
    assert files(tmp_path) == ["index.json", "maps/000000010.safetensors", "observations.jsonl"]


def test_pictures_are_lossless_and_indexed(tmp_path, make_snapshot, picture):
    DiskSink(tmp_path, pictures=True).write(make_snapshot(step=10), {"saliency/gradient": picture})
    (entry,) = read_index(tmp_path)["observations"]
    assert entry["pictures"] == {"saliency/gradient": "pictures/saliency__gradient/000000010.png"}
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / entry["pictures"]["saliency/gradient"])), picture)


@pytest.mark.parametrize(
    "tag", ["../../escape", "..", "", ".", "/etc/x", "a\\..\\b", "C:x", "a\0b", "é" * 300, "x" * 300]
)
def test_a_tag_cannot_lead_out_of_the_directory(tmp_path, make_snapshot, picture, tag):
    directory = tmp_path / "inside"
    DiskSink(directory, pictures=True).write(make_snapshot(), {tag: picture})
    assert [path.name for path in tmp_path.iterdir()] == ["inside"]
    (file,) = read_index(directory)["observations"][0]["pictures"].values()
    assert (directory / file).resolve().parent.parent == (directory / "pictures").resolve()


def test_an_animation_is_a_gif_beside_the_other_pictures(tmp_path, make_snapshot, picture):
    DiskSink(tmp_path, pictures=True).write(make_snapshot(), {"still": picture, "moving": np.stack([picture] * 2)})
    (entry,) = read_index(tmp_path)["observations"]
    assert entry["pictures"] == {"still": "pictures/still/000000010.png", "moving": "pictures/moving/000000010.gif"}
    with Image.open(tmp_path / entry["pictures"]["moving"]) as image:
        assert (image.format, image.size) == ("GIF", (20, 12))


@pytest.mark.parametrize("failing", ["replace", "serializer", "picture"])
def test_a_failure_in_the_middle_leaves_the_old_observations_whole(
    tmp_path, monkeypatch, make_snapshot, picture, failing
):
    sink = DiskSink(tmp_path, pictures=True)
    sink.write(make_snapshot(step=1), {"tag": picture})
    before = {file: (tmp_path / file).read_bytes() for file in files(tmp_path)}

    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    owner, name = {
        "replace": (atomic.os, "replace"),
        "serializer": (disk_sink, "write_tensors"),
        "picture": (disk_sink, "encode_png"),
    }[failing]
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, fail)
        with pytest.raises(OSError, match="No space left"):
            sink.write(make_snapshot(step=2), {"tag": picture})
    after = {file: (tmp_path / file).read_bytes() for file in files(tmp_path)}
    assert before.items() <= after.items()
    assert not [file for file in after if ".tmp" in file]
    assert steps(tmp_path) == [(1, "fit")]
    sink.write(make_snapshot(step=2), {"tag": picture})
    assert steps(tmp_path) == [(1, "fit"), (2, "fit")]


def test_the_index_never_lists_a_file_that_is_not_there(tmp_path, monkeypatch, make_snapshot, picture):
    replaced = []
    replace = atomic.os.replace

    def record(source, destination):
        replaced.append(destination.name)
        replace(source, destination)

    monkeypatch.setattr(atomic.os, "replace", record)
    DiskSink(tmp_path, pictures=True).write(make_snapshot(step=1), {"tag": picture})
    assert replaced == ["000000001.safetensors", "000000001.png", "index.json"]


def test_a_line_that_does_not_fit_on_the_disk_is_taken_back(tmp_path, monkeypatch, make_snapshot):
    sink = DiskSink(tmp_path)
    sink.write(make_snapshot(step=1), {})
    before = (tmp_path / "observations.jsonl").read_bytes()
    # Of the kernel's own making: a file may not grow past this.
    with limited_file_size(len(before) + 20), pytest.raises(OSError, match=r"File too large|No space left"):
        append_line(tmp_path / "observations.jsonl", {"step": 2, "stage": "fit", "text": "x" * 100})
    assert (tmp_path / "observations.jsonl").read_bytes() == before
    sink.write(make_snapshot(step=2), {})
    assert steps(tmp_path) == [(1, "fit"), (2, "fit")]


@pytest.mark.parametrize("kept", [1, 30, -1], ids=["one byte", "half", "all but the newline"])
def test_what_a_killed_process_left_of_a_line_is_said_and_then_overwritten(tmp_path, make_snapshot, kept):
    sink = DiskSink(tmp_path)
    sink.write(make_snapshot(step=1), {})
    whole = (tmp_path / "observations.jsonl").read_bytes()
    sink.write(make_snapshot(step=2), {})
    both = (tmp_path / "observations.jsonl").read_bytes()
    (tmp_path / "observations.jsonl").write_bytes(whole + both[len(whole) :][:kept])
    assert steps(tmp_path) == [(1, "fit")]
    assert read_index(tmp_path)["damaged"] == 1
    DiskSink(tmp_path).write(make_snapshot(step=3), {})
    assert steps(tmp_path) == [(1, "fit"), (3, "fit")]
    assert read_index(tmp_path)["damaged"] == 0


def test_a_line_costs_the_same_however_many_there_are(tmp_path, monkeypatch, make_snapshot):
    written = []
    monkeypatch.setattr(
        disk_sink, "append_line", lambda path, record: written.append(len(record)) or append_line(path, record)
    )
    replaced = []
    monkeypatch.setattr(
        disk_sink, "replace_file", lambda path, content: replaced.append(path.name) or replace_file(path, content)
    )
    sink = DiskSink(tmp_path)
    for step in range(50):
        sink.write(make_snapshot(step=step), {})
    assert len(written) == 50
    assert replaced.count("index.json") == 1, "it is not written again"


@pytest.mark.parametrize(
    ("keep_maps", "with_maps"),
    [
        ("all", [0, 1, 2, 3, 4, 5, 6, 7]),
        (1, [0, 7]),
        (3, [0, 5, 6, 7]),
        (50, [0, 1, 2, 3, 4, 5, 6, 7]),
        ({"last": 2}, [0, 6, 7]),
        ({"every": 3}, [0, 1, 4, 7]),
        ({"every": 4}, [0, 1, 5, 7]),
        ({"last": 2, "every": 3}, [0, 1, 4, 6, 7]),
    ],
    ids=str,
)
def test_maps_are_kept_of_some_observations_and_scores_of_all(tmp_path, make_snapshot, picture, keep_maps, with_maps):
    sink = DiskSink(tmp_path, pictures=True, keep_maps=keep_maps)
    for step in range(8):
        stage = "fit" if step else "initial"
        sink.write(make_snapshot(step=step, stage=stage, scores={"score": step}), {"tag": picture})
    index = read_index(tmp_path)
    entries = index["observations"]
    assert ([entry["scores"]["score"] for entry in entries], index["damaged"]) == (list(range(8)), 0)
    assert [entry["step"] for entry in entries if entry["file"]] == with_maps
    listed = {entry["file"] for entry in entries} | {file for entry in entries for file in entry["pictures"].values()}
    assert {file for file in files(tmp_path) if "/" in file} == listed - {None}
    for entry in entries:
        if entry["file"] is None:
            with pytest.raises(ConfigurationError, match=f"the maps of step {entry['step']} were removed"):
                read_maps(tmp_path, entry)
        else:
            assert read_maps(tmp_path, entry)


def test_the_last_word_takes_no_place_of_the_maps(tmp_path, make_snapshot):
    sink = DiskSink(tmp_path, keep_maps=1)
    for step, stage in enumerate(["initial", "fit", "fit", "final"]):
        sink.write(make_snapshot(step=step, stage=stage), {})
    assert [entry["stage"] for entry in read_index(tmp_path)["observations"] if entry["file"]] == [
        "initial",
        "fit",
        "final",
    ]


def test_a_run_that_goes_on_keeps_what_the_whole_run_would_have_kept(tmp_path, make_snapshot):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for directory, resumed_at in ((whole, 99), (parts, 5)):
        sink = DiskSink(directory, keep_maps={"every": 3, "last": 2})
        for step in range(8):
            if step == resumed_at:
                # From a checkpoint that was two observations old.
                sink = DiskSink(directory, keep_maps={"every": 3, "last": 2})
                for again in (3, 4):
                    sink.write(make_snapshot(step=again), {})
            sink.write(make_snapshot(step=step), {})
    kept = [[entry["step"] for entry in read_index(run)["observations"] if entry["file"]] for run in (whole, parts)]
    assert kept[0] == kept[1] == [0, 3, 6, 7]


def test_a_file_goes_after_the_index_stopped_listing_it(tmp_path, monkeypatch, make_snapshot):
    removed = []

    def unlink(path, missing_ok=False):
        listed = {entry["file"] for entry in read_index(tmp_path)["observations"]}
        removed.append((path.name, f"maps/{path.name}" in listed))

    sink = DiskSink(tmp_path, keep_maps=1)
    with monkeypatch.context() as patch:
        patch.setattr(disk_sink.Path, "unlink", unlink)
        for step in range(3):
            sink.write(make_snapshot(step=step), {})
    assert removed == [("000000000.safetensors", False), ("000000001.safetensors", False)]


@pytest.mark.parametrize(
    "keep_maps", ["last", "last:5", 0, -1, True, 1.5, None, {}, {"first": 2}, {"every": 0}, {"last": "5"}, ["every", 3]]
)
def test_what_cannot_be_kept(tmp_path, keep_maps):
    with pytest.raises(ConfigurationError, match=r"keep_maps=.*; expected 'all', the number of latest observations"):
        DiskSink(tmp_path, keep_maps=keep_maps)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"\xff\xfe\x00",
        b'{"format": 2, "prob',
        b'{"format": 2}',
        b'{"format": 1, "probe": null, "observations": []}',
        b'{"format": 2, "probe": 7}',
        b'{"format": 2, "probe": {"fingerprint": "ab"}}',
    ],
)
def test_a_damaged_index_is_moved_aside(tmp_path, make_snapshot, content):
    (tmp_path / "index.json").write_bytes(content)
    with pytest.warns(SaliencyWarning, match=r"moved to 'index.json.corrupt'"):
        DiskSink(tmp_path).write(make_snapshot(step=5), {})
    assert (tmp_path / "index.json.corrupt").read_bytes() == content
    assert steps(tmp_path) == [(5, "fit")]


def test_an_index_that_cannot_be_read_for_a_moment_is_not_discarded(tmp_path, monkeypatch, make_snapshot):
    sink = DiskSink(tmp_path)
    sink.write(make_snapshot(step=1), {})

    def fail(_):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(disk_sink.Path, "read_bytes", fail)
        with pytest.raises(OSError, match="Input/output error"):
            sink.write(make_snapshot(step=2), {})
    assert steps(tmp_path) == [(1, "fit")]


def test_a_relative_directory_is_resolved_at_construction(tmp_path, monkeypatch, make_snapshot):
    monkeypatch.chdir(tmp_path)
    sink = DiskSink("maps_of_run")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    sink.write(make_snapshot(), {})
    assert steps(tmp_path / "maps_of_run") == [(10, "fit")]


def test_construction_touches_no_disk(tmp_path):
    DiskSink(tmp_path / "later")
    assert not (tmp_path / "later").exists()


def test_directories_that_cannot_work(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="is a file; expected a directory"):
        DiskSink(tmp_path / "file")
    with pytest.raises(ConfigurationError, match="remote address; expected a local directory"):
        DiskSink("s3://bucket/run")


def test_writing_advances_no_random_generator(tmp_path, make_snapshot, picture):
    snapshot = make_snapshot()
    before = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())  # noqa: NPY002
    DiskSink(tmp_path, pictures=True).write(snapshot, {"tag": picture})
    after = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())  # noqa: NPY002
    assert before == after


def test_tables_are_kept_as_values(tmp_path, make_snapshot):
    table = Table(
        ("class", "n"), ((Cell("a|`b`", "name"), Cell("3")), (Cell("all", "emphasis"), Cell("3"))), note="1 of 2"
    )
    sink = DiskSink(tmp_path)
    sink.write(make_snapshot(tables={"cue/x/groups": table}), {})
    (entry,) = read_index(tmp_path)["observations"]
    assert {tag: read_table(found) for tag, found in entry["tables"].items()} == {"cue/x/groups": table}
    assert entry["texts"] == {}
    sink.write(make_snapshot(), {})
    (entry,) = read_index(tmp_path)["observations"]
    assert entry["tables"] == {}, "an observation that is made again replaces the first"


def test_texts_and_the_values_behind_the_scores_are_kept(tmp_path, make_snapshot):
    values = torch.tensor([0.25, float("nan")])
    snapshot = make_snapshot(texts={"a/b": "**bold**"}, sample_scores={"saliency/gradient/entropy": values})
    DiskSink(tmp_path).write(snapshot, {})
    (entry,) = read_index(tmp_path)["observations"]
    assert entry["texts"] == {"a/b": "**bold**"}
    torch.testing.assert_close(
        read_maps(tmp_path, entry)["samples/saliency/gradient/entropy"], values, rtol=0, atol=0, equal_nan=True
    )


def test_an_observation_without_maps_is_kept(tmp_path):
    DiskSink(tmp_path).write(Snapshot(epoch=0, step=3, stage="fit", attributions={}, scores={"a": 1.0}), {})
    (entry,) = read_index(tmp_path)["observations"]
    assert entry["scores"] == {"a": 1.0}
    assert read_maps(tmp_path, entry) == {}
