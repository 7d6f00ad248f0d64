"""Gradients recorded where a model itself asks for none: through its ``no_grad`` and inference-mode blocks.

Reentrant checkpoints are such blocks, too: they run a part without a graph, and again in a ``.backward()``.

A frozen backbone is often run under ``torch.no_grad()``, to spare memory. The training loses nothing by it; an
explanation loses all that lies below. What is computed stays the same, and nothing outside of the context changes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, _get_current_function_mode_stack
from torch.utils.checkpoint import CheckpointFunction
from typing_extensions import override

__all__ = ["through_no_grad"]


@contextmanager
def through_no_grad() -> Iterator[None]:
    """Record gradients inside, whatever the code that runs there says about it.

    Where the caller itself records none, nothing changes. Open it around a forward or a backward alone: a ``no_grad``
    of the caller inside would be lifted, too. A ``detach()`` cuts as ever; it may be meant.
    """
    if not torch.is_grad_enabled() or torch.is_inference_mode_enabled():
        yield
        return
    try:
        with _lifted_blocks(), _RecordingMode():
            yield
    finally:
        torch.set_grad_enabled(True)


class _RecordingMode(TorchFunctionMode):
    """Tells that blocks are lifted, and leaves parameters what they are."""

    def __init__(self) -> None:
        super().__init__()
        self._n_enabled = 0

    @override
    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func is torch._C._set_grad_enabled and self._ignores(*args):  # noqa: SLF001 (some models call it)
            return None
        context: AbstractContextManager[None] = nullcontext()
        if func is torch.autograd.grad:
            context = _counted_backward()
        elif _writes_into_parameter(func, args):
            # What a model does to its weights has no gradient; recorded, a weight would no longer be a leaf.
            context = _unrecorded()
        with context:
            return func(*args, **(kwargs or {}))

    def _ignores(self, mode: bool) -> bool:
        if mode:
            self._n_enabled += not torch.is_grad_enabled()
            return False
        if self._n_enabled:
            # Within a `torch.autograd.Function`, whose forward is run without a graph by torch itself.
            self._n_enabled -= 1
            return False
        return True


@contextmanager
def _unrecorded() -> Iterator[None]:
    # Not `no_grad`, which may be lifted.
    is_enabled = torch.is_grad_enabled()
    torch._C._set_grad_enabled(False)  # noqa: SLF001 (what `no_grad` itself calls)
    try:
        yield
    finally:
        torch._C._set_grad_enabled(is_enabled)  # noqa: SLF001


def _writes_into_parameter(func: Callable[..., Any], args: tuple[Any, ...]) -> bool:
    name = getattr(func, "__name__", "")
    is_in_place = (name.endswith("_") and not name.endswith("__")) or name.startswith(("__i", "__setitem__"))
    if not is_in_place or not args:
        return False
    written = args[0] if isinstance(args[0], (list, tuple)) else args[:1]
    return any(
        isinstance(one, nn.Parameter) or (isinstance(one, Tensor) and one.is_leaf and one.requires_grad)
        for one in written
    )


_lock = threading.Lock()
_n_lifting = 0
# Those that run now. A mode is off inside of what it has seen called, and a backward has threads of its own.
_n_backwards = 0
_enter_no_grad = torch.no_grad.__enter__
_enter_inference_mode = torch.inference_mode.__enter__
_set_grad_enabled = torch.set_grad_enabled.__init__
_checkpoint = CheckpointFunction.apply


@contextmanager
def _counted_backward() -> Iterator[None]:
    global _n_backwards  # noqa: PLW0603 (shared by all threads, under the lock)
    with _lock:
        _n_backwards += 1
    try:
        yield
    finally:
        with _lock:
            _n_backwards -= 1


@contextmanager
def _lifted_blocks() -> Iterator[None]:
    """Let blocks without gradients do nothing wherever the mode is on."""
    # A mode sees calls, but not which of them end a block, so the blocks themselves are changed, for as long as anybody
    # needs that; everybody else finds them as they are.
    global _n_lifting  # noqa: PLW0603 (shared by all threads, under the lock)
    with _lock:
        if _n_lifting == 0:
            torch.no_grad.__enter__ = _no_grad_unless_lifted  # type: ignore[method-assign]
            torch.inference_mode.__enter__ = _inference_mode_unless_lifted  # type: ignore[method-assign]
            torch.set_grad_enabled.__init__ = _set_unless_lifted  # type: ignore[method-assign]
            CheckpointFunction.apply = staticmethod(_checkpoint_unless_lifted)
        _n_lifting += 1
    try:
        yield
    finally:
        with _lock:
            _n_lifting -= 1
            if _n_lifting == 0:
                torch.no_grad.__enter__ = _enter_no_grad  # type: ignore[method-assign]
                torch.inference_mode.__enter__ = _enter_inference_mode  # type: ignore[method-assign]
                torch.set_grad_enabled.__init__ = _set_grad_enabled  # type: ignore[method-assign]
                # Its own is inherited.
                del CheckpointFunction.apply


def _no_grad_unless_lifted(self: Any) -> None:
    if _is_lifted():
        # What its own `__exit__` goes back to.
        self.prev = torch.is_grad_enabled()
    else:
        _enter_no_grad(self)


def _inference_mode_unless_lifted(self: Any) -> None:
    if self.mode and _is_lifted():
        # What its own `__exit__` leaves.
        self._inference_mode_context = nullcontext()
    else:
        _enter_inference_mode(self)


def _set_unless_lifted(self: Any, mode: bool) -> None:
    if not mode and _is_lifted():
        # Its own `__enter__` sets the mode once more.
        self.prev = self.mode = torch.is_grad_enabled()
    else:
        _set_grad_enabled(self, mode)


def _checkpoint_unless_lifted(function: Callable[..., Any], preserves_rng: bool, *args: Any) -> Any:
    # Without a graph of its own there is nothing to run again: the part is computed once, as it is.
    return function(*args) if _is_lifted() else _checkpoint(function, preserves_rng, *args)


def _is_lifted() -> bool:
    return _n_backwards > 0 or any(isinstance(mode, _RecordingMode) for mode in _get_current_function_mode_stack())
