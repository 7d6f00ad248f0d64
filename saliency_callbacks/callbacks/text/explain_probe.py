"""One observation of texts: attributions of words, their scores, and how they are shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from saliency_callbacks.callbacks.runtime.observation import Moment, Observation, Surroundings
from saliency_callbacks.callbacks.saliency.explain_probe import Observer
from saliency_callbacks.callbacks.saliency.history import Frame, MethodHistory
from saliency_callbacks.callbacks.saliency.state import MonitorState
from saliency_callbacks.functional.places import filled, normalize_places
from saliency_callbacks.functional.words import WordReduction
from saliency_callbacks.rendering import token_bars, token_filmstrip, token_html, token_markdown, token_panel
from saliency_callbacks.rendering.lazy import LazyPictures
from saliency_callbacks.scores import top_tokens, top_tokens_table
from saliency_callbacks.scores.tokens import per_token
from saliency_callbacks.text.token_texts import TokenTexts
from saliency_callbacks.types import Attribution, Picture, ProbeView, Snapshot

__all__ = ["TokenLook", "TokenObserver"]


@dataclass(frozen=True)
class TokenLook:
    """How texts are shown.

    Args:
        merge: How the scores of a word's tokens become one: ``sum`` or ``max``.
        signed: Names of the methods whose scores have a sign.
        shared_scale: Whether a text's colours mean the same at every epoch.
        bars: Position of the text whose scores are drawn as bars; ``None`` for none.
        top: Words of each class in the table of top tokens; 0 for no table.
        font: Path of a font for the words.
    """

    merge: WordReduction = "sum"
    signed: frozenset[str] = frozenset()
    shared_scale: bool = True
    bars: int | None = 0
    top: int = 10
    font: str | None = None


@dataclass(frozen=True)
class TokenObserver(Observer):
    """Makes the observations of one run over texts.

    Args:
        texts: The texts behind the probe's ids.
        look: How they are shown.
    """

    texts: TokenTexts = field(kw_only=True)
    look: TokenLook = field(default_factory=TokenLook)

    @override
    def observe(
        self, model: nn.Module, moment: Moment, state: MonitorState, surroundings: Surroundings
    ) -> Observation[MonitorState]:
        found = super().observe(model, moment, state, surroundings)
        assert self.settings.tokens is not None, "a callback for texts"
        layer = self.settings.tokens.embedding
        # A name, once it is found; a module that was given stays one.
        facts = {**found.snapshot.metadata, "embedding": layer if isinstance(layer, str) else type(layer).__name__}
        snapshot = replace(found.snapshot, metadata=facts)
        return replace(found, snapshot=replace(snapshot, texts=self._documents(snapshot), html=self._pages(found)))

    @override
    def _shown(self, attribution: Attribution) -> Attribution:
        tokens = per_token(attribution)
        values = self.texts.merge(tokens.values[:, 0], self.look.merge)
        magnitude = values.abs()
        return replace(
            tokens,
            values=values.unsqueeze(1),
            magnitude=magnitude,
            heatmap=normalize_places(magnitude, self._counted),
            counted=self._counted,
        )

    @override
    def _scale(self, attribution: Attribution) -> Tensor:
        return filled(attribution.magnitude, self._counted).amax(dim=1)

    @override
    def _frame(self, attribution: Attribution, moment: str, wrong: Tensor | None) -> Frame:
        maps = torch.nan_to_num(attribution.values[:, 0].float(), nan=0.0, posinf=0.0, neginf=0.0)
        # Rounded now as a checkpoint rounds it, so that a resumed run draws the same picture.
        return Frame.from_state_dict(Frame(moment, maps).state_dict())

    @override
    def _pictures(
        self, snapshot: Snapshot, state: MonitorState, next_state: MonitorState, frames: Mapping[str, Frame]
    ) -> Mapping[str, Picture]:
        draw: dict[str, Any] = {}
        for name, frame in frames.items():
            kept = [*state.histories.get(name, MethodHistory()).frames.kept, frame]
            scale = self._shared(next_state.histories[name].scale)
            tag = f"{self.namespace}/{name}"
            draw[tag] = partial(self._panel, snapshot, name, scale)
            draw[f"{tag}/filmstrip"] = partial(self._filmstrip, snapshot, name, kept, scale)
            if self.look.bars is not None and self.look.bars < self.probe.size:
                draw[f"{tag}/bars"] = partial(self._bars, snapshot, name, self.look.bars)
        return LazyPictures(draw)

    def _panel(self, snapshot: Snapshot, name: str, scale: Tensor | None) -> Picture:
        return token_panel(
            **self._words(snapshot, name),
            scale=scale,
            title=f"{name} · {snapshot.moment}",
            scale_note=self._note("scale: largest so far"),
            font=self.look.font,
        )

    def _filmstrip(self, snapshot: Snapshot, name: str, kept: list[Frame], scale: Tensor | None) -> Picture:
        words = self._words(snapshot, name)
        del words["scores"]
        return token_filmstrip(
            **words,
            moments=[frame.moment for frame in kept],
            scores_by_moment=[frame.maps for frame in kept],
            scale=scale,
            title=name,
            scale_note=self._note("one scale over all epochs"),
            font=self.look.font,
        )

    def _bars(self, snapshot: Snapshot, name: str, sample: int) -> Picture:
        return token_bars(
            self._units[sample],
            snapshot.attributions[name].values[sample, 0],
            special=self._special[sample],
            signed=name in self.look.signed,
            title=f"{name} · {self._caption(snapshot, sample).title} · {snapshot.moment}",
        )

    def _documents(self, snapshot: Snapshot) -> dict[str, str]:
        """Return the texts as Markdown, and the top tokens of each class."""
        found = {}
        for name, attribution in snapshot.attributions.items():
            tag = f"{self.namespace}/{name}"
            found[tag] = token_markdown(**self._words(snapshot, name))
            if self.look.top:
                scores = attribution.values[:, 0]
                best = top_tokens(self._units, scores, attribution.target, k=self.look.top, special=~self._counted)
                found[f"{tag}/top_tokens"] = top_tokens_table(best, self._class_name)
        return found

    def _pages(self, found: Observation[MonitorState]) -> dict[str, str]:
        """Return the texts as HTML."""
        return {
            f"{self.namespace}/{name}": token_html(
                **self._words(found.snapshot, name),
                scale=self._shared(found.next_state.histories[name].scale),
                title=f"{name} · {found.snapshot.moment}",
                scale_note=self._note("scale: largest so far"),
            )
            for name in found.snapshot.attributions
        }

    def _words(self, snapshot: Snapshot, name: str) -> dict[str, Any]:
        """Return what every way to show texts is given."""
        return {
            "tokens": self._units,
            "scores": snapshot.attributions[name].values[:, 0],
            "captions": self._captions(snapshot),
            "special": self._special,
            "signed": name in self.look.signed,
        }

    def _shared(self, scale: Tensor | None) -> Tensor | None:
        return scale if self.look.shared_scale else None

    def _note(self, shared: str) -> str:
        return shared if self.look.shared_scale else "scale per text"

    @cached_property
    def _units(self) -> list[list[str]]:
        return self.texts.units()

    @cached_property
    def _special(self) -> Tensor:
        return self.texts.special_units()

    @cached_property
    def _counted(self) -> Tensor:
        lengths = torch.tensor([len(row) for row in self._units])
        return (torch.arange(self._special.shape[1]) < lengths[:, None]) & ~self._special

    @cached_property
    @override
    def _view(self) -> ProbeView:
        names = self.probe.class_names if self.class_names is None else self.class_names
        flags = [row[: len(units)] for row, units in zip(self._special.tolist(), self._units, strict=True)]
        return ProbeView(
            fingerprint=self.probe.fingerprint,
            ids=self.probe.ids,
            tokens=tuple(map(tuple, self._units)),
            special=tuple(map(tuple, flags)),
            labels=self.probe.labels,
            class_names=None if names is None else tuple(str(name) for name in names),
            groups=self.probe.groups,
        )
