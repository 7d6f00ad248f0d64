"""Slices of volumes as the page has them."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from saliency_callbacks.report.monitors import Monitor
from saliency_callbacks.report.pictures.samples import slice_pictures
from saliency_callbacks.report.pictures.sprites import Quality, sprite
from saliency_callbacks.report.pictures.volumes import volume_facts
from saliency_callbacks.report.run_contents import read_contents
from saliency_callbacks.report.runs import Archive, read_run
from saliency_callbacks.sinks import DiskSink, read_index, read_probe
from saliency_callbacks.sinks.disk.arrays import StoredProbe, open_maps, read_shown_maps, read_stored_probe
from saliency_callbacks.sinks.disk.shown import LONGEST_SIDE, Plane
from saliency_callbacks.types import ProbeView, Snapshot
from tests.report.maps import attribution

SHAPE = (30, 12, 10)


def _view(volumes):
    return ProbeView("ab" * 32, ("a", "b"), images=volumes[:, 15].expand(-1, -1, -1, 3), volumes=volumes)


@pytest.fixture
def written(tmp_path):
    """A run of volumes, and their values."""
    random = torch.Generator().manual_seed(0)
    volumes = torch.randint(0, 256, (2, *SHAPE, 1), dtype=torch.uint8, generator=random)
    values = torch.rand((2, 1, *SHAPE), generator=random)
    coarse = torch.rand((2, 1, 15, 3, 5), generator=random)
    maps = {
        "gradient": attribution("gradient", values),
        "cam": attribution_at("cam", coarse),
    }
    view = _view(volumes)
    DiskSink(tmp_path / "saliency").write(Snapshot(0, 0, "fit", maps, ids=view.ids, probe=view), {})
    return tmp_path, volumes, maps


def attribution_at(method, values):
    reduced = values.sum(1).abs()
    full = torch.nn.functional.interpolate(reduced[:, None], SHAPE, mode="trilinear", align_corners=False)[:, 0]
    found = attribution(method, values, layer="layer", reduction="sum")
    return type(found)(method, values, full, full, found.target, found.score, layer="layer", reduction="sum")


def _read(directory, method):
    index = read_index(directory / "saliency")
    (entry,) = index["observations"]
    probe = read_stored_probe(directory / "saliency", index["probe"])
    with open_maps(directory / "saliency", entry) as file:
        return read_shown_maps(file, method, entry["methods"][method], probe, LONGEST_SIDE), probe


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("method", ["gradient", "cam"])
def test_every_slice_along_every_axis_is_that_of_the_map(written, method, axis):
    directory, _, attributions = written
    maps, _ = _read(directory, method)
    magnitude = attributions[method].magnitude
    for index in (0, 1, SHAPE[axis] // 2, SHAPE[axis] - 1):
        cut = maps.cut(Plane(axis, index, SHAPE[axis]))
        found = torch.from_numpy(cut.cells[:, 0].astype("float32") * cut.peak[:, None, None])
        expected = magnitude.select(1 + axis, index)
        if found.shape != expected.shape:  # as the page enlarges it
            found = torch.nn.functional.interpolate(found[:, None], expected.shape[1:], mode="bilinear")[:, 0]
        torch.testing.assert_close(found, expected, atol=2e-3, rtol=2e-3)
        np.testing.assert_array_equal(cut.full, maps.full)


def _levels(encoded):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))))


def test_pictures_of_slices_stand_in_a_sheet(written):
    directory, volumes, _ = written
    _, probe = _read(directory, "gradient")
    shown = slice_pictures(probe, 0, [3, 4, 29])["pictures"]
    assert (shown["slices"], shown["height"], shown["width"]) == (3, 12, 10)
    sheet = _levels(shown["data"][1])[..., 0]
    for place, index in enumerate((3, 4, 29)):
        row, column = divmod(place, shown["columns"])
        found = sheet[row * 12 : (row + 1) * 12, column * 10 : (column + 1) * 10]
        np.testing.assert_array_equal(found, volumes[1, index, :, :, 0])
    across = slice_pictures(probe, 2, [7])["pictures"]
    np.testing.assert_array_equal(_levels(across["data"][0])[..., 0], volumes[0, :, :, 7, 0])


def test_maps_of_slices_stand_in_the_same_order(written):
    directory, _, attributions = written
    maps, _ = _read(directory, "gradient")
    cut = maps.cut(Plane(0, 3, 30), Plane(0, 4, 30))
    found = sprite(cut, cut.peak, Quality(256, lossless=True))
    assert found["slices"] == 2
    levels = _levels(found["data"])[..., 0]
    row, column = divmod(1 * 2 + 1, found["columns"])
    part = levels[row * 12 : (row + 1) * 12, column * 10 : (column + 1) * 10].astype(float)
    expected = attributions["gradient"].magnitude[1, 4].numpy()
    np.testing.assert_allclose((part / 255) ** 2 * found["clip"][1], expected, atol=0.01)


def test_a_file_leaves_slices_out_before_it_is_too_large_and_says_so(written):
    directory, _, _ = written
    run = read_run(directory)
    whole, small = read_contents(run, 15e6), read_contents(run, 1000)
    assert whole.monitors[0].slices == tuple(range(30))
    assert not whole.notes
    assert small.monitors[0].slices == (1, 5, 8, 11, 15, 18, 21, 25, 28)
    assert small.monitors[0].observations[0].maps["gradient"].cells.shape == (2, 9, 12, 10)
    assert "9 of 30 slices" in " ".join(small.notes)


def _monitor(size, slices=None, **facts):
    volumes = None if size is None else np.zeros((1, *size, 1), np.uint8)
    images = np.zeros((1, 4, 4, 3), np.uint8)
    probe = StoredProbe("", ("a",), images=images, volumes=volumes, **facts)
    methods = {} if size is None else {"gradient": {"size": list(size)}}
    return Monitor(Archive("", Path(), None, ({"methods": methods},)), probe, (), slices=slices)


@pytest.mark.parametrize("budget", range(40_000, 70_000, 5000))
def test_the_middle_slice_is_in_every_file(written, budget):
    directory, _, _ = written
    (monitor,) = read_contents(read_run(directory), budget).monitors
    assert 15 in monitor.slices


def test_what_axes_are_called():
    (unnamed,) = volume_facts(_monitor((8, 6, 4), slices=(0, 4)))["axes"]
    assert (unnamed["name"], unnamed["plane"], unnamed["noun"]) == ("axis 0", "axes 1 × 2", "slice")
    axes = volume_facts(_monitor((8, 6, 4), axis_names=("time", "height", "width")))["axes"]
    assert [axis["noun"] for axis in axes] == ["frame", "slice", "slice"]
    assert [axis["count"] for axis in axes] == [8, 6, 4]
    assert axes[1]["name"] == "axis 1 (height)"
    assert volume_facts(_monitor(None)) is None


@pytest.mark.parametrize(("size", "offered"), [((8, 6, 4), [0, 1, 2]), ((1, 6, 4), [0]), ((8, 1, 4), [0, 1])])
def test_an_axis_whose_slices_are_lines_is_not_offered(size, offered):
    assert [axis["axis"] for axis in volume_facts(_monitor(size))["axes"]] == offered


def test_the_probe_is_read_back(written):
    directory, volumes, _ = written
    entry = read_index(directory / "saliency")["probe"]
    found = read_probe(directory / "saliency", entry)
    torch.testing.assert_close(found.volumes, volumes)
    assert found.axis_names is None


@pytest.mark.parametrize("method", ["gradient", "cam"])
def test_maps_are_the_same_where_their_scales_are_not_stored(written, method):
    directory, _, _ = written
    known, _ = _read(directory, method)
    (file,) = (directory / "saliency" / "maps").iterdir()
    tensors = {name: tensor for name, tensor in load_file(file).items() if "/shown/" not in name}
    save_file(tensors, file)
    computed, _ = _read(directory, method)
    np.testing.assert_array_equal(known.cells, computed.cells)
    for name in ("peak", "full", "degenerate"):
        np.testing.assert_allclose(getattr(known, name), getattr(computed, name), rtol=1e-6)
