"""The pictures of a streamed probe: where each class is looked at, and the mistakes that the model is surest of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt
from torch import Tensor

from saliency_callbacks.callbacks.runtime.appearance import Appearance, SampleNames
from saliency_callbacks.callbacks.saliency.filmstrips import as_attribution
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.rendering.attribution import render
from saliency_callbacks.rendering.lazy import LazyPictures
from saliency_callbacks.rendering.panel import Caption, panel
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
    draw: dict[str, Callable[[], npt.NDArray[np.uint8]]] = {}
    # Mean ranks have no sign.
    plain = replace(appearance, style="overlay") if appearance.is_signed else appearance
    for method, means in statistics.maps.items():
        captions = [
            Caption("all" if index < 0 else names.of_class(index), f"{count} maps")
            for index, count in zip(statistics.class_indices.tolist(), means.counts.tolist(), strict=True)
        ]
        # Half of the positions rank below the middle whatever a map shows.
        heat = (2 * means.mean_rank - 1).clamp(min=0)
        title = f"{method} · {moment} · mean rank by class"
        draw[f"{namespace}/{method}/classes"] = partial(_drawn, heat, statistics.images, captions, title, plain)
    found = statistics.mistakes
    if found is not None:
        captions = [
            Caption(names.of_class(label), f"pred {names.of_class(predicted)} · {confidence:.2f} · #{position}", True)
            for label, predicted, confidence, position in zip(
                found.labels.tolist(),
                found.predictions.tolist(),
                found.confidences.tolist(),
                found.positions.tolist(),
                strict=True,
            )
        ]
        for method, maps in found.maps.items():
            title = f"{method} · {moment} · surest mistakes"
            draw[f"{namespace}/{method}/mistakes"] = partial(_drawn, maps, found.images, captions, title, appearance)
    return LazyPictures(draw)


def _drawn(
    maps: Tensor, images: Tensor, captions: Sequence[Caption], title: str, look: Appearance
) -> npt.NDArray[np.uint8]:
    pictures = images.numpy()
    style = "signed" if look.is_signed else look.style
    rendered = render(as_attribution("", maps), pictures, style=style, alpha=look.alpha, **look.colors)
    return panel(pictures, rendered, captions, title=title, style=style, scale_note="scale per map", **look.colors)
