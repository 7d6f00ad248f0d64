"""What a monitor's observation has to say of a probe whose samples are not all shown."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace

from saliency_callbacks.callbacks.runtime.appearance import Appearance
from saliency_callbacks.callbacks.runtime.observation import Observation
from saliency_callbacks.callbacks.saliency.state import MonitorState
from saliency_callbacks.callbacks.saliency.streaming.explain import ChunkExplainer, Explained, check_target
from saliency_callbacks.callbacks.saliency.streaming.pictures import statistics_pictures
from saliency_callbacks.callbacks.saliency.streaming.reduction import Reduction
from saliency_callbacks.callbacks.saliency.streaming.table import class_table
from saliency_callbacks.callbacks.streaming.others import OtherSamples
from saliency_callbacks.callbacks.streaming.reading import read_others
from saliency_callbacks.localization.settings import Localization
from saliency_callbacks.rendering.lazy import JoinedPictures
from saliency_callbacks.targets.resolution import target_name
from saliency_callbacks.targets.selectors import Target

__all__ = ["StreamedProbe"]


@dataclass(frozen=True, eq=False)
class StreamedProbe:
    """Completes observations of the shown samples by what all samples tell.

    Args:
        others: The samples that are not shown.
        appearance: How maps are drawn.
        namespace: First part of every tag.
        localization: How masks are found in maps, where they are.
    """

    others: OtherSamples
    appearance: Appearance
    namespace: str
    localization: Localization | None = None

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
        check_target(target, self.others.n_samples)
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
        n_samples, settings = self.others.n_samples, explainer.settings
        reduction = Reduction(
            shown.probe, n_samples, settings, self.appearance, self.namespace, localization=self.localization
        )
        reduction.add(shown)
        host, settings = explainer.host, explainer.settings
        with closing(read_others(self.others, host, settings)) as chunks:
            for chunk in chunks:
                reduction.add(explainer.explained(chunk))
        return reduction
