"""Pictures of thousands of samples: where each class is looked at, and the mistakes that a model is surest of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from saliency_callbacks.rendering.attribution import as_attribution, render
from saliency_callbacks.rendering.grid import Caption, class_captions, mistake_captions
from saliency_callbacks.rendering.legend import Style
from saliency_callbacks.rendering.panel import panel
from saliency_callbacks.types import Mistakes, ProbeStatistics

__all__ = ["statistics_drawings"]

_Drawing = Callable[[], npt.NDArray[np.uint8]]


def statistics_drawings(
    statistics: ProbeStatistics,
    class_name: Callable[[int], str],
    moment: str,
    *,
    style: Style = "overlay",
    **look: Any,
) -> dict[str, _Drawing]:
    """Return what draws ``{method}/classes`` and, where there are any, ``{method}/mistakes``.

    Args:
        statistics: What was found of the samples.
        class_name: Returns the name of a class, in letters that can be drawn.
        moment: Title of the moment.
        style: Style of the maps; mean ranks have no sign, and are drawn as an overlay where others have one.
        look: Further arguments of :func:`~saliency_callbacks.rendering.attribution.render`.
    """
    drawings: dict[str, _Drawing] = {}
    unsigned: Style = "overlay" if style in ("signed", "signed_color") else style
    for method, maps in statistics.maps.items():
        assert statistics.images is not None, "there are maps of pictures"
        captions = class_captions(class_name, statistics.class_indices.tolist(), maps.counts.tolist())
        # Half of the positions rank below the middle, whatever a map shows.
        heat = (2 * maps.mean_rank - 1).clamp(min=0)
        title = f"{method} · {moment} · mean rank by class"
        drawings[f"{method}/classes"] = partial(_drawn, heat, statistics.images, captions, title, unsigned, look)
    found = statistics.mistakes
    if found is None:
        return drawings
    captions = _captions(found, class_name)
    for method, shown in found.maps.items():
        title = f"{method} · {moment} · most confident mistakes"
        drawings[f"{method}/mistakes"] = partial(_drawn, shown, found.images, captions, title, style, look)
    return drawings


def _captions(found: Mistakes, class_name: Callable[[int], str]) -> list[Caption]:
    columns = (found.labels, found.predictions, found.confidences, found.positions)
    return mistake_captions(class_name, *(column.tolist() for column in columns))


def _drawn(
    maps: Tensor, images: Tensor, captions: Sequence[Caption], title: str, style: Style, look: dict[str, Any]
) -> npt.NDArray[np.uint8]:
    pictures = images.numpy()
    rendered = render(as_attribution("", maps), pictures, style=style, **look)
    colors = {name: value for name, value in look.items() if name == "colormap"}
    return panel(pictures, rendered, captions, title=title, style=style, scale_note="one scale per map", **colors)
