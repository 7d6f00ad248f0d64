"""Saliency methods: each declares the passes it needs, and reduces their evidence to a map.

Classes are imported on first use, so that a list of the methods needs no torch.
"""

from typing import TYPE_CHECKING, Any

from saliency_callbacks.methods import registry
from saliency_callbacks.methods.registry import BUILT_IN, ENTRY_POINT_GROUP  # noqa: F401 - in __all__
from saliency_callbacks.methods.resolution import resolve_methods

if TYPE_CHECKING:
    from saliency_callbacks.methods.registry import *  # noqa: F403

__all__: list[str] = []
__all__ += registry.__all__
__all__ += ["resolve_methods"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(registry, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
