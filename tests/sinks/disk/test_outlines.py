"""Boxes and masks on disk: read back as they were, small, and no part of what has none."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.sinks import DiskSink, read_index, read_maps, read_outlines
from saliency_callbacks.types import Outlines, Snapshot
from tests.report.maps import attribution, hot_maps


def written(directory, explained=None, localized=None):
    maps = {name: attribution(name, hot_maps(3, (2, 5))) for name in ("gradient", "grad_cam")}
    DiskSink(directory).write(Snapshot(0, 4, "fit", maps, explained=explained, localized=localized or {}), {})
    (entry,) = read_index(directory)["observations"]
    return entry


@pytest.mark.parametrize("size", [(16, 16), (5, 7), (13,), (3, 5, 6)])
def test_they_are_read_back_as_they_were(tmp_path, size):
    generator = torch.Generator().manual_seed(0)
    boxes = torch.rand(3, 4, generator=generator) * 16
    boxes[1] = torch.nan
    masks = torch.rand(3, *size, generator=generator) > 0.5
    names = ("person", "", "<b>")
    entry = written(
        tmp_path, Outlines(boxes, masks, names), {"gradient": Outlines(boxes=boxes), "x/y": Outlines(None, masks)}
    )
    explained, localized = read_outlines(read_maps(tmp_path, entry), entry)
    torch.testing.assert_close(explained.boxes, boxes, equal_nan=True)
    assert torch.equal(explained.masks, masks)
    assert explained.names == names
    assert localized.keys() == {"gradient", "x/y"}
    assert localized["gradient"].masks is None
    assert torch.equal(localized["x/y"].masks, masks)


def test_a_mask_takes_a_bit_of_each_position(tmp_path):
    entry = written(tmp_path, Outlines(masks=torch.ones(3, 16, 16, dtype=torch.bool)))
    assert load_file(tmp_path / entry["file"])["outlines/explained/masks"].nbytes == 3 * 16 * 16 / 8


def test_without_them_nothing_is_different(tmp_path):
    entry = written(tmp_path)
    assert "outlines" not in entry
    assert not any(name.startswith("outlines") for name in load_file(tmp_path / entry["file"]))
    assert read_outlines(read_maps(tmp_path, entry), entry) == (None, {})


def test_masks_that_do_not_fit_are_an_error(tmp_path):
    entry = written(tmp_path, Outlines(masks=torch.ones(3, 16, 16, dtype=torch.bool)))
    edited = json.loads(json.dumps(entry))
    edited["outlines"]["explained"]["size"] = [16, 99]
    with pytest.raises(ConfigurationError, match="masks of explained"):
        read_outlines(read_maps(tmp_path, edited), edited)
