"""Parameters that are spread over processes (FSDP2, tensor parallelism), in parts and as a whole.

Everything here is a collective: all processes must call it, in the same order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["gathered", "is_sharded", "local", "resharded", "whole", "whole_parameters", "with_local"]


def is_sharded(tensor: Tensor) -> bool:
    """Return whether this process holds but a part of ``tensor``, or a copy that others hold, too."""
    # By its attributes: the class has moved within torch, and to import it takes as long as it is useless elsewhere.
    return hasattr(tensor, "placements") and hasattr(tensor, "device_mesh")


def local(tensor: Any) -> Tensor:
    """Return the part of ``tensor`` that this process holds, in its own memory; a plain tensor is returned as it is."""
    if not is_sharded(tensor):
        plain: Tensor = tensor
        return plain
    # With gradients enabled it would be a view of it.
    with torch.no_grad():
        part: Tensor = tensor.to_local()
    return part


def whole(tensor: Any) -> Tensor:
    """Return all of ``tensor``, gathered from all processes."""
    with torch.no_grad():
        gathered: Tensor = tensor.full_tensor() if is_sharded(tensor) else tensor
    return gathered


def with_local(tensor: Any, part: Tensor) -> Tensor:
    """Return a tensor that is spread as ``tensor`` is, of which this process holds ``part``."""
    made: Tensor = type(tensor).from_local(
        part, tensor.device_mesh, tensor.placements, run_check=False, shape=tensor.shape, stride=tensor.stride()
    )
    return made


@contextmanager
def whole_parameters(modules: Iterable[nn.Module]) -> Iterator[Mapping[int, Tensor]]:
    """Put whole copies in the place of the modules' own sharded parameters; on exit each process keeps its part.

    Args:
        modules: Whose parameters are gathered, without those of their submodules.

    Yields:
        ``id`` of a whole copy → the sharded parameter that it stands for.
    """
    sharded = [
        (module._parameters, name, parameter)
        for module in modules
        for name, parameter in module._parameters.items()
        if parameter is not None and is_sharded(parameter)
    ]
    copies: dict[int, nn.Parameter] = {}
    for registry, name, parameter in sharded:
        # One that several modules share stays shared.
        if id(parameter) not in copies:
            copies[id(parameter)] = nn.Parameter(whole(parameter).clone(), requires_grad=parameter.requires_grad)
        registry[name] = copies[id(parameter)]
    try:
        yield {id(copies[id(parameter)]): parameter for _, _, parameter in sharded}
    finally:
        for registry, name, parameter in sharded:
            # A reset may have put another one there.
            drawn = registry[name]
            registry[name] = parameter
            if drawn is not None:
                local(parameter).copy_(_part_of(drawn.detach(), parameter))


def resharded(model: nn.Module) -> None:
    """Let every module that FSDP2 has gathered give up its copy, so that the next forward gathers anew."""
    for module in _sharding(model):
        module.reshard()


@contextmanager
def gathered(model: nn.Module, part: nn.Module) -> Iterator[None]:
    """Gather the weights of ``part`` that only its own forward, or that of what is around it, would gather.

    For a function of a module beside its forward. What is inside of it gathers its weights itself.

    Args:
        model: The whole model.
        part: The module in it whose function is called.
    """
    around = [module for module in _sharding(model) if any(one is part for one in module.modules())]
    with ExitStack() as whole_modules:
        for module in around:
            module.unshard()
            whole_modules.callback(module.reshard)
        yield


def _sharding(model: nn.Module) -> Iterator[Any]:
    """Yield the modules that FSDP2 gathers the weights of."""
    return (one for one in model.modules() if any(base.__name__ == "FSDPModule" for base in type(one).__mro__))


def _part_of(tensor: Tensor, like: Any) -> Tensor:
    """Return the part of a whole tensor that this process would hold of ``like``, without asking the others."""
    from torch.distributed.tensor import Replicate  # noqa: PLC0415 (slow, and only there where it was imported before)

    mesh = like.device_mesh
    copies = type(like).from_local(tensor, mesh, [Replicate()] * mesh.ndim, run_check=False)
    with torch.no_grad():
        return local(copies.redistribute(placements=like.placements))
