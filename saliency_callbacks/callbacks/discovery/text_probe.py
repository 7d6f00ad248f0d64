"""Training texts that are searched, and fed as the model takes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor, nn

from saliency_callbacks.callbacks.discovery.probe import labels_of
from saliency_callbacks.callbacks.runtime.host import Host
from saliency_callbacks.capture.text.settings import read_ids
from saliency_callbacks.discovery.candidate import Generator
from saliency_callbacks.discovery.checks import searched_classes
from saliency_callbacks.discovery.texts.form import TextForm
from saliency_callbacks.discovery.texts.kinds import text_generators
from saliency_callbacks.discovery.texts.reader import TextReader
from saliency_callbacks.discovery.texts.reading import read_texts
from saliency_callbacks.discovery.texts.samples import TextSamples
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.targets.link import Link

__all__ = ["TextDiscoveryProbe"]

_ROWS = 64
"""So many are run at once where nobody says otherwise."""


@dataclass(eq=False)
class TextDiscoveryProbe:
    """Texts of a run with their classes.

    Args:
        inputs: Ids of tokens ``[N, T]``, alone or in a tuple or dictionary with masks and such.
        labels: ``int64 [N]``.
        ids: A name for each.
        class_names: Name of each class.
        settings: How the model is run.
        tokenizer: Tells how tokens are written.
    """

    inputs: Any
    labels: Tensor
    ids: tuple[str, ...]
    class_names: tuple[str, ...] | None
    settings: Settings
    tokenizer: Any
    # Read once, as what is padding may be known from the model alone.
    _read: tuple[TextSamples, TextForm] | None = field(default=None, init=False)

    @classmethod
    def prepare(
        cls, batch: ProbeBatch, settings: Settings, tokenizer: Any, *, class_names: Sequence[str] | None = None
    ) -> TextDiscoveryProbe:
        """Check a probe, and keep of it what is searched.

        Args:
            batch: The frozen probe.
            settings: How the model is run.
            tokenizer: Tells how tokens are written; ``None`` to show them as numbers.
            class_names: Name of each class; those of the batch by default.

        Raises:
            ConfigurationError: If it holds no ids with classes, or too few of them.
        """
        inputs = read_ids(batch.inputs, settings.attribute_to, shared=settings.shared)
        labels = labels_of(batch)
        kept = searched_classes(labels).nonzero()[:, 0]
        names = class_names or batch.class_names
        return cls(
            inputs=inputs.rows(kept),
            labels=labels[kept],
            ids=tuple(batch.ids[position] for position in kept.tolist()),
            class_names=None if names is None else tuple(names),
            settings=replace(settings, internal_batch_size=settings.internal_batch_size or _ROWS),
            tokenizer=tokenizer,
        )

    @property
    def size(self) -> int:
        """Number of texts N."""
        return len(self.labels)

    @property
    def samples(self) -> TextSamples:
        """The texts; they are known once a reader was asked for."""
        assert self._read is not None, "read with the first reader"
        return self._read[0]

    def reader(self, model: nn.Module, host: Host, link: Link) -> TextReader:
        """Return what asks the model as it is now."""
        settings = replace(self.settings, forward_context=host.forward_context)
        if self._read is None:
            self._read = read_texts(
                model,
                host.to_device(self.inputs),
                self.labels,
                self.ids,
                settings=settings,
                tokenizer=self.tokenizer,
                class_names=self.class_names,
                seed=settings.seed,
            )
        form = self._read[1]
        return TextReader(form, host.to_device, lambda inputs: host.ranks.logits(model, inputs, settings), link)

    def generators(self, kinds: Sequence[str]) -> Sequence[Generator]:
        """Return what proposes candidates of these kinds."""
        return text_generators(kinds)

    def kept(self, batch: ProbeBatch) -> ProbeBatch:
        """Return the probe: ids are small."""
        return batch

    def facts(self) -> dict[str, Any]:
        """Return what a record of the run should tell of it."""
        return {"n_texts": self.size, "n_classes": len(self.labels.unique())}
