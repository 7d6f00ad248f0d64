"""The blocks around the attentions, and the rest of the model behind them: what it makes of any tokens.

What the model computes up to its last block is not computed again: its outermost modules return what they returned
before. So the model's own normalization, pooling and head run on other tokens, whatever they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from saliency_callbacks.capture.attention.recorder import AttentionRecorder
from saliency_callbacks.capture.hooks import first_tensor, replace_first
from saliency_callbacks.errors import LayerError

__all__ = ["BlockRecorder", "ModuleCall", "block_tokens", "unknown_blocks"]


@dataclass(eq=False)
class ModuleCall:
    """One call of a module.

    Args:
        module: The module.
        parent: The call that it is part of.
        first: How many attentions had run before it.
        stop: How many had run after it.
        output: What it returned; ``None`` while it runs.
        end: How many calls had ended before it.
    """

    module: nn.Module
    parent: ModuleCall | None
    first: int
    stop: int = -1
    output: Any = None
    end: int = -1


@dataclass(eq=False)
class BlockRecorder:
    """Record the calls of all modules while the context is open.

    Args:
        model: What runs.
        attention: Records its attentions.
        kept: A module that has to run again whenever the model does.
    """

    model: nn.Module
    attention: AttentionRecorder
    kept: nn.Module | None = None
    calls: list[ModuleCall] = field(default_factory=list)
    _open: list[ModuleCall] = field(default_factory=list)
    _handles: list[RemovableHandle] = field(default_factory=list)

    def __enter__(self) -> BlockRecorder:
        for name, module in self.model.named_modules():
            if name and not isinstance(module, torch.jit.ScriptModule):
                self._handles.append(module.register_forward_pre_hook(self._begin))
                self._handles.append(module.register_forward_hook(self._end))
        return self

    def __exit__(self, *error: object) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._open.clear()

    def _begin(self, module: nn.Module, args: Any) -> None:
        parent = self._open[-1] if self._open else None
        self._open.append(ModuleCall(module, parent, len(self.attention.calls)))

    def _end(self, module: nn.Module, args: Any, output: Any) -> None:
        call = self._open.pop()
        call.output, call.stop, call.end = output, len(self.attention.calls), len(self.calls)
        self.calls.append(call)

    def blocks(self, numbers: Sequence[int]) -> list[ModuleCall]:
        """Return the call of the block around each attention, one of several in a row.

        Args:
            numbers: Numbers of the attentions among those that were recorded.

        Raises:
            LayerError: If an attention has no block with tokens ``[N, T, K]``.
        """
        in_a_row = {id(child) for module in self.model.modules() if _is_row(module) for child in module.children()}
        found = [self._block(number, in_a_row) for number in numbers]
        known = [call for call in found if call is not None]
        if len(known) < len(found):
            raise unknown_blocks(
                self.model, "not every attention lies in a block, one of a ModuleList or Sequential, with tokens"
            )
        return known

    def _block(self, number: int, in_a_row: set[int]) -> ModuleCall | None:
        around = [call for call in self.calls if call.first == number and call.stop == number + 1]
        around = [call for call in around if id(call.module) in in_a_row and block_tokens(call) is not None]
        return max(around, key=lambda call: call.end, default=None)

    @contextmanager
    def behind(self, blocks: Sequence[ModuleCall], tokens: Tensor) -> Iterator[None]:
        """Let the model run on ``tokens`` behind its last block; the blocks before it return zeros."""
        last = blocks[-1]
        returned: dict[int, list[Any]] = {}
        # The same memory for all blocks: it may be written, but is not read.
        nothing = torch.zeros_like(tokens)
        for call in self.calls:
            if call.end > last.end or (call.parent is not None and 0 <= call.parent.end <= last.end):
                continue
            if self.kept is not None and any(module is self.kept for module in call.module.modules()):
                continue
            if call is last or call in blocks:
                old = block_tokens(call)
                assert old is not None, "a block has tokens"
                new = tokens if call is last else nothing.detach()
                output = replace_first(call.output, old, new)
            else:
                output = _detached(call.output)
            returned.setdefault(id(call.module), []).append(output)
        modules = [module for module in self.model.modules() if id(module) in returned]
        with _returning(modules, returned):
            yield


def unknown_blocks(model: nn.Module, why: str) -> LayerError:
    """Return the error that layers have no score of their own."""
    return LayerError(
        f"LeGrad needs the score that the head of {type(model).__name__} gives the tokens of every layer, but {why}; "
        "expected a row of blocks whose last output is all that the head reads. Use LeGrad(score='output'), which "
        "explains the score of the model itself"
    )


def _is_row(module: nn.Module) -> bool:
    return isinstance(module, (nn.ModuleList, nn.Sequential))


def block_tokens(call: ModuleCall) -> Tensor | None:
    """Return the tokens that a block puts out; ``None`` for what is none."""
    found = first_tensor(call.output)
    return found if found is not None and found.is_floating_point() and found.ndim == 3 else None


def _detached(output: Any) -> Any:
    if isinstance(output, Tensor):
        return output.detach().clone()
    found = first_tensor(output)
    return output if found is None else replace_first(output, found, found.detach().clone())


@contextmanager
def _returning(modules: Sequence[nn.Module], returned: Mapping[int, list[Any]]) -> Iterator[None]:
    """Let each call of a module return what is given, in order; once that is used up, modules run as they are."""
    own = [(module, vars(module).get("forward")) for module in modules]
    for module in modules:
        vars(module)["forward"] = _in_turn(list(returned[id(module)]), module.forward)
    try:
        yield
    finally:
        for module, forward in own:
            if forward is None:
                del vars(module)["forward"]
            else:
                vars(module)["forward"] = forward


def _in_turn(outputs: list[Any], forward: Any) -> Any:
    def run(*args: Any, **kwargs: Any) -> Any:
        return outputs.pop(0) if outputs else forward(*args, **kwargs)

    return run
