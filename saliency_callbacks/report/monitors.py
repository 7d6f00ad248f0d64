"""The maps of one monitor, read observation by observation and kept small."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.functional import degenerate, percentile
from saliency_callbacks.rendering import display_maps
from saliency_callbacks.report.runs import Archive
from saliency_callbacks.sinks import read_maps, read_probe
from saliency_callbacks.sinks.disk.archive import REDUCTIONS
from saliency_callbacks.sinks.disk.entries import MethodEntry, ObservationEntry
from saliency_callbacks.types import ProbeView

__all__ = ["ExplainedObservation", "Maps", "Monitor", "moment_of", "read_monitor", "shrink"]

_QUANTILE = 0.99


@dataclass(frozen=True, eq=False)
class Maps:
    """The maps of one method in one observation, as they are shown.

    Args:
        cells: Relative to ``peak``: ``float16 [N, h, w]``, in [0, 1] for pictures; in [-1, 1] and ``[N, 1, W]`` for
            text inputs.
        peak: Largest absolute value of each map ``[N]``.
        full: The value that gets the full color if each map has its own scale ``[N]``.
        degenerate: Which maps show nothing ``[N]``.
    """

    cells: Tensor
    peak: Tensor
    full: Tensor
    degenerate: Tensor


@dataclass(frozen=True, eq=False)
class ExplainedObservation:
    """One observation whose maps could be read.

    Args:
        entry: Its entry in the index.
        maps: By method.
        predictions, confidences: As in :class:`~saliency_callbacks.types.Snapshot`.
        samples: The values ``[N]`` behind its scores, by tag.
    """

    entry: ObservationEntry
    maps: Mapping[str, Maps]
    predictions: Tensor | None = None
    confidences: Tensor | None = None
    samples: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Monitor:
    """One archive that has maps of a probe."""

    archive: Archive
    probe: ProbeView
    observations: tuple[ExplainedObservation, ...]
    notes: tuple[str, ...] = ()

    @property
    def methods(self) -> dict[str, MethodEntry]:
        """Every method of the run, with its latest entry."""
        return {name: entry for one in self.observations for name, entry in one.entry["methods"].items()}


def read_monitor(archive: Archive, longest_side: int = 256) -> Monitor | None:
    """Read the maps and the probe of an archive; ``None`` if it has no probe or no maps.

    Args:
        archive: One directory of the run.
        longest_side: Largest height or width at which a map is kept.

    Returns:
        Its monitor, with notes on observations that are left out.
    """
    entry, explained = archive.probe, [entry for entry in archive.observations if entry["methods"]]
    if entry is None or not explained:
        return None
    try:
        probe = read_probe(archive.directory, entry)
    except (ConfigurationError, KeyError, TypeError) as error:
        return Monitor(archive, ProbeView("", ()), (), (f"{archive.name}: no pictures, because {_reason(error)}",))
    observations, gone, notes = [], [], []
    for listed in explained:
        if listed["metadata"].get("probe", probe.fingerprint) != probe.fingerprint:
            notes.append(f"{archive.name}: {moment_of(listed)} is left out, because it explains another probe.")
            continue
        if listed["file"] is None or not (archive.directory / listed["file"]).exists():
            gone.append(listed)
            continue
        try:
            observations.append(_read_observation(archive, listed, probe, longest_side))
        except (ConfigurationError, KeyError, TypeError, ValueError, RuntimeError) as error:
            notes.append(f"{archive.name}: {moment_of(listed)} has no pictures, because {_reason(error)}")
    if gone:
        notes.append(
            f"{archive.name}: the maps of {len(gone)} of {len(explained)} observations ({_span(gone)}) are not kept; "
            "these are shown in the charts only."
        )
    return Monitor(archive, probe, tuple(observations), tuple(notes))


def shrink(maps: Maps, longest_side: int) -> Maps:
    """Return maps of at most ``longest_side`` cells per side; each cell is the mean of the area that it covers."""
    height, width = maps.cells.shape[1:]
    if max(height, width) <= longest_side:
        return maps
    factor = longest_side / max(height, width)
    size = max(1, round(height * factor)), max(1, round(width * factor))
    cells = F.adaptive_avg_pool2d(maps.cells.float().unsqueeze(1), size).squeeze(1)
    # A fine map fades in the mean, so its full color is taken from the shrunk map.
    return Maps(cells.half(), maps.peak, _full(cells) * maps.peak, maps.degenerate)


def _read_observation(
    archive: Archive, entry: ObservationEntry, probe: ProbeView, longest_side: int
) -> ExplainedObservation:
    tensors = read_maps(archive.directory, entry)
    count = len(probe.ids)
    maps = {}
    for name, facts in entry["methods"].items():
        values, magnitude = tensors[f"{name}/values"], tensors[f"{name}/magnitude"]
        if len(values) != count or len(magnitude) != count:
            raise ConfigurationError(f"the maps of {name} have {len(values)} samples, the probe has {count}.")
        shown = _words(values, magnitude) if probe.images is None else _cells(values, magnitude, facts, probe)
        maps[name] = shrink(shown, longest_side) if probe.images is not None else shown
    samples = {
        name.removeprefix("samples/"): tensor.float()
        for name, tensor in tensors.items()
        if name.startswith("samples/") and tensor.shape == (count,)
    }
    known = {name: tensors[name] for name in ("predictions", "confidences") if name in tensors}
    return ExplainedObservation(
        entry, maps, **{name: tensor for name, tensor in known.items() if tensor.shape == (count,)}, samples=samples
    )


def _words(values: Tensor, magnitude: Tensor) -> Maps:
    return _relative(values.float().sum(1, keepdim=True), degenerate(magnitude.float()))


def _cells(values: Tensor, magnitude: Tensor, facts: MethodEntry, probe: ProbeView) -> Maps:
    reduction = facts["reduction"]
    magnitude = magnitude.float()
    shows_nothing = degenerate(magnitude)
    finite = torch.nan_to_num(magnitude, nan=0.0, posinf=0.0, neginf=0.0)
    if magnitude.ndim == 3 and reduction is not None and values.shape[2:] != magnitude.shape[1:]:
        # A class activation map is kept at the layer's size; the page interpolates it as the magnitude was.
        small = _relative(REDUCTIONS[reduction](values.float()), shows_nothing)
        return Maps(small.cells, small.peak, _full(finite), shows_nothing)
    assert probe.images is not None, "told apart by the caller"
    if magnitude.ndim == 2:
        finite = torch.from_numpy(display_maps(finite, (1, probe.images.shape[2])))
    elif magnitude.ndim == 4:
        finite = finite[:, finite.shape[1] // 2]
    return _relative(finite, shows_nothing)


def _relative(maps: Tensor, shows_nothing: Tensor) -> Maps:
    finite = torch.nan_to_num(maps, nan=0.0, posinf=0.0, neginf=0.0)
    peak = finite.abs().flatten(1).amax(1)
    divisor = torch.where(peak > 0, peak, 1.0)[:, None, None]
    return Maps((finite / divisor).half(), peak, _full(finite), shows_nothing)


def _full(maps: Tensor) -> Tensor:
    sizes = maps.abs()
    quantile = percentile(sizes, _QUANTILE)
    return torch.where(quantile > 0, quantile, sizes.flatten(1).amax(1))


def moment_of(entry: ObservationEntry) -> str:
    """Return a title of the moment for use within a sentence."""
    titles = {"initial": "the start", "final": "the end", "validate": "validation"}
    return titles.get(entry["stage"], f"epoch {entry['epoch']}")


def _span(entries: Sequence[ObservationEntry]) -> str:
    first, last = moment_of(entries[0]), moment_of(entries[-1])
    return first if first == last else f"{first} to {last}"


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, ConfigurationError) else f"its data is incomplete ({error})."
