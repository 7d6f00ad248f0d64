"""Copies of tensors that a forward may write into, and their return."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from saliency_callbacks.capture.isolation.shards import is_sharded, local, with_local

__all__ = ["TensorContents", "cut_off", "leaves", "same_content"]


def leaves(tensors: Iterable[Tensor]) -> list[Tensor]:
    """Return those that no graph has made."""
    return [tensor for tensor in tensors if tensor.grad_fn is None]


def cut_off(tensors: Iterable[Tensor]) -> None:
    """Cut from the graph what a recorded forward has written into; a view stays part of what it is a view of."""
    for tensor in tensors:
        if tensor.grad_fn is not None and not tensor._is_view():  # noqa: SLF001 (public in all but its name)
            tensor.detach_()


@dataclass(frozen=True, eq=False)
class _Saved:
    tensor: Tensor
    content: Tensor
    version: int | None


class TensorContents:
    """Keep the content of tensors, and write it back into those that have changed.

    Args:
        tensors: What is kept; uninitialized tensors of lazy modules are passed over, and of a sharded one its part here
            is kept.
        known: Contents that are referred to where a tensor still holds them, so that only the others are copied.
    """

    def __init__(self, tensors: Iterable[Tensor], known: TensorContents | None = None) -> None:
        unique = {id(tensor): tensor for tensor in tensors if not nn.parameter.is_lazy(tensor)}
        parts = {key: local(tensor) for key, tensor in unique.items()}
        contents: dict[int, Tensor] = {} if known is None else known._contents  # noqa: SLF001 (of its own class)
        self._saved = [_Saved(part, _copy(part, contents.get(key)), _version(part)) for key, part in parts.items()]
        self._contents: dict[int, Tensor] = dict(zip(unique, (saved.content for saved in self._saved), strict=True))
        # What is looked up by its identity has to stay alive.
        self._tensors = list(unique.values())
        self._leaves = leaves(unique.values())

    def of(self, tensor: Tensor) -> Tensor | None:
        """Return the kept content of ``tensor``; ``None`` where it is not one of those that are kept."""
        content = self._contents.get(id(tensor))
        return with_local(tensor, content) if content is not None and is_sharded(tensor) else content

    def restore(self) -> list[Tensor]:
        """Write back what has changed, and return it; a tensor that has not is left alone, with its version."""
        cut_off(self._leaves)
        with torch.no_grad():
            changed = _changed(self._saved)
        for saved in changed:
            # Inference tensors can be written under inference mode only; leaving that mode enables gradients again.
            with torch.inference_mode(saved.tensor.is_inference()), torch.no_grad():
                _write_back(saved)
        parts = {id(saved.tensor) for saved in changed}
        return [tensor for tensor, saved in zip(self._tensors, self._saved, strict=True) if id(saved.tensor) in parts]


def same_content(one: Tensor, other: Tensor) -> bool:
    """Return whether two tensors hold the same, bit by bit where they are not of a kind of their own."""
    if (one.shape, one.dtype, one.device) != (other.shape, other.dtype, other.device):
        return False
    if _has_comparable_bytes(one) and _has_comparable_bytes(other):
        return torch.equal(_bits(one), _bits(other))
    return torch.equal(one, other)


def _copy(tensor: Tensor, known: Tensor | None) -> Tensor:
    return known if known is not None and same_content(tensor, known) else tensor.detach().clone()


def _changed(saved: Sequence[_Saved]) -> list[_Saved]:
    # A write through `.data` leaves the version as it is, so contents are compared wherever that is possible.
    by_content = [one for one in saved if _has_comparable_bytes(one.tensor) and _is_alike(one)]
    compared = {id(one) for one in by_content}
    changed = [
        one
        for one in saved
        if id(one) not in compared
        and (not _is_alike(one) or one.version is None or _version(one.tensor) != one.version)
    ]
    on_cpu = [one for one in by_content if one.tensor.device.type == "cpu"]
    changed += [one for one in on_cpu if not torch.equal(_bits(one.tensor), _bits(one.content))]
    elsewhere = [one for one in by_content if one.tensor.device.type != "cpu"]
    flags = [(_bits(one.tensor) != _bits(one.content)).any() for one in elsewhere]
    if flags:
        # Stacked, so that an accelerator is waited for once.
        found = torch.stack([flag.to(flags[0].device) for flag in flags]).tolist()
        changed += [one for one, differs in zip(elsewhere, found, strict=True) if differs]
    return changed


def _is_alike(saved: _Saved) -> bool:
    tensor, content = saved.tensor, saved.content
    return tensor.shape == content.shape and tensor.dtype == content.dtype and tensor.device == content.device


def _has_comparable_bytes(tensor: Tensor) -> bool:
    is_plain = type(tensor) in (Tensor, nn.Parameter) and tensor.layout == torch.strided
    return is_plain and not (tensor.is_meta or tensor.is_quantized or tensor.is_conj() or tensor.is_neg())


def _bits(tensor: Tensor) -> Tensor:
    # Bits compare for every dtype, also where a value is not equal to itself.
    integers = {1: torch.uint8, 2: torch.int16, 4: torch.int32}.get(tensor.element_size(), torch.int64)
    return tensor.detach().reshape(-1).contiguous().view(integers)


def _write_back(saved: _Saved) -> None:
    if _is_alike(saved):
        saved.tensor.copy_(saved.content)
    else:
        saved.tensor.data = saved.content


def _version(tensor: Tensor) -> int | None:
    return None if tensor.is_inference() else tensor._version  # noqa: SLF001 (torch has no other name for it)
