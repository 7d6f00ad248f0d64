"""Compiled modules, run eagerly: hooks that are added after ``torch.compile`` silently do not fire in compiled code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import nn

__all__ = ["eager_execution"]


def eager_execution(model: nn.Module) -> AbstractContextManager[None]:
    """Run all compiled code eagerly inside the context; with torch before 2.6, that of ``model`` and its submodules.

    Args:
        model: The model that runs inside.
    """
    set_stance = getattr(torch.compiler, "set_stance", None)
    if set_stance is None:
        return _uncompiled(model)
    stance: AbstractContextManager[None] = set_stance("force_eager")
    return stance


@contextmanager
def _uncompiled(model: nn.Module) -> Iterator[None]:
    """Replace what ``torch.compile`` put into the modules by what it was made from."""
    modules = list(model.modules())
    forwards = [(module, vars(module)["forward"]) for module in modules if "forward" in vars(module)]
    calls = [(module, vars(module).get("_compiled_call_impl")) for module in modules]
    try:
        for module, forward in forwards:
            vars(module)["forward"] = getattr(forward, "_torchdynamo_orig_callable", forward)
        for module, call in calls:
            if call is not None:
                vars(module)["_compiled_call_impl"] = None
        yield
    finally:
        for module, forward in forwards:
            vars(module)["forward"] = forward
        for module, call in calls:
            if call is not None:
                vars(module)["_compiled_call_impl"] = call
