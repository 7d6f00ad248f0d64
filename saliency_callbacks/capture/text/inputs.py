"""Texts as explained inputs: gradients are taken at the output of the layer that embeds the ids of the tokens.

The embeddings ``[N, T, D]``, as ``[N, D, T]``, are what passes, paths and noise see. They take the place of the
layer's output, while the model is run on the ids, masks and all else that it was given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from saliency_callbacks.capture.inputs import ModelInputs
from saliency_callbacks.capture.structure import tensors_of
from saliency_callbacks.capture.text.embedding_layer import Layout, embed, find_embedding, is_given, receives
from saliency_callbacks.capture.text.max_length import known_lengths
from saliency_callbacks.capture.text.settings import TokenSettings, padding_of, special_of
from saliency_callbacks.errors import InputError, LayerError, MethodError

__all__ = ["TokenInputs"]


@dataclass(frozen=True, eq=False)
class TokenInputs(ModelInputs):
    """A batch of text inputs; the explained tensor is what their tokens are embedded as, ``[N, D, T]``.

    Every call of the layer with the ids of the batch gives the explained embeddings; its calls with other ids (those of
    a decoder that shares it) are left alone. Where another text of the batch happens to equal the explained one, as in
    a pair of two equal texts, only calls with the very tensor that was fed count.

    Args:
        ids: Ids of the tokens ``[N, T]``, or embeddings ``[N, T, D]`` where the model takes these.
        name: Dotted name of the embedding layer; empty where the model takes embeddings.
        layer: The layer itself.
        layout: Whether it is given ``[N, T]`` or ``[T, N]``, where ids that equal their transpose do not tell.
        padding: Which tokens are padding, bool ``[N, T]``.
        special: Which tokens are no words of the text, bool ``[N, T]``.
        settings: How text inputs are explained.
        pad_id: Id of the padding token, where it is known.
    """

    ids: Tensor
    name: str
    layer: nn.Module | None
    layout: Layout | None
    padding: Tensor
    special: Tensor
    settings: TokenSettings
    pad_id: int | None
    # The ids that were fed last: what runs again in a backward is given the same tensor.
    _fed: list[Tensor] = field(default_factory=list, kw_only=True, repr=False)

    @classmethod
    def of_texts(
        cls,
        model: nn.Module,
        batch: ModelInputs,
        settings: TokenSettings,
        forward_context: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> TokenInputs:
        """Find the embedding layer and embed the tokens, with the weights of this moment.

        Raises:
            LayerError: If there is no embedding layer, or several could be meant.
            InputError: If there are ids that the layer or the tokenizer does not have.
        """
        ids = batch.explained
        name, layer, layout = "", None, None
        if not ids.is_floating_point():
            name, layer, layout = find_embedding(model, batch, settings.embedding, forward_context, settings.layout)
            _check_tokenizer(ids, settings.n_ids)
            settings = settings.seeing(ids)
        pad_id = settings.known_pad_id(model, layer)
        padding = padding_of(batch, pad_id)
        with torch.no_grad(), forward_context():
            embedded = ids if layer is None else embed(name, layer, ids)
        return cls(
            structure=batch.structure,
            attribute_to=batch.attribute_to,
            # In memory as the layer made it, so that no pass has to turn it round.
            explained=embedded.detach().movedim(2, 1),
            ids=ids,
            name=name,
            layer=layer,
            layout=layout,
            padding=padding,
            special=special_of(batch, padding, settings.special_ids),
            settings=settings,
            pad_id=pad_id,
            shared=batch.shared,
        )

    @property
    @override
    def counted(self) -> Tensor:
        return ~(self.padding | self.special)

    @property
    @override
    def positions(self) -> Tensor:
        return ~self.padding

    @override
    def start(self, baseline: str) -> Tensor:
        if self.layer is None:
            raise MethodError(f"baseline {baseline!r} needs ids, but the model is given embeddings. Use 'zeros'")
        replacement = self.settings.replacement(baseline, self.pad_id)
        ids = self.ids.masked_fill(self.counted, replacement)
        with torch.no_grad():
            return embed(self.name, self.layer, ids).movedim(2, 1)

    @override
    def fed(self, explained: Tensor, samples: Tensor) -> AbstractContextManager[Any]:
        if self.layer is None:
            return super().fed(explained, samples)
        ids = self._ids_of(samples)
        ids = next((fed for fed in self._fed if torch.equal(fed, ids)), ids)
        return _replaced_output(self.layer, ids, explained, self.layout, is_exact=self._has_twin(ids, samples))

    @override
    def copied(self, explained: Tensor) -> Tensor:
        # The layer returns a copy each time that it is called.
        return explained if self.layer is not None else super().copied(explained)

    @override
    def call(self, model: Callable[..., Any], explained: Tensor, samples: Tensor) -> Any:
        if self.layer is None:
            with known_lengths(model, self.ids):
                return super().call(model, explained.movedim(1, 2).contiguous(), samples)
        ids = self._ids_of(samples)
        self._fed[:] = [ids]
        is_exact = self._has_twin(ids, samples)
        with known_lengths(model, ids), _replaced_output(self.layer, ids, explained, self.layout, is_exact) as calls:
            output = super().call(model, ids, samples)
        if not calls and is_exact:
            raise LayerError(
                f"samples {samples.tolist()} have other text inputs equal to the explained ones, and embedding layer "
                f"{self.name!r} is given copies of both, so they cannot be told apart; expected a model that embeds "
                "the ids unchanged. Leave out these samples, or run them with others: internal_batch_size="
            )
        if not calls:
            raise LayerError(
                f"embedding layer {self.name!r} ({type(self.layer).__name__}) was not given the ids {list(ids.shape)} "
                "of the text inputs; expected a layer that takes them unchanged. Give another layer as `embedding=`, "
                "or 'auto'"
            )
        return output

    def _has_twin(self, ids: Tensor, samples: Tensor) -> bool:
        """Return whether other inputs of these samples equal their explained ids."""
        others = tensors_of(self.rows(samples)) if isinstance(self.structure, (tuple, Mapping)) else {}
        return any(
            name != str(self.attribute_to) and not other.is_floating_point() and torch.equal(other.to(ids), ids)
            for name, other in others.items()
            if other.shape == ids.shape
        )

    def _ids_of(self, samples: Tensor) -> Tensor:
        return self.ids.index_select(0, samples.to(self.ids.device))


@contextmanager
def _replaced_output(
    layer: nn.Module, ids: Tensor, embedded: Tensor, settled: Layout | None, is_exact: bool
) -> Iterator[list[str]]:
    """Let ``layer`` return ``embedded [M, D, T]`` for ``ids [M, T]``; yield one entry for each time that it has.

    Where ``is_exact``, equal ids do not count, but only the tensor itself or a view of it.
    """
    calls: list[str] = []
    records_graph = torch.is_grad_enabled()

    def replace(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Tensor | None:
        layout = receives(args, kwargs, ids, settled)
        if layout is None or (is_exact and not is_given(args, kwargs, ids)):
            return None
        calls.append(layout)
        # A graph begins here even where the model embeds under `no_grad`. A copy for each call, as the model may work
        # in place on it, and contiguous, as it would be.
        with torch.set_grad_enabled(records_graph):
            given = embedded.permute(0, 2, 1) if layout == "batch_first" else embedded.permute(2, 0, 1)
            return given.to(output.dtype).clone(memory_format=torch.contiguous_format)

    handle = layer.register_forward_hook(replace, with_kwargs=True)
    try:
        yield calls
    finally:
        handle.remove()


def _check_tokenizer(ids: Tensor, n_ids: int | None) -> None:
    if n_ids is not None and int(ids.max()) >= n_ids:
        raise InputError(
            f"the text inputs have the id {int(ids.max())}, but the tokenizer has {n_ids} (0 to {n_ids - 1}); "
            "expected the tokenizer that produced the ids"
        )
