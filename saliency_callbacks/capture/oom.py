"""Less at once where the memory is not enough."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import TypeVar

import torch

from saliency_callbacks.errors import warn

__all__ = ["BackOff", "is_out_of_memory"]

_Found = TypeVar("_Found")

# What allocators raise that have no type of their own: the CPU's, on Linux and on Windows, and CUDA's libraries.
_SIGNS = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether ``error`` says that an allocation failed, on any device.

    Example:
        >>> is_out_of_memory(MemoryError()), is_out_of_memory(RuntimeError("size mismatch"))
        (True, False)
    """
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in _SIGNS)


class BackOff:
    """Halves the rows that are run at once for as long as the memory is not enough, and remembers what was.

    Where several processes train together, none backs off: one that ran more forwards than the others would wait in a
    collective for ever.
    """

    def __init__(self) -> None:
        self.most_rows: int | None = None

    def run(self, work: Callable[[int | None], _Found], n_rows: Callable[[], int]) -> _Found:
        """Return ``work(None)``, or that of fewer rows where it does not fit.

        Args:
            work: Runs a model with at most so many rows at once; ``None`` for as many as were asked for. It is called
                again from the start.
            n_rows: Returns how many were asked for.

        Raises:
            Exception: Whatever ``work`` raises otherwise, and that the memory is not enough for a single row.

        Warns:
            SaliencyWarning: Fewer rows had to be run at once, and will be from now on.
        """
        rows, has_failed = self.most_rows, False
        while True:
            try:
                found = work(rows)
            except Exception as error:
                if not is_out_of_memory(error) or _has_company():
                    raise
                tried = n_rows() if rows is None else min(rows, n_rows())
                if tried < 2:
                    raise
            else:
                if has_failed and rows is not None:
                    self._remember(rows)
                return found
            # After the handler: what the failed try had on the device hangs on the error's traceback.
            has_failed, rows = True, tried // 2
            _free()

    def _remember(self, rows: int) -> None:
        self.most_rows = rows
        warn(
            ("memory", rows),
            f"out of memory: from now on, internal_batch_size={rows} is used, which is slower but gives the same "
            "results. Set it yourself to avoid the failed attempts, or use a smaller probe",
        )


def _has_company() -> bool:
    distributed = torch.distributed
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def _free() -> None:
    # Errors are often part of a reference cycle, through a frame that keeps the error it has caught.
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
