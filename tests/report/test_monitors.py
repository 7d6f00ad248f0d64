from dataclasses import replace

import numpy as np
import pytest
import torch

from saliency_callbacks.functional import percentile
from saliency_callbacks.report.monitors import read_monitor, with_maps
from saliency_callbacks.report.runs import read_run
from saliency_callbacks.sinks import DiskSink
from saliency_callbacks.sinks.disk.shown import Maps, shrink
from saliency_callbacks.types import ProbeView, Snapshot
from tests.report.maps import attribution


def monitor_of(directory):
    return read_monitor(read_run(directory).archives[0], with_maps(256))


def test_maps_keep_their_values_and_their_full_color(tmp_path, write_run):
    monitor = monitor_of(write_run(tmp_path))
    gradient, cam = monitor.observations[3].maps["gradient"], monitor.observations[3].maps["grad_cam"]
    restored = torch.from_numpy(gradient.cells.astype("float32") * gradient.peak[:, None, None])
    assert restored[0, 12, 12] == pytest.approx(4.0, rel=1e-3)
    assert restored[0, 0, 0] == pytest.approx(0.08, rel=1e-3)
    torch.testing.assert_close(torch.from_numpy(gradient.full), percentile(restored, 0.99), rtol=1e-3, atol=1e-6)
    assert cam.cells.shape == (3, 4, 4), "a class activation map is kept at the layer's size"
    assert monitor.observations[3].predictions.tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("shape", "cells"), [((3, 1, 32), (3, 1, 20)), ((3, 1, 16, 16), (3, 16, 16)), ((3, 1, 5, 16, 16), (3, 1, 16, 16))]
)
def test_of_volumes_without_pictures_of_every_slice_the_middle_one_is_shown(tmp_path, view, shape, cells):
    values = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    images = torch.zeros(3, 24, 20, 3, dtype=torch.uint8)
    snapshot = Snapshot(
        0, 9, "fit", {"gradient": attribution("gradient", values)}, ids=view.ids, probe=replace(view, images=images)
    )
    DiskSink(tmp_path).write(snapshot, {})
    maps = monitor_of(tmp_path).observations[0].maps["gradient"]
    assert maps.cells.shape == cells
    if values.ndim == 5:
        middle = values[:, 0, 2]
        torch.testing.assert_close(
            torch.from_numpy(maps.cells[:, 0] * maps.peak[:, None, None]), middle, atol=1e-3, rtol=1e-3
        )


def test_texts_keep_the_sign_of_every_word(tmp_path):
    view = ProbeView("cd" * 32, ("a", "b"), tokens=(("not", "bad"), ("bad",)), special=((False, False), (False,)))
    values = torch.tensor([[[-2.0, 1.0]], [[0.5, 0.0]]])
    snapshot = Snapshot(0, 9, "fit", {"gradient": attribution("gradient", values)}, ids=view.ids, probe=view)
    DiskSink(tmp_path).write(snapshot, {})
    maps = monitor_of(tmp_path).observations[0].maps["gradient"]
    assert (maps.cells * maps.peak[:, None, None]).tolist() == [[[-2.0, 1.0]], [[0.5, 0.0]]]


def test_maps_that_are_not_kept_are_told_of_once(tmp_path, write_run):
    write_run(tmp_path)
    for step in (9, 19):
        (tmp_path / f"saliency/maps/{step:09d}.safetensors").unlink()
    monitor = monitor_of(tmp_path)
    assert [frame.entry["epoch"] for frame in monitor.observations] == [2, 3]
    (note,) = monitor.notes
    assert "the maps of 2 of 4 observations (epoch 0 to epoch 1) were not kept" in note


def test_a_torn_maps_file_is_left_out_with_a_note(tmp_path, write_run):
    path = write_run(tmp_path) / "saliency/maps/000000019.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    monitor = monitor_of(tmp_path)
    assert [frame.entry["epoch"] for frame in monitor.observations] == [0, 2, 3]
    assert monitor.notes[0].startswith("saliency: epoch 1 has no images because ")


def test_an_observation_of_another_probe_is_left_out_with_a_note(tmp_path, write_run):
    write_run(tmp_path, epochs=1, metadata={"probe": "ff" * 32})
    monitor = monitor_of(tmp_path)
    assert monitor.observations == ()
    assert monitor.notes == ("saliency: epoch 0 was left out because it explains a different probe.",)


def test_a_missing_probe_leaves_the_scores(tmp_path, write_run):
    next((write_run(tmp_path) / "saliency").glob("probe-*")).unlink()
    monitor = monitor_of(tmp_path)
    assert monitor.observations == ()
    assert "no images, because" in monitor.notes[0]


def test_shrinking_keeps_the_mass_and_takes_the_full_color_of_what_is_shown():
    cells = torch.rand(2, 32, 16, generator=torch.Generator().manual_seed(1))
    maps = Maps(cells.half().numpy(), np.array([3.0, 5.0], "float32"), np.ones(2, "float32"), np.zeros(2, dtype=bool))
    small = shrink(maps, 16)
    assert small.cells.shape == (2, 16, 8)
    expected = cells.reshape(2, 16, 2, 8, 2).mean((2, 4))
    torch.testing.assert_close(torch.from_numpy(small.cells.astype("float32")), expected, atol=2e-3, rtol=0)
    torch.testing.assert_close(torch.from_numpy(small.full / maps.peak), percentile(expected, 0.99), atol=1e-2, rtol=0)
    assert shrink(maps, 32) is maps
