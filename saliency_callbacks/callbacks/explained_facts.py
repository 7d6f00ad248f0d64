"""What the record of an observation tells of what is explained, whichever callback makes it."""

from __future__ import annotations

from typing import Any

from torch import nn

from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.targets.link import Link
from saliency_callbacks.targets.resolution import target_name

__all__ = ["explained_facts"]


def explained_facts(model: nn.Module, target: Any, probe: ProbeBatch, settings: Settings, link: Link) -> dict[str, Any]:
    """Return what is explained, of which model, by which methods.

    Args:
        model: The explained module.
        target: The callback's ``target``.
        probe: The frozen probe.
        settings: How it is run.
        link: How the outputs are read.
    """
    return {
        "model": type(model).__name__,
        "target": target_name(target, probe, link),
        "outputs": link.kind,
        "methods": settings.recorded_methods(),
        "probe": probe.fingerprint,
    }
