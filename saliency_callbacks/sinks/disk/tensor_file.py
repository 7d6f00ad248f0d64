"""Safetensors files written one tensor after another.

``safetensors.torch.save`` would hold the whole file in memory a second time and keep Python's lock meanwhile, and
``save_file`` renames a temporary file of its own, which ignores the user's umask and stays behind in a killed process.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import BinaryIO

import torch
from torch import Tensor

from saliency_callbacks.errors import ConfigurationError

__all__ = ["write_tensors"]

# In the order in which safetensors puts them into a file: each begins at a multiple of its size.
_DTYPES = {
    torch.uint64: "U64", torch.int64: "I64", torch.float64: "F64", torch.complex64: "C64", torch.float32: "F32",
    torch.uint32: "U32", torch.int32: "I32", torch.bfloat16: "BF16", torch.float16: "F16", torch.uint16: "U16",
    torch.int16: "I16", torch.float8_e5m2fnuz: "F8_E5M2FNUZ", torch.float8_e4m3fnuz: "F8_E4M3FNUZ",
    torch.float8_e8m0fnu: "F8_E8M0", torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2", torch.int8: "I8",
    torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip
_PLACES = {dtype: place for place, dtype in enumerate(_DTYPES)}


def write_tensors(file: BinaryIO, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors as ``safetensors.torch.save`` would, byte by byte.

    They may share memory or be views. Those of a GPU are copied one at a time.

    Raises:
        ConfigurationError: If a tensor is of a type that such a file has no name for.

    Example:
        >>> import io
        >>> from safetensors.torch import load
        >>> file = io.BytesIO()
        >>> write_tensors(file, {"map": torch.ones(1, 2)})
        >>> load(file.getvalue())
        {'map': tensor([[1., 1.]])}
    """
    for name, tensor in tensors.items():
        if tensor.dtype not in _DTYPES:
            raise ConfigurationError(
                f"{name} is a tensor of {tensor.dtype}; expected one of {', '.join(map(str, _DTYPES))}. Convert it "
                "to one of these"
            )
    names = sorted(tensors, key=lambda name: (_PLACES[tensors[name].dtype], name))
    header = _header({name: tensors[name] for name in names})
    file.write(len(header).to_bytes(8, "little") + header)
    for name in names:
        file.write(_content(tensors[name]))


def _header(tensors: Mapping[str, Tensor]) -> bytes:
    entries, end = {}, 0
    for name, tensor in tensors.items():
        start, end = end, end + tensor.numel() * tensor.element_size()
        entries[name] = {"dtype": _DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
    header = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
    return header + b" " * (-len(header) % 8)


def _content(tensor: Tensor) -> memoryview:
    whole = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous()
    # NumPy has neither bfloat16 nor any float of 8 bits.
    is_foreign = whole.is_floating_point() and whole.dtype not in (torch.float64, torch.float32, torch.float16)
    bits = torch.int16 if whole.element_size() > 1 else torch.uint8
    array = (whole.view(bits) if is_foreign else whole).numpy()
    return array.astype(array.dtype.newbyteorder("<"), copy=False).data
