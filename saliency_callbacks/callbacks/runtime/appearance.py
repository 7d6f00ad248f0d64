"""How maps, and the samples that they are of, are shown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from torch import Tensor

from saliency_callbacks.callbacks.runtime.settings import set_field
from saliency_callbacks.config.checks import checked_choice, checked_real, is_integer
from saliency_callbacks.config.hydra import plain
from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.rendering.colormap import DEFAULT_ALPHA, overlay
from saliency_callbacks.rendering.contour import check_contour
from saliency_callbacks.rendering.legend import Style, check_style
from saliency_callbacks.rendering.panel import Caption
from saliency_callbacks.rendering.text import legible
from saliency_callbacks.types import Snapshot

__all__ = ["Appearance", "ColorScale", "SampleNames", "as_names", "shown_bands", "wrong_predictions"]

ColorScale = Literal["shared", "per_map"]
_MOST_NAMES = 3
_MOST_AXES = 3


@dataclass(frozen=True)
class Appearance:
    """How maps are drawn.

    Args:
        style: ``overlay`` of the map on the image, ``heatmap`` alone, ``signed`` or ``signed_color`` for values with
            their sign, or ``greyscale``.
        color_scale: ``shared`` by all epochs of each sample, so that maps can be compared across epochs, or
            ``per_map``.
        colormap: Name of a Matplotlib colormap; by default the bright part of ``inferno`` over a dimmed gray image for
            overlays, and ``inferno`` for heatmaps; ``rainbow`` is the familiar look.
        alpha: Opacity of an overlay at the map maximum, in [0, 1].
        contour: Share of the pixels, in (0, 1), that is outlined: those where the map is largest, with 0.1 the top
            tenth. Maps of more than 24 × 24 pixels are smoothed for it. By default there is no outline.
        normalization: ``(mean, std)`` that the images were normalized with, each with one number per channel; by
            default found in the dataset's transforms, an image processor, or what a batch-transfer hook does.
        class_names: Names of the classes; by default the dataset's.
        bands: Channels that pictures show, counted from 0: one as gray, or three as red, green and blue. By default the
            dataset's ``rgb_bands``, or else the first three of up to 4 channels, and the mean of more.
        axis_names: Names of the spatial axes, such as ``("depth", "height", "width")``. Slices of a volume are cut
            across the first; where that is called ``"time"``, they are called frames. By default what the layout of
            the input says.

    Raises:
        ConfigurationError: If there is no such style, color scale or colormap, the opacity or contour is out of range,
            the normalization is not a pair of equally many numbers, the bands are neither one nor
            three, or the axes have no names.

    Example:
        >>> Appearance(style="heatmap", colormap="viridis").is_signed
        False
    """

    style: Style = "overlay"
    color_scale: ColorScale = "shared"
    colormap: str | None = None
    alpha: float = DEFAULT_ALPHA
    contour: float | None = None
    normalization: Sequence[Sequence[float]] | None = None
    class_names: Sequence[str] | None = None
    bands: Sequence[int] | None = None
    axis_names: Sequence[str] | None = None

    def __post_init__(self) -> None:
        check_style(self.style)
        check_contour(self.contour)
        checked_choice("color_scale", self.color_scale, get_args(ColorScale))
        checked_real("alpha", self.alpha)
        if self.colormap is not None and not isinstance(self.colormap, str):
            raise ConfigurationError(f"colormap={self.colormap!r}; expected the name of a Matplotlib colormap")
        picture, heat = np.zeros((1, 1, 1, 3), dtype=np.uint8), np.zeros((1, 1, 1), dtype=np.float32)
        overlay(picture, heat, alpha=self.alpha, **self.colors)
        set_field(self, "normalization", _checked_normalization(plain(self.normalization)))
        set_field(self, "class_names", as_names(self.class_names))
        set_field(self, "bands", _checked_bands(plain(self.bands)))
        set_field(self, "axis_names", _checked_axis_names(plain(self.axis_names)))

    @property
    def colors(self) -> dict[str, Any]:
        """The color map as an argument, where one was asked for."""
        return {} if self.colormap is None else {"colormap": self.colormap}

    @property
    def is_signed(self) -> bool:
        """Whether the signed values are drawn, not their magnitude."""
        return self.style in ("signed", "signed_color")

    def notes(self, shared: str) -> str:
        """Return what is said beside the color bar, with ``shared`` as the words for a shared scale."""
        scale = shared if self.color_scale == "shared" else "one scale per map"
        return scale if self.contour is None else f"{scale} · outline: top {100 * self.contour:.3g}%"


@dataclass(frozen=True, eq=False)
class SampleNames:
    """Names of the samples of a probe.

    Args:
        probe: The frozen probe.
        class_names: Names of the classes; the probe's by default.
    """

    probe: ProbeBatch
    class_names: Sequence[str] | None = None

    def exact(self, index: int) -> str:
        """Return the name of a class as it is."""
        return self.probe.class_name(index, self.class_names)

    def classes(self) -> tuple[str, ...] | None:
        """Return the name of every class; ``None`` where they have none."""
        return as_names(self.probe.class_names if self.class_names is None else self.class_names)

    def of_class(self, index: int) -> str:
        """Return the name of a class, in letters that can be drawn."""
        return legible(self.exact(index), f"class {index}")

    def of_sample(self, position: int) -> str:
        """Return the class of a sample where it has one, or those that it has, else its id."""
        labels, several = self.probe.labels, self.probe.multi_labels
        if several is not None:
            return self._of_several(several[position].nonzero()[:, 0].tolist())
        return f"#{self.probe.ids[position]}" if labels is None else self.of_class(int(labels[position]))

    def _of_several(self, on: Sequence[int]) -> str:
        shown = [self.of_class(index) for index in on[:_MOST_NAMES]]
        more = [f"+{len(on) - len(shown)}"] if len(on) > len(shown) else []
        return ", ".join(shown + more) or "no label"

    def samples(self) -> list[str]:
        """Return the name of each sample."""
        return [self.of_sample(position) for position in range(self.probe.size)]

    def captions(self, snapshot: Snapshot) -> list[Caption]:
        """Return each sample's name with its prediction, or the explained score where the model does not classify.

        A right prediction is ``✓ 93%``, a wrong one ``✕ shirt · 93%``.
        """
        return [self.caption(snapshot, position) for position in range(self.probe.size)]

    def caption(self, snapshot: Snapshot, position: int) -> Caption:
        """Return one of :meth:`captions`."""
        title = self.of_sample(position)
        if snapshot.predictions is None or snapshot.confidences is None:
            score = float(next(iter(snapshot.attributions.values())).score[position])
            names = None if snapshot.explained is None else snapshot.explained.names
            name = f"{legible(names[position], 'target')} · " if names is not None and names[position] else ""
            return Caption(title, f"{name}score {score:.3g}")
        predicted = int(snapshot.predictions[position])
        sure = f"{float(snapshot.confidences[position]):.0%}"
        wrong = wrong_predictions(snapshot)
        if wrong is None:
            return Caption(title, f"{self.of_class(predicted)} · {sure}")
        is_wrong = bool(wrong[position])
        # What is right need not be said twice: the shorter, the larger it is written.
        return Caption(title, f"✕ {self.of_class(predicted)} · {sure}" if is_wrong else f"✓ {sure}", is_wrong)


def shown_bands(appearance: Appearance, probe: ProbeBatch, inputs: Tensor) -> tuple[int, ...] | None:
    """Return the channels of ``inputs [N, C, *spatial]`` that pictures show; ``None`` where nobody says so."""
    if appearance.bands is not None:
        return tuple(appearance.bands)
    found = probe.bands
    return found if found is not None and max(found) < inputs.shape[1] else None


def wrong_predictions(snapshot: Snapshot) -> Tensor | None:
    """Return which predictions differ from the label, ``bool [N]``; ``None`` where that is not known."""
    if snapshot.predictions is None or snapshot.labels is None:
        return None
    return snapshot.predictions != snapshot.labels


def as_names(names: Any) -> tuple[str, ...] | None:
    """Return names of classes, in whatever sequence they were given, as a tuple.

    Raises:
        ConfigurationError: If they are in none.
    """
    names = plain(names)
    if names is None:
        return None
    if not isinstance(names, Iterable):
        raise ConfigurationError(f"class_names={names!r}; expected a list of names, one per class")
    return tuple(str(name) for name in names)


def _checked_normalization(
    normalization: Sequence[Sequence[float]] | None,
) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Return ``(mean, std)`` as tuples of floats."""
    if normalization is None:
        return None
    try:
        mean, std = (tuple(float(value) for value in values) for values in normalization)
    except (TypeError, ValueError):
        mean, std = (), ()
    if not mean or len(mean) != len(std):
        raise ConfigurationError(
            f"normalization={normalization!r}; expected (mean, std), each with one number per channel, e.g. ([0.485, "
            "0.456, 0.406], [0.229, 0.224, 0.225])"
        )
    return mean, std


def _checked_bands(bands: Any) -> tuple[int, ...] | None:
    """Return the channels that pictures show as integers."""
    if bands is None:
        return None
    given = list(bands) if isinstance(bands, Sequence) and not isinstance(bands, str) else [bands]
    if len(given) not in (1, 3) or not all(is_integer(band, 0) for band in given):
        raise ConfigurationError(
            f"bands={bands!r}; expected one channel, or three for red, green and blue, counted from 0, e.g. (3, 2, 1)"
        )
    return tuple(int(band) for band in given)


def _checked_axis_names(names: Any) -> tuple[str, ...] | None:
    """Return the names of one to three spatial axes."""
    if names is None:
        return None
    given = list(names) if isinstance(names, Sequence) and not isinstance(names, str) else []
    if not 1 <= len(given) <= _MOST_AXES or not all(isinstance(name, str) and name for name in given):
        raise ConfigurationError(
            f'axis_names={names!r}; expected a name for each spatial axis, e.g. ("depth", "height", "width") or '
            '("time", "height", "width")'
        )
    return tuple(given)
