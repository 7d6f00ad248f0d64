import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from saliency_callbacks.report.monitors import read_monitor, with_maps
from saliency_callbacks.report.pictures.sprites import Quality, choose_quality, encode_text, shared_scales, sprite
from saliency_callbacks.report.runs import read_run
from saliency_callbacks.sinks import DiskSink
from saliency_callbacks.sinks.disk.shown import Maps
from saliency_callbacks.types import ProbeView, Snapshot
from tests.report.maps import attribution


def maps_of(values, full):
    peak = values.flatten(1).amax(1)
    return Maps(
        (values / peak[:, None, None]).half().numpy(), peak.numpy(), full.numpy(), np.zeros(len(values), dtype=bool)
    )


def decoded(found, sample):
    """Return the magnitude that the sprite stands for, as the page computes it."""
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(found["data"]))).convert("L")).astype(float)
    row, column = divmod(sample, found["columns"])
    height, width = found["height"], found["width"]
    cell = sheet[row * height : (row + 1) * height, column * width : (column + 1) * width]
    return found["clip"][sample] * (cell / 255) ** 2


def test_a_lossless_sprite_gives_the_maps_back():
    values = (
        torch.rand(5, 12, 20, generator=torch.Generator().manual_seed(0))
        * torch.tensor([1e-6, 1, 3, 7, 1e4])[:, None, None]
    )
    full = values.flatten(1).amax(1)
    found = sprite(maps_of(values, full), full.numpy(), Quality(256, lossless=True))
    for sample in range(5):
        expected = values[sample].numpy()
        np.testing.assert_allclose(decoded(found, sample), expected, atol=0.006 * expected.max())


def test_what_both_scales_draw_alike_is_cut_off():
    values = torch.ones(1, 40, 40)
    values[0, 0, 0] = 100.0
    found = sprite(maps_of(values, torch.tensor([1.0])), np.array([2.0], np.float32), Quality(256, lossless=True))
    assert found["clip"] == [2.0]
    assert decoded(found, 0)[0, 0] == 2.0
    assert decoded(found, 0)[5, 5] == pytest.approx(1.0, rel=0.01)


def test_empty_maps_are_marked_and_black():
    nothing = np.zeros(1, np.float32)
    empty = Maps(np.zeros((1, 4, 4), np.float16), nothing, nothing, np.ones(1, dtype=bool))
    found = sprite(empty, nothing, Quality(256, lossless=True))
    assert found["empty"] == [True]
    assert decoded(found, 0).max() == 0


def test_signed_words():
    four = np.array([4.0], np.float32)
    words = Maps(np.array([[[-1.0, 0.5]]], np.float16), four, four, np.zeros(1, dtype=bool))
    found = encode_text(words)
    levels = np.frombuffer(base64.b64decode(found["data"]), dtype=np.int8)
    np.testing.assert_allclose(levels / 127 * found["clip"][0], [-4.0, 2.0], atol=0.02)


@pytest.fixture
def noisy(tmp_path):
    generator = torch.Generator().manual_seed(0)
    view = ProbeView("ab" * 32, ("0", "1"), images=torch.zeros(2, 128, 128, 3, dtype=torch.uint8))
    for epoch in range(3):
        maps = {"gradient": attribution("gradient", torch.randn(2, 1, 128, 128, generator=generator))}
        DiskSink(tmp_path).write(Snapshot(epoch, epoch, "fit", maps, ids=view.ids, probe=view), {})
    return read_monitor(read_run(tmp_path).archives[0], with_maps(256))


def test_the_budget_decides_the_size(noisy):
    qualities = [choose_quality([noisy], budget) for budget in (1e6, 6e4, 1e4)]
    assert qualities[0] == Quality(128, lossless=True)
    assert [quality.lossless for quality in qualities[1:]] == [False, False]
    assert 128 >= qualities[1].longest_side > qualities[2].longest_side
    assert [quality.stride for quality in qualities] == [1, 1, 1]
    assert choose_quality([noisy], 500).stride > 1


def test_the_shared_scale_is_the_largest_of_the_run(noisy):
    full = np.stack([frame.maps["gradient"].full for frame in noisy.observations])
    assert shared_scales(noisy.observations, "gradient").tolist() == full.max(axis=0).tolist()
