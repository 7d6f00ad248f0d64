"""Files that another library wrote are the reference."""

from __future__ import annotations

import io
import os
import stat

import pytest
import safetensors.torch
import torch

from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.sinks import DiskSink
from saliency_callbacks.sinks.disk.tensor_file import write_tensors

TYPES = [
    torch.bool, torch.uint8, torch.int8, torch.int16, torch.uint16, torch.int32, torch.uint32, torch.int64,
    torch.uint64, torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64,
    torch.float8_e4m3fn, torch.float8_e4m3fnuz, torch.float8_e5m2, torch.float8_e5m2fnuz, torch.float8_e8m0fnu,
]  # fmt: skip


def written(tensors):
    file = io.BytesIO()
    write_tensors(file, tensors)
    return file.getvalue()


def random(*shape, dtype=torch.float32, seed=0):
    return (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 100).to(dtype)


def test_every_type_is_written_byte_by_byte_as_safetensors_does():
    tensors = {f"{place % 3}/{dtype}": random(3, 5, dtype=dtype) for place, dtype in enumerate(TYPES)}
    assert written(tensors) == safetensors.torch.save(tensors)


def test_lazily_conjugated_and_negated_numbers_are_written_as_they_are():
    numbers = torch.complex(random(3), random(3, seed=1))
    found = safetensors.torch.load(written({"conjugate": numbers.conj(), "negative": numbers.conj().imag}))
    assert torch.equal(found["conjugate"], torch.complex(numbers.real, -numbers.imag))
    assert torch.equal(found["negative"], -numbers.imag)


@pytest.mark.parametrize(
    "tensors",
    [
        {},
        {"scalar": torch.tensor(2.5)},
        {"empty": torch.zeros(0, 3), "b": torch.ones(2), "a": torch.ones(3)},
        {"é 图": torch.ones(1), 'quoted "name"\\': torch.ones(1), "line\n\x01": torch.ones(1), "😀": torch.ones(1)},
        {"odd": torch.ones(3, dtype=torch.bool), "even": torch.ones(2, 1, 1, 1, dtype=torch.float64)},
    ],
    ids=["nothing", "scalar", "empty", "names", "sizes"],
)
def test_shapes_and_names(tensors):
    content = written(tensors)
    assert content == safetensors.torch.save(tensors)
    assert safetensors.torch.load(content).keys() == tensors.keys()


def test_views_and_tensors_that_share_memory_are_read_back():
    base = random(4, 6)
    tensors = {
        "whole": base, "again": base, "transposed": base.T, "row": base[1], "columns": base[:, ::2],
        "expanded": base[:1].expand(5, 6), "leaf": base.clone().requires_grad_(),
    }  # fmt: skip
    found = safetensors.torch.load(written(tensors))
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(found[name], tensor), name


def test_the_content_of_a_tensor_is_not_copied():
    class Recorder(io.RawIOBase):
        def __init__(self):
            self.pieces = []

        def write(self, piece):
            self.pieces.append(piece)

    file, tensor = Recorder(), torch.zeros(3, dtype=torch.int32)
    write_tensors(file, {"map": tensor})
    tensor.fill_(7)
    assert file.pieces[-1].tolist() == [7, 7, 7]


def test_a_type_that_has_no_name_is_told_before_anything_is_written():
    file = io.BytesIO()
    with pytest.raises(ConfigurationError, match=r"extras/phase is a tensor of torch.complex128; expected one of"):
        write_tensors(file, {"a": torch.ones(2), "extras/phase": torch.ones(2, dtype=torch.complex128)})
    assert file.getvalue() == b""


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_permissions_of_maps_follow_the_umask(tmp_path, make_snapshot):
    previous = os.umask(0o027)
    try:
        DiskSink(tmp_path).write(make_snapshot(step=1), {})
    finally:
        os.umask(previous)
    assert stat.S_IMODE((tmp_path / "maps/000000001.safetensors").stat().st_mode) == 0o640
