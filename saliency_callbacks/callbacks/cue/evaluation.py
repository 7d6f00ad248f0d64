"""One evaluation of a cue: two forwards of each sample, and one explanation of those in the picture."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from saliency_callbacks.callbacks.cue.pictures import Pair
from saliency_callbacks.callbacks.cue.probe import CueProbe
from saliency_callbacks.callbacks.cue.state import CueState
from saliency_callbacks.callbacks.fast_precision import Peers, with_arithmetic
from saliency_callbacks.callbacks.runtime import notices
from saliency_callbacks.callbacks.runtime.appearance import Appearance
from saliency_callbacks.callbacks.runtime.host import Host
from saliency_callbacks.callbacks.streaming.columns import Columns
from saliency_callbacks.callbacks.streaming.others import OtherSamples
from saliency_callbacks.callbacks.streaming.reading import read_others
from saliency_callbacks.config.wording import counted
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.errors import ExternalMethodError
from saliency_callbacks.methods.resolution import resolve_methods
from saliency_callbacks.scores import localization, mean_of_finite
from saliency_callbacks.scores.counterfactual import CueEffect, class_margins, cue_effect
from saliency_callbacks.targets.link import LOGITS, Link
from saliency_callbacks.targets.selectors import Labels
from saliency_callbacks.types import Attribution

__all__ = ["CueFinding", "evaluate_cue", "warn_of_broken_logits", "with_fastest"]


@dataclass(frozen=True, eq=False)
class CueFinding:
    """What was found.

    Args:
        probe: The samples.
        suspect_class: The class c.
        effect: How the cue moves class c, in all samples ``[N]``, in the order of a probe that is held whole.
        rows: Which of these are the samples of ``probe``, ``int64 [M]``.
        margins: Margin of class c in the shown samples without and with the cue, ``[P, 2]``.
        attribution: Maps of class c of the shown samples, without and with the cue in turn, ``[2 P]``; ``None`` for
            none.
        removal: How much the removal of the cue lowers class c, ``[N]``; NaN for samples that do not bear it.
    """

    probe: CueProbe
    suspect_class: int
    effect: CueEffect
    rows: Tensor
    margins: Tensor
    attribution: Attribution | None
    removal: Tensor | None

    def sample_scores(self) -> dict[str, Tensor]:
        """Return the values ``[N]`` behind the scores, by the last part of their tags."""
        found = {"effect": self.effect.effect, "contrast": self.effect.contrast, "flip_rate": self.effect.flips}
        shown = {name: values[1::2] for name, values in self._regions().items() if name in ("mass", "lift")}
        for name, values in shown.items():
            everyone = torch.full_like(self.effect.effect, torch.nan)
            found[name] = everyone.index_copy(0, self.rows[self.probe.shown], values.to(everyone.dtype))
        if self.removal is not None:
            found["removal_effect"] = self.removal
        return found

    def shown_scores(self) -> dict[str, Tensor]:
        """Return the values ``[M]`` of the samples of ``probe`` alone, where there are others."""
        return {name: values[self.rows] for name, values in self.sample_scores().items()}

    def scores(self) -> dict[str, float]:
        """Return the means over the samples that have a value."""
        return {name: mean_of_finite(values) for name, values in self.sample_scores().items()}

    def picture(self, title: str, name_of: Callable[[int], str], appearance: Appearance) -> npt.NDArray[np.uint8]:
        """Draw the shown samples without and with the cue; there has to be one."""
        flips = self.effect.flips[self.rows]
        pairs = [
            Pair(name_of(position), float(before), float(after), bool(flips[position] == 1))
            for position, (before, after) in zip(self.probe.shown.tolist(), self.margins, strict=True)
        ]
        return self.probe.picture(self.attribution, pairs, title, appearance)

    def _regions(self) -> dict[str, Tensor]:
        if self.attribution is None:
            return {}
        masks = self.probe.pair_regions()
        return {name.removeprefix("region_"): values for name, values in localization(self.attribution, masks).items()}


def evaluate_cue(
    model: nn.Module,
    probe: CueProbe,
    suspect_class: int,
    settings: Settings,
    host: Host,
    link: Link = LOGITS,
    *,
    others: OtherSamples | None = None,
) -> CueFinding:
    """Evaluate a cue now.

    Args:
        model: The model.
        probe: The samples, without and with the cue.
        suspect_class: The class c that the cue might give away.
        settings: How the model is run and explained.
        host: What runs the training.
        link: How the model's outputs are read.
        others: Further samples, which are read a few at a time; nothing but the outputs is kept of them.

    Raises:
        TargetError: If the class does not exist.
    """
    found, positions = _answers(model, probe, settings, host, others)
    # Resamples of the bootstrap are drawn in the order of the samples, which must not depend on how many are shown.
    order = torch.arange(found.n_rows) if others is None else others.in_order(positions)
    rows = order.argsort()[: len(probe.usable)]
    clean, cued = found.of_all("clean")[order], found.of_all("cued")[order]
    effect = cue_effect(clean, cued, suspect_class, found.of_all("usable")[order], link)
    removal = None
    if "removed" in found.names:
        removed, bearing = found.of_all("removed")[order], found.of_all("bearing")[order]
        removal = -cue_effect(clean, removed, suspect_class, bearing, link).effect
    both = [class_margins(outputs, link)[rows[probe.shown], suspect_class] for outputs in (clean, cued)]
    return CueFinding(
        probe=probe,
        suspect_class=suspect_class,
        effect=effect,
        rows=rows,
        margins=torch.stack(both, dim=1),
        attribution=_maps(model, probe, suspect_class, settings, host),
        removal=removal,
    )


def _answers(
    model: nn.Module, probe: CueProbe, settings: Settings, host: Host, others: OtherSamples | None
) -> tuple[Columns, list[int]]:
    """Return the model's outputs for the shown samples, those of the others after them, and where all of them are."""

    def add(part: CueProbe) -> None:
        given = {"clean": part.clean_inputs, "cued": part.cued_inputs, "removed": part.removed_inputs}
        answers = {
            name: None if inputs is None else host.ranks.logits(model, host.to_device(inputs), settings).cpu()
            for name, inputs in given.items()
        }
        found.add(len(part.usable), {**answers, "usable": part.usable, "bearing": part.bearing})
        positions.extend(part.batch.indices or ())

    positions: list[int] = []
    found = Columns(len(probe.usable) if others is None else others.n_samples)
    add(probe)
    if others is not None:
        with closing(read_others(others, host, settings)) as chunks:
            for chunk in chunks:
                add(probe.like(chunk))
    return found, positions


