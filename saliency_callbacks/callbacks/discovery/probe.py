"""What a discovery searches, and how it asks the model: the seam between the callback and a kind of inputs."""

from __future__ import annotations

from typing import Any, Protocol

from torch import nn

from saliency_callbacks.callbacks.runtime.host import Host
from saliency_callbacks.discovery.reader import ModelReader
from saliency_callbacks.discovery.samples import Samples
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.targets.link import Link

__all__ = ["DiscoveryProbe"]


class DiscoveryProbe(Protocol):
    """The samples of a run that are searched."""

    @property
    def samples(self) -> Samples:
        """The samples, with their classes. May be made anew: ask once for each evaluation."""

    @property
    def size(self) -> int:
        """Number of samples N."""

    def reader(self, model: nn.Module, host: Host, link: Link) -> ModelReader:
        """Return what asks the model as it is now, together with the other processes of the training.

        Args:
            model: The explained module.
            host: The run.
            link: How its outputs are read.
        """

    def kept(self, batch: ProbeBatch) -> ProbeBatch:
        """Return what is still needed of the probe: enough of its inputs to tell what the model's outputs are.

        Args:
            batch: The probe, or what was kept of it before.
        """

    def facts(self) -> dict[str, Any]:
        """Return what a record of the run should tell of it."""
