"""What is stored beside the maps is what a look at the maps would give."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from saliency_callbacks.functional import percentile
from saliency_callbacks.report.monitors import read_monitor, with_maps
from saliency_callbacks.report.runs import read_run
from saliency_callbacks.sinks import DiskSink, read_index, read_maps
from saliency_callbacks.sinks.disk.arrays import open_maps, read_scales
from saliency_callbacks.sinks.disk.shown import LONGEST_SIDE, SCALE_NAMES, magnitude_of, shown_maps, shrink
from saliency_callbacks.types import Attribution, ProbeView, Snapshot

REDUCED = {
    "abs_max": lambda values: values.abs().amax(1),
    "positive_max": lambda values: values.clamp(min=0).amax(1),
    "l2": lambda values: values.square().sum(1).sqrt(),
    "abs_sum": lambda values: values.abs().sum(1),
    "sum": lambda values: values.sum(1).abs(),
}
MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}


def _attribution(values, reduction, size):
    reduced = REDUCED[reduction](values.float())
    magnitude = reduced
    if list(reduced.shape[1:]) != list(size):
        scaled = torch.nn.functional.interpolate(reduced[:, None], size, mode=MODES[len(size)], align_corners=False)
        magnitude = scaled[:, 0]
    zeros = torch.zeros(len(values))
    return Attribution("method", values, magnitude, magnitude, zeros, zeros, reduction=reduction)


def _write(directory, attribution, view):
    DiskSink(directory).write(Snapshot(0, 9, "fit", {"method": attribution}, ids=view.ids, probe=view), {})
    (entry,) = read_index(directory)["observations"]
    return entry


CASES = [
    ((3, 3, 20, 16), "abs_max", (20, 16)),
    ((3, 1, 4, 5), "sum", (20, 16)),
    ((3, 2, 20, 16), "l2", (20, 16)),
    ((3, 1, 300, 280), "positive_max", (300, 280)),
    ((3, 2, 90), "abs_sum", (90,)),
    ((3, 1, 6), "sum", (90,)),
    ((3, 1, 4, 20, 16), "abs_max", (4, 20, 16)),
    ((3, 1, 2, 5, 4), "sum", (4, 20, 16)),
]


@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("shape", "reduction", "size"), CASES)
def test_pictures(tmp_path, shape, reduction, size, kind):
    values = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(kind)
    values[1] = 0
    view = ProbeView("ab" * 32, ("a", "b", "c"), images=torch.zeros(3, 20, 16, 3, dtype=torch.uint8))
    attribution = _attribution(values, reduction, size)
    entry = _write(tmp_path, attribution, view)
    monitor = read_monitor(read_run(tmp_path).archives[0], with_maps(LONGEST_SIDE))
    with open_maps(tmp_path, entry) as file:
        stored = read_scales(file, "method", monitor.probe)
        magnitude = magnitude_of(file.read("method/values"), entry["methods"]["method"])
    for name in SCALE_NAMES:
        expected = getattr(monitor.observations[0].scales["method"], name)
        np.testing.assert_allclose(getattr(stored, name), expected, rtol=1e-5)
    assert stored.degenerate.tolist() == [False, True, False]
    if size == (20, 16):
        expected = percentile(attribution.magnitude, 0.99)
        np.testing.assert_allclose(stored.full, expected.numpy(), rtol=1e-5, err_msg="of the map at the input's size")
    np.testing.assert_allclose(magnitude, attribution.magnitude.numpy(), rtol=1e-4, atol=1e-5)
    read = read_maps(tmp_path, entry)
    assert read["method/values"].dtype == kind
    torch.testing.assert_close(read["method/magnitude"], attribution.magnitude)


@pytest.mark.parametrize("kind", [np.float32, np.float16])
@pytest.mark.parametrize("spoiled", [None, 0.0, -1.0, np.nan, np.inf], ids=str)
@pytest.mark.parametrize("cam", [None, (5, 4), (60, 90)], ids=str)
@pytest.mark.parametrize("size", [(64, 64), (32, 16), (33, 70), (150, 20)], ids=str)
def test_maps_that_are_shown_small_are_those_that_are_shrunk_afterwards(size, cam, spoiled, kind):
    generator = np.random.default_rng(0)
    values = generator.standard_normal((3, 1, *(cam or size))).astype(kind)
    magnitude = np.abs(generator.standard_normal((3, *size))) if cam else np.abs(values).max(1)
    magnitude = magnitude.astype(kind)
    if spoiled is not None:
        values[1, 0], magnitude[1, 0, 0] = (spoiled,) * 2
        magnitude[2] = spoiled
    facts = {"layer": None, "reduction": "abs_max", "size": list(size)}
    found = shown_maps(values, magnitude, facts, size[1], 32)
    expected = shrink(shown_maps(values, magnitude, facts, size[1], 10**6), 32)
    for name in ("cells", "peak", "full", "degenerate"):
        one, other = getattr(found, name), getattr(expected, name)
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other, err_msg=name)


@pytest.mark.parametrize("sign", [1, -1])
def test_scales_of_a_picture_follow_from_its_cells(sign):
    magnitude = sign * np.random.default_rng(0).random((2, 40, 60), dtype=np.float32)
    facts = {"layer": None, "reduction": None, "size": [40, 60]}
    found = shown_maps(magnitude[:, None], magnitude, facts, 60, 20)
    peak = np.abs(magnitude).max((1, 2))
    cells = (magnitude / peak[:, None, None]).astype(np.float16).astype(np.float64)
    # 20 columns of three; 13 rows, which share some of the 40 above them.
    rows = [cells[:, row * 40 // 13 : -(-(row + 1) * 40 // 13)].mean(1) for row in range(13)]
    small = np.stack(rows, 1).reshape(2, 13, 20, 3).mean(3)
    np.testing.assert_allclose(found.cells, small, atol=1e-3)
    np.testing.assert_array_equal(found.peak, peak)
    ordered = np.sort(np.abs(small).reshape(2, -1), axis=1)
    np.testing.assert_allclose(found.full, ordered[:, int(np.ceil(0.99 * 260)) - 1] * peak, rtol=1e-6)
    assert found.scales.signed.tolist() == [sign < 0] * 2


def test_a_value_that_is_lost_leaves_the_others(tmp_path):
    values = torch.ones(1, 1, 4, 5)
    values[0, 0, 1, 2] = torch.nan
    attribution = _attribution(values, "sum", (20, 16))
    view = ProbeView("ab" * 32, ("a",), images=torch.zeros(1, 20, 16, 3, dtype=torch.uint8))
    magnitude = read_maps(tmp_path, _write(tmp_path, attribution, view))["method/magnitude"]
    assert magnitude.isfinite().sum() > 200
    torch.testing.assert_close(magnitude, attribution.magnitude, equal_nan=True)


def test_words_keep_their_sign(tmp_path):
    view = ProbeView("cd" * 32, ("a", "b"), tokens=(("not", "bad"), ("bad",)), special=((False, False), (False,)))
    values = torch.tensor([[[-2.0, 1.0]], [[0.5, 0.0]]])
    entry = _write(tmp_path, _attribution(values, "sum", (2,)), view)
    monitor = read_monitor(read_run(tmp_path).archives[0], with_maps(LONGEST_SIDE))
    with open_maps(tmp_path, entry) as file:
        stored = read_scales(file, "method", monitor.probe)
    assert stored.signed.tolist() == [True, False]
    assert stored.peak.tolist() == [2.0, 0.5]


@pytest.mark.parametrize("change", [{"probe": None}, {"ids": ("a",)}], ids=str)
def test_maps_that_cannot_be_shown_are_kept_all_the_same(tmp_path, change):
    view = ProbeView("ab" * 32, ("a",), images=torch.zeros(1, 4, 4, 3, dtype=torch.uint8))
    snapshot = Snapshot(0, 9, "fit", {"method": _attribution(torch.ones(3, 1, 4, 4), "sum", (4, 4))}, probe=view)
    DiskSink(tmp_path).write(replace(snapshot, **change), {})
    (entry,) = read_index(tmp_path)["observations"]
    assert not any("/shown/" in name for name in read_maps(tmp_path, entry))
    assert read_maps(tmp_path, entry)["method/values"].shape == (3, 1, 4, 4)
