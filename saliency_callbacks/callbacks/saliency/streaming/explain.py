"""Explaining the samples of a streamed probe a few at a time, as the shown ones were explained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from saliency_callbacks.callbacks.outputs import told
from saliency_callbacks.callbacks.runtime.host import Host
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.errors import TargetError
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.targets.link import Link, Predictions
from saliency_callbacks.targets.named import NamedTarget
from saliency_callbacks.targets.resolution import resolve_target
from saliency_callbacks.targets.selectors import Target
from saliency_callbacks.targets.similarity import SimilarityTarget
from saliency_callbacks.types import Attribution, Outlines

__all__ = ["ChunkExplainer", "Explained", "check_target"]


class Explained(NamedTuple):
    """Some samples with what was found of them.

    Args:
        probe: The samples.
        attributions: Method → their maps.
        predictions: What the model answers.
        localized: Method → the outlines that were found in its maps; ``None`` where they have not been looked for.
    """

    probe: ProbeBatch
    attributions: Mapping[str, Attribution]
    predictions: Predictions
    localized: Mapping[str, Outlines] | None = None


@dataclass(frozen=True, eq=False)
class ChunkExplainer:
    """Explains samples that are not kept.

    Args:
        model: The explained module.
        host: The run.
        settings: How the shown samples were explained, with their target layers.
        target: The callback's ``target``.
        link: How outputs are read.
        pinned: Position → the class that was explained first; empty where classes do not stay.
        showing: Returns, of some samples, what makes of an attribution what is scored of it.
        names: Names of the classes; those of the samples by default.
    """

    model: nn.Module
    host: Host
    settings: Settings
    target: Any
    link: Link
    pinned: Mapping[int, int]
    showing: Callable[[ProbeBatch], Callable[[Attribution], Attribution]]
    names: Sequence[str] | None = None

    def explained(self, chunk: ProbeBatch) -> Explained:
        """Explain some samples. All ranks must call it, with the same."""
        pinned = self._pinned(chunk)
        with self.host.ranks.together():
            samples = told(chunk, self.settings, self.names)
            target = resolve_target(self.target, chunk, pinned, self.link, samples=samples)
        found = self.host.ranks.explain(self.model, self.host.to_device(chunk.inputs), self.settings, [target])
        with self.host.ranks.together():
            shown_of = self.showing(chunk)
        attributions = {name: shown_of(one.cpu()) for name, one in found.attributions[0].items()}
        predictions = self.link.predictions(found.logits, chunk.labels, chunk.multi_labels)
        return Explained(chunk, attributions, predictions)

    def _pinned(self, chunk: ProbeBatch) -> Tensor | None:
        positions = chunk.indices or ()
        if not self.pinned:
            return None
        if not all(position in self.pinned for position in positions):
            # What could not be read at the first observation has its first prediction now.
            now = self._predicted(chunk).tolist()
            return torch.tensor([self.pinned.get(position, one) for position, one in zip(positions, now, strict=True)])
        return torch.tensor([self.pinned[position] for position in positions])

    def _predicted(self, chunk: ProbeBatch) -> Tensor:
        target: Target = "predicted"
        found = self.host.ranks.explain(self.model, self.host.to_device(chunk.inputs), self.settings, [target])
        return next(iter(found.maps[0].values())).clean.target.cpu()


def check_target(target: Target, n_samples: int) -> None:
    """Check that a target needs nothing to be kept of each sample.

    Args:
        target: That of the shown samples.
        n_samples: Number of all samples.

    Raises:
        TargetError: If it compares each sample with an embedding of its own.
    """
    if isinstance(target, NamedTarget) and target.kept:
        raise TargetError(
            f"the probe has {n_samples} samples, most of which are re-read at every observation, but the target pins "
            "what the model answers to each, which would have to be stored; expected a target that the data alone "
            "tells (a class, a label, the probe's masks or annotations). Or use a smaller probe, or show all samples "
            f"with Probe(shown={n_samples})"
        )
    if not isinstance(target, SimilarityTarget):
        return
    reference = target.reference
    if target.view is not None or not isinstance(reference, Tensor) or reference.ndim > 1:
        raise TargetError(
            f"the probe has {n_samples} samples, most of which are re-read at every observation, but the target "
            "compares each with its own embedding or view, which would have to be stored; expected one embedding [D] "
            "for all, SimilarityTarget(reference). Or use a smaller probe, or show all samples with "
            f"Probe(shown={n_samples})"
        )
