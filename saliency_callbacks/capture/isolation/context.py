"""The one context in which a live model may be run for an explanation.

Inside it gradients work wherever the caller stands, the model is in evaluation mode, random numbers are
isolated, and compiled modules run eagerly so that hooks fire. On exit, also by an exception, the model and
the process are as they were, byte for byte. Two things are out of reach without a copy of the whole model: parameters
that the forward itself rewrites (through ``.data``, or as ``nn.Embedding(max_norm=…)`` does) are not restored, nor are
large tensors or nested containers in plain attributes that it writes into.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin

from saliency_callbacks.capture.isolation.attributes import unchanged_attributes
from saliency_callbacks.capture.isolation.eager import eager_execution
from saliency_callbacks.capture.isolation.generators import isolated_generators
from saliency_callbacks.capture.isolation.rng import isolated_rng
from saliency_callbacks.capture.isolation.shards import resharded
from saliency_callbacks.capture.isolation.sigint import deferred_interrupts, restoring
from saliency_callbacks.capture.isolation.tensor_copies import TensorContents

__all__ = ["quiescence", "unchanged_state"]

_HOOKS = tuple(
    name for name, value in vars(nn.Module()).items() if name.endswith("hooks") and isinstance(value, OrderedDict)
)


@restoring
def quiescence(model: nn.Module, *, seed: int = 0) -> Iterator[None]:
    """Make it safe to run ``model`` here, and leave no trace.

    Args:
        model: The model to be run.
        seed: Seed of every random number generator inside the context.
    """
    with ExitStack() as stack:
        # A context that is left before it is on the stack is never closed.
        with deferred_interrupts():
            # Under inference mode `enable_grad` alone has no effect.
            stack.enter_context(torch.inference_mode(False))
            stack.enter_context(torch.enable_grad())
            stack.enter_context(_no_hooks_left(model))
            stack.enter_context(isolated_rng(seed))
            stack.enter_context(isolated_generators(model, seed))
            stack.enter_context(_evaluation_mode(model))
            stack.enter_context(unchanged_state(model))
            # What a forward has gathered of sharded weights would otherwise lie about until the next one.
            stack.callback(resharded, model)
            stack.enter_context(_own_autocast_cache())
            stack.enter_context(eager_execution(model))
            stack.enter_context(_no_attention_fastpath())
            if any(isinstance(module, nn.RNNBase) for module in model.modules()):
                # The backward of cuDNN's recurrent kernels refuses to run in evaluation mode.
                stack.enter_context(_no_cudnn())
        yield


@contextmanager
def unchanged_state(model: nn.Module) -> Iterator[None]:
    """Restore what a forward may keep in ``model``: its buffers and plain attributes.

    Args:
        model: The model that runs inside.
    """
    with unchanged_attributes(model), _unchanged_buffers(model):
        yield


@contextmanager
def _no_hooks_left(model: nn.Module) -> Iterator[None]:
    # Whoever adds hooks also removes them, unless a Ctrl-C comes in between, or they are not ours. A lazy module takes
    # away its own as it is initialized.
    modules = [module for module in model.modules() if not isinstance(module, LazyModuleMixin)]
    registries = [getattr(module, name, {}) for module in modules for name in _HOOKS]
    known = [(registry, dict(registry)) for registry in registries]
    try:
        yield
    finally:
        for registry, hooks in known:
            if dict(registry) != hooks:
                registry.clear()
                registry.update(hooks)


@contextmanager
def _evaluation_mode(model: nn.Module) -> Iterator[None]:
    # Flags are set directly: `eval()` may be overridden with side effects (merged adapters, fused blocks).
    flags = [(module, module.training) for module in model.modules()]
    try:
        for module, _ in flags:
            module.training = False
        yield
    finally:
        for module, flag in flags:
            module.training = flag


@contextmanager
def _unchanged_buffers(model: nn.Module) -> Iterator[None]:
    owners = [(module, dict(module._buffers.items())) for module in model.modules()]
    contents = TensorContents(
        buffer for _, buffers in owners for buffer in buffers.values() if isinstance(buffer, Tensor)
    )
    try:
        yield
    finally:
        for module, buffers in owners:
            # The buffers of TorchScript cannot be rebound.
            if not isinstance(module, torch.jit.ScriptModule):
                # Also those that were rebound, added, or removed.
                module._buffers.clear()
                module._buffers.update(buffers)
        contents.restore()


@contextmanager
def _own_autocast_cache() -> Iterator[None]:
    # Autocast keeps the weights it has cast until its outermost context closes. Those that the caller cast under
    # inference mode are of no use here, and those cast here without a graph would cut the caller's gradients (older
    # releases of torch did not tell them apart).
    torch.clear_autocast_cache()
    try:
        yield
    finally:
        torch.clear_autocast_cache()


@contextmanager
def _no_cudnn() -> Iterator[None]:
    # Not `torch.backends.cudnn.flags`, which also writes the TF32 settings, and fails where the newer ones are in use.
    enabled = torch.backends.cudnn.enabled
    torch.backends.cudnn.enabled = False
    try:
        yield
    finally:
        torch.backends.cudnn.enabled = enabled


@contextmanager
def _no_attention_fastpath() -> Iterator[None]:
    # The fused kernel skips the submodules of a transformer layer, and with them their hooks.
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)