def with_fastest(
    state: CueState,
    model: nn.Module,
    probe: CueProbe,
    suspect_class: int,
    settings: Settings,
    host: Host,
    *,
    peers: Peers,
) -> CueState:
    """Return the state in which it is known how the maps of the shown samples are computed."""
    if not _has_maps(probe, settings):
        return state
    inputs, target = host.to_device(probe.pairs()), _explained(probe, suspect_class)
    return with_arithmetic(state, model, inputs, settings, target, host, peers=peers)


def warn_of_broken_logits(effect: CueEffect, cue: str, epoch: int) -> None:
    """Warn of samples whose logits tell nothing, as without any there is no alarm."""
    n_broken = int((effect.usable & ~effect.effect.isfinite()).sum())
    if n_broken:
        notices.warn(
            ("broken logits", cue),
            f"cue {cue!r}: {n_broken} of {counted(int(effect.usable.sum()), 'sample')} cannot be evaluated in epoch "
            f"{epoch}, because their logits are not finite or all equal (diverged training, or fp16 overflow). "
            "Without usable samples the alarm cannot fire, which does not rule out a shortcut",
        )


def _maps(
    model: nn.Module,
    probe: CueProbe,
    suspect_class: int,
    settings: Settings,
    host: Host,
) -> Attribution | None:
    """Explain the suspect class in the samples of the picture, where there are any, and methods to explain with."""
    if not _has_maps(probe, settings):
        return None
    explained, inputs = _explained(probe, suspect_class), host.to_device(probe.pairs())
    try:
        maps = host.ranks.explain(model, inputs, settings, [explained]).attributions[0]
    except ExternalMethodError as error:
        if not settings.leaves_out_failing:
            raise
        name = settings.methods[0].name
        notices.warn(("cue without its method", name), f"the panel shows gradients in place of {name}: {error}")
        plain = replace(settings, methods=resolve_methods("input_x_gradient" if settings.tokens else "gradient"))
        maps = host.ranks.explain(model, inputs, plain, [explained]).attributions[0]
    return next(iter(maps.values())).cpu()


def _has_maps(probe: CueProbe, settings: Settings) -> bool:
    return bool(settings.methods) and len(probe.shown) > 0


def _explained(probe: CueProbe, suspect_class: int) -> Labels:
    return Labels(torch.full((2 * len(probe.shown),), suspect_class))
