"""What a monitor's observation has to say of a probe whose samples are not all shown."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace

from tqdm import tqdm

from saliency_callbacks.callbacks.runtime.appearance import Appearance
from saliency_callbacks.callbacks.runtime.observation import Observation
from saliency_callbacks.callbacks.saliency.state import MonitorState
from saliency_callbacks.callbacks.saliency.streaming.explain import ChunkExplainer, Explained, check_target
from saliency_callbacks.callbacks.saliency.streaming.others import OtherSamples
from saliency_callbacks.callbacks.saliency.streaming.pictures import statistics_pictures
from saliency_callbacks.callbacks.saliency.streaming.reduction import Reduction
from saliency_callbacks.callbacks.saliency.streaming.table import class_table
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.rendering.lazy import JoinedPictures
from saliency_callbacks.targets.resolution import target_name
from saliency_callbacks.targets.selectors import Target

__all__ = ["StreamedProbe", "rows_at_once"]

_LEAST_ROWS = 64
_PATIENCE = 5.0
"""Seconds after which a bar shows how far an observation is."""


def rows_at_once(settings: Settings) -> int:
    """Return how many samples are read and explained at a time."""
    return max(_LEAST_ROWS, settings.internal_batch_size or 0)


@dataclass(frozen=True, eq=False)
class StreamedProbe:
    """Completes observations of the shown samples by what all samples tell.

    Args:
        others: The samples that are not shown.
        appearance: How maps are drawn.
        namespace: First part of every tag.
    """

    others: OtherSamples
    appearance: Appearance
    namespace: str

    def completed(
        self, found: Observation[MonitorState], shown: Explained, explainer: ChunkExplainer, target: Target
    ) -> Observation[MonitorState]:
        """Return an observation with the scores of all samples, and with their statistics. All ranks must call it.

        Args:
            found: The observation of the shown samples.
            shown: These, with their maps.
            explainer: Explains the others.
            target: What was explained of the shown samples.

        Raises:
            TargetError: If the target compares each sample with something of its own.
        """
        check_target(target, shown.probe.size + len(self.others.positions))
        reduction = self._reduced(shown, explainer)
        statistics = reduction.statistics(self.others.unreadable)
        snapshot = replace(
            found.snapshot,
            scores=reduction.scores(found.snapshot.scores, self.appearance.class_names or shown.probe.class_names),
            tables={f"{self.namespace}/classes": class_table(statistics, self.namespace)},
            metadata={**found.snapshot.metadata, "samples": len(statistics.positions)},
            statistics=statistics,
        )
        pictures = statistics_pictures(
            statistics, shown.probe, self.appearance, moment=snapshot.moment, namespace=self.namespace
        )
        stays = target_name(explainer.target, shown.probe, explainer.link) == "initial_prediction"
        state = replace(found.next_state, others={**reduction.targets, **explainer.pinned} if stays else {})
        return Observation(snapshot, state, JoinedPictures(found.pictures, pictures))

    def _reduced(self, shown: Explained, explainer: ChunkExplainer) -> Reduction:
        n_samples = shown.probe.size + len(self.others.positions)
        reduction = Reduction(shown.probe, n_samples, explainer.settings, self.appearance, self.namespace)
        reduction.add(shown)
        host, settings = explainer.host, explainer.settings
        chunks = self.others.chunks(host, rows_at_once(settings))
        bar = tqdm(
            desc=f"{self.namespace}: samples",
            total=n_samples,
            initial=shown.probe.size,
            unit="sample",
            delay=_PATIENCE,
            leave=False,
            disable=not host.shows_progress,
        )
        with closing(chunks), bar:
            for chunk in chunks:
                reduction.add(explainer.explained(chunk))
                bar.update(chunk.size)
        return reduction
