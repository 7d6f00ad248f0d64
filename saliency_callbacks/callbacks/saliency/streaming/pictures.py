"""The pictures of a streamed probe, beside those of the samples that are shown."""

from __future__ import annotations

from saliency_callbacks.callbacks.runtime.appearance import Appearance, SampleNames
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.rendering.lazy import LazyPictures
from saliency_callbacks.rendering.statistics import statistics_drawings
from saliency_callbacks.types import ProbeStatistics

__all__ = ["statistics_pictures"]


def statistics_pictures(
    statistics: ProbeStatistics, shown: ProbeBatch, appearance: Appearance, *, moment: str, namespace: str
) -> LazyPictures:
    """Return ``{namespace}/{method}/classes`` and, where there are any, ``{namespace}/{method}/mistakes``.

    Args:
        statistics: What was found of the samples.
        shown: The shown samples, which know the names of classes.
        appearance: How maps are drawn.
        moment: Title of the moment.
        namespace: First part of every tag.
    """
    names = SampleNames(shown, appearance.class_names)
    drawings = statistics_drawings(
        statistics,
        names.of_class,
        moment,
        # Channels are not told apart in what is kept.
        style="signed" if appearance.is_signed else appearance.style,
        alpha=appearance.alpha,
        **appearance.colors,
    )
    return LazyPictures({f"{namespace}/{name}": draw for name, draw in drawings.items()})
