"""What a discovery searches, and how it asks the model: the seam between the callback and a kind of inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from torch import Tensor, nn

from saliency_callbacks.callbacks.runtime.host import Host
from saliency_callbacks.discovery.candidate import Generator
from saliency_callbacks.discovery.checks import checked_labels
from saliency_callbacks.discovery.reader import ModelReader
from saliency_callbacks.discovery.samples import Samples
from saliency_callbacks.errors import ProbeError
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.targets.link import Link

__all__ = ["DiscoveryProbe", "labels_of"]


class DiscoveryProbe(Protocol):
    """The samples of a run that are searched."""

    @property
    def samples(self) -> Samples:
        """The samples, with their classes. May be made anew: ask once for each evaluation, after its reader."""

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

    def generators(self, kinds: Sequence[str]) -> Sequence[Generator]:
        """Return what proposes candidates of these kinds."""

    def kept(self, batch: ProbeBatch) -> ProbeBatch:
        """Return what is still needed of the probe: enough of its inputs to tell what the model's outputs are.

        Args:
            batch: The probe, or what was kept of it before.
        """

    def facts(self) -> dict[str, Any]:
        """Return what a record of the run should tell of it."""


def labels_of(batch: ProbeBatch) -> Tensor:
    """Return the class of each sample of a probe, ``int64 [N]``.

    Raises:
        ProbeError: If there are none, or several for a sample.
    """
    if batch.multi_labels is not None:
        raise ProbeError(
            f"the probe has multi-label samples ({batch.multi_labels.shape[1]} labels); expected one class per "
            "sample. Search one label at a time, as classes 0 and 1: Probe(unpack_batch=…), a function batch -> "
            "(inputs, labels)"
        )
    if batch.labels is None:
        why = f" ({'; '.join(batch.notes)})" if batch.notes else ""
        raise ProbeError(
            f"the probe has no class labels{why}; expected one class per sample. Say where the labels are with "
            "Probe(labels=…), or give them with Probe.from_tensors(inputs, labels)"
        )
    return checked_labels(batch.labels, batch.size)
