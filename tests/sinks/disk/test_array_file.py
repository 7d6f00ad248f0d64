"""Safetensors files, written by the safetensors package, read one array at a time."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.sinks.disk.array_file import ArrayFile

KINDS = [
    torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64,
    torch.float16, torch.bfloat16, torch.float32, torch.float64,
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_every_type_that_maps_are_stored_in(tmp_path, kind):
    tensor = (torch.randn(3, 2, 5, generator=torch.Generator().manual_seed(0)) * 50).abs().to(kind)
    save_file({"other": torch.ones(7), "map": tensor}, tmp_path / "maps", metadata={"of": "another tool"})
    with ArrayFile(tmp_path / "maps", "maps") as file:
        assert sorted(file.names) == ["map", "other"]
        assert file.shape("map") == (3, 2, 5)
        found = file.read("map")
    expected = tensor.float() if kind is torch.bfloat16 else tensor
    np.testing.assert_array_equal(found, expected.numpy())
    assert found.dtype == expected.numpy().dtype


def test_scalars_and_empty_arrays(tmp_path):
    save_file({"scalar": torch.tensor(3.5), "empty": torch.zeros(0, 4)}, tmp_path / "maps")
    with ArrayFile(tmp_path / "maps", "maps") as file:
        assert file.read("scalar") == 3.5
        assert file.read("empty").shape == (0, 4)


def test_what_is_not_there(tmp_path):
    save_file({"map": torch.ones(2)}, tmp_path / "maps")
    with (
        ArrayFile(tmp_path / "maps", "the maps of step 3") as file,
        pytest.raises(ConfigurationError, match=r"there is no other in it.; expected the maps of step 3"),
    ):
        file.read("other")
    with pytest.raises(ConfigurationError, match="No such file"):
        ArrayFile(tmp_path / "absent", "maps")


def _header(entry) -> bytes:
    header = json.dumps({"map": entry}).encode()
    return len(header).to_bytes(8, "little") + header + b"1234"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no header"),
        (b"\xff" * 30, "no header"),
        ((5).to_bytes(8, "little") + b"[1,2]", "no header"),
        (_header({"dtype": "F32", "shape": [1]}), "incomplete"),
        (_header({"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}), "incomplete"),
        (_header({"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}), "the size of map is not that of its shape"),
        (_header({"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}), "it ends within map"),
        (_header({"dtype": "F32", "shape": [10**15], "data_offsets": [0, 4 * 10**15]}), "it ends within map"),
        (_header({"dtype": "F32", "shape": [10**30], "data_offsets": [0, 4 * 10**30]}), "it ends within map"),
        (_header({"dtype": "F32", "shape": [0, 10**30], "data_offsets": [0, 0]}), "map has the shape"),
        (_header({"dtype": "F8_E5M2", "shape": [4], "data_offsets": [0, 4]}), "elements of type F8_E5M2"),
    ],
)
def test_a_damaged_file_says_how(tmp_path, content, message):
    (tmp_path / "maps").write_bytes(content)
    with pytest.raises(ConfigurationError, match=message), ArrayFile(tmp_path / "maps", "maps") as file:
        file.read("map")
