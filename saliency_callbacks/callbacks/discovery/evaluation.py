"""One evaluation of a discovery: a search, and the effects of what is watched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from saliency_callbacks.callbacks.discovery.probe import DiscoveryProbe
from saliency_callbacks.callbacks.discovery.state import Known
from saliency_callbacks.callbacks.discovery.watching import Watched, watch
from saliency_callbacks.callbacks.runtime import notices
from saliency_callbacks.callbacks.runtime.host import Host
from saliency_callbacks.capture.isolation.rng import isolated_rng
from saliency_callbacks.discovery.deadline import Deadline
from saliency_callbacks.discovery.outputs import describe_broken
from saliency_callbacks.discovery.reader import ModelReader
from saliency_callbacks.discovery.samples import Samples
from saliency_callbacks.discovery.search import Search
from saliency_callbacks.discovery.suspicion import Suspicion
from saliency_callbacks.errors import TargetError
from saliency_callbacks.targets.link import Link

__all__ = ["Evaluated", "evaluate"]

_TRIED = 16


@dataclass(frozen=True)
class Evaluated:
    """What an evaluation found.

    Args:
        suspicions: What was found, the most credible first.
        watched: Name of each watched suspicion → what it did.
        is_complete: Whether the search had the time that it needs.
    """

    suspicions: Sequence[Suspicion]
    watched: Mapping[str, Watched]
    is_complete: bool


def evaluate(
    model: nn.Module,
    probe: DiscoveryProbe,
    host: Host,
    link: Link,
    *,
    kinds: Sequence[str],
    threshold: float,
    significance: float,
    max_seconds: float | None,
    watched: Sequence[Known],
    seed: int,
) -> Evaluated:
    """Search the probe now. All ranks must call it; what it finds is the same on all of them.

    Args:
        model: The explained module.
        probe: What is searched.
        host: The run.
        link: How the model's outputs are read.
        kinds: What is searched for.
        threshold: What the lower bound of an effect must exceed.
        significance: What a corrected p-value must not exceed.
        max_seconds: How long the search may take.
        watched: Suspicions whose effect is measured whether they are found again or not.
        seed: Of what is drawn from the global random numbers, which are left as they were.

    Raises:
        TargetError: If the labels of the probe name classes that the model does not have.
    """
    deadline = Deadline(max_seconds, host.ranks.from_zero)
    reader = probe.reader(model, host, link)
    samples = probe.samples
    _check_logits(samples, reader)
    search = Search(probe.generators(kinds), threshold, significance, deadline.is_over)
    with isolated_rng(seed):
        found = search.run(samples, reader)
        effects = {one.suspicion.name: watch(one, samples, reader) for one in watched}
    return Evaluated(found, effects, deadline.was_met)


def _check_logits(samples: Samples, reader: ModelReader) -> None:
    logits = reader.logits(samples.inputs[:_TRIED])
    last, n_classes = samples.classes[-1], logits.shape[1]
    if last >= n_classes:
        raise TargetError(
            f"the probe has samples of class {last}, but the model has outputs for only {n_classes} classes; expected "
            "an output for each class. Say which outputs are class scores with reading=ModelReading(output_fn=…), or "
            "where the labels are with Probe(labels=…)"
        )
    broken = describe_broken(logits)
    if broken:
        notices.warn("broken logits of a search", broken)
