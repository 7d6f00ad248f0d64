"""One observation of text inputs: attributions of words, their scores, and how they are shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from saliency_callbacks.callbacks.fast_precision import Peers
from saliency_callbacks.callbacks.runtime.host import Host
from saliency_callbacks.callbacks.runtime.observation import Moment, Observation
from saliency_callbacks.callbacks.saliency.explain_probe import ProbeExplainer
from saliency_callbacks.callbacks.saliency.history import Frame, MethodHistory
from saliency_callbacks.callbacks.saliency.state import MonitorState
from saliency_callbacks.callbacks.shared_pass.wish import Explain, Wish
from saliency_callbacks.callbacks.text.appearance import TextAppearance
from saliency_callbacks.callbacks.text.probe import texts_of, with_embedding
from saliency_callbacks.callbacks.text.words import Words
from saliency_callbacks.functional.counted import filled
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.rendering import token_bars, token_filmstrip, token_html, token_markdown, token_panel
from saliency_callbacks.rendering.lazy import LazyPictures
from saliency_callbacks.scores.top_tokens import tabulate_top_tokens, top_tokens
from saliency_callbacks.text.token_texts import TokenTexts, WordFunction
from saliency_callbacks.types import Attribution, Picture, ProbeView, Snapshot, Table

__all__ = ["TextExplainer"]


@dataclass(eq=False)
class TextExplainer(ProbeExplainer):
    """Makes the observations of one run over text inputs.

    Args:
        look: How they are shown.
        texts: The texts behind the probe's ids; ``None`` without a tokenizer, until the model tells its padding.
        tokenizer: Tells the texts of other samples; ``None`` where the model tells their padding.
        words: Tells the words in place of the tokenizer.
    """

    look: TextAppearance = field(default_factory=TextAppearance)
    texts: TokenTexts | None = None
    tokenizer: Any = None
    words: WordFunction | None = None
    _is_prepared: bool = field(default=False, init=False)

    @override
    def wish(self, model: nn.Module, state: MonitorState, host: Host) -> Wish | None:
        return super().wish(model, state, host) if self._is_prepared else None

    @override
    def _explained(
        self, model: nn.Module, moment: Moment, state: MonitorState, host: Host, explain: Explain, peers: Peers
    ) -> Observation[MonitorState]:
        if not self._is_prepared:
            self._prepare(model, host)
        found = super()._explained(model, moment, state, host, explain, peers)
        assert self.settings.tokens is not None, "a callback for text inputs"
        layer = self.settings.tokens.embedding
        # A name, once it is found; a module that was given stays one.
        facts = {**found.snapshot.metadata, "embedding": layer if isinstance(layer, str) else type(layer).__name__}
        snapshot = replace(found.snapshot, metadata=facts)
        return replace(
            found,
            snapshot=replace(
                snapshot,
                texts=self._documents(snapshot),
                tables={**snapshot.tables, **self._top_tokens(snapshot)},
                html=self._pages(found),
            ),
        )

    def _prepare(self, model: nn.Module, host: Host) -> None:
        """Find the embedding layer, and the text inputs where no tokenizer tells them; once."""
        inputs = host.to_device(self.probe.inputs)
        settings = replace(self.settings, forward_context=host.forward_context)
        found, self.texts = with_embedding(model, inputs, self.probe, settings, self.texts, self.words)
        self.settings = replace(self.settings, tokens=found.tokens)
        self._is_prepared = True

    @override
    def _shown(self, attribution: Attribution) -> Attribution:
        return self._own.scored(attribution)

    @override
    def _showing(self, model: nn.Module, chunk: ProbeBatch, host: Host) -> Callable[[Attribution], Attribution]:
        if self.tokenizer is not None:
            texts = texts_of(chunk, self.settings, self.tokenizer, self.words)
        else:
            settings = replace(self.settings, forward_context=host.forward_context)
            texts = with_embedding(model, host.to_device(chunk.inputs), chunk, settings, None, self.words)[1]
        return Words(texts, self.look.merge).scored

    @override
    def _scale(self, attribution: Attribution) -> Tensor:
        return filled(attribution.magnitude, self._own.counted).amax(dim=1)

    @override
    def _frame(self, attribution: Attribution, moment: str, wrong: Tensor | None) -> Frame:
        maps = torch.nan_to_num(attribution.values[:, 0].float(), nan=0.0, posinf=0.0, neginf=0.0)
        return Frame(moment, maps).rounded()

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
            scale_note=self._note("scale: maximum so far"),
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
            scale_note=self._note("one scale for all epochs"),
            font=self.look.font,
        )

    def _bars(self, snapshot: Snapshot, name: str, sample: int) -> Picture:
        return token_bars(
            self._own.units[sample],
            snapshot.attributions[name].values[sample, 0],
            special=self._own.special[sample],
            signed=name in self._signed,
            title=f"{name} · {self._names.of_sample(sample)} · {snapshot.moment}",
        )

    def _documents(self, snapshot: Snapshot) -> dict[str, str]:
        """Return the text inputs as Markdown."""
        return {
            f"{self.namespace}/{name}": token_markdown(**self._words(snapshot, name)) for name in snapshot.attributions
        }

    def _top_tokens(self, snapshot: Snapshot) -> dict[str, Table]:
        """Return the top tokens of each class."""
        found = {}
        for name, attribution in snapshot.attributions.items() if self.look.top else ():
            scores = attribution.values[:, 0]
            best = top_tokens(self._own.units, scores, attribution.target, k=self.look.top, special=~self._own.counted)
            found[f"{self.namespace}/{name}/top_tokens"] = tabulate_top_tokens(best, self._names.of_class)
        return found

    def _pages(self, found: Observation[MonitorState]) -> dict[str, str]:
        """Return the text inputs as HTML."""
        return {
            f"{self.namespace}/{name}": token_html(
                **self._words(found.snapshot, name),
                scale=self._shared(found.next_state.histories[name].scale),
                title=f"{name} · {found.snapshot.moment}",
                scale_note=self._note("scale: maximum so far"),
            )
            for name in found.snapshot.attributions
        }

    def _words(self, snapshot: Snapshot, name: str) -> dict[str, Any]:
        """Return what every way to show text inputs is given."""
        return {
            "tokens": self._own.units,
            "scores": snapshot.attributions[name].values[:, 0],
            "captions": self._names.captions(snapshot),
            "special": self._own.special,
            "signed": name in self._signed,
        }

    def _shared(self, scale: Tensor | None) -> Tensor | None:
        return scale if self.look.is_shared else None

    def _note(self, shared: str) -> str:
        return shared if self.look.is_shared else "one scale per text input"

    @cached_property
    def _own(self) -> Words:
        assert self.texts is not None, "told by the tokenizer, or by the model when it was first run"
        return Words(self.texts, self.look.merge)

    @cached_property
    def _signed(self) -> frozenset[str]:
        """Names of the methods whose scores have a sign."""
        return frozenset(
            method.name for method in self.settings.methods if getattr(method, "reduction", "sum") == "sum"
        )

    @cached_property
    @override
    def _view(self) -> ProbeView:
        flags = [row[: len(units)] for row, units in zip(self._own.special.tolist(), self._own.units, strict=True)]
        return ProbeView(
            fingerprint=self.probe.fingerprint,
            ids=self.probe.ids,
            tokens=tuple(map(tuple, self._own.units)),
            special=tuple(map(tuple, flags)),
            labels=self.probe.labels,
            class_names=self._names.classes(),
            groups=self.probe.groups,
        )
