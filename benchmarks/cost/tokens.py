"""Text inputs: attributions at the embeddings of a BERT, against the gradient by hand and against Captum."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from captum.attr import LayerIntegratedGradients
from torch import Tensor, nn
from transformers import BertConfig, BertForSequenceClassification

from benchmarks.cost.measure import Row, cost, interleave
from benchmarks.cost.workload import Workload, score
from saliency_callbacks import explain, methods

__all__ = ["measure_tokens", "measure_tokens_ig"]

_METHODS = ("gradient_norm", "input_x_gradient")
_LAYER = "bert.embeddings.word_embeddings"


@dataclass(frozen=True, eq=False)
class _Texts:
    model: nn.Module
    batch: dict[str, Tensor]
    target: Tensor

    @property
    def layer(self) -> nn.Module:
        return self.model.get_submodule(_LAYER)

    def logits(self, ids: Tensor, mask: Tensor) -> Tensor:
        found: Tensor = self.model(input_ids=ids, attention_mask=mask).logits
        return found


def measure_tokens(workload: Workload) -> list[Row]:
    """Two methods together, against one gradient at the embeddings by hand."""
    texts = _texts(workload.images, workload.size)
    named, auto, by_hand = "two methods, layer named", "two methods, layer 'auto'", "forward + gradient by hand"
    both = partial(explain, texts.model, texts.batch, methods=_METHODS, target=texts.target)
    sides: dict[str, Callable[[], Any]] = {
        named: partial(both, embedding=_LAYER),
        by_hand: partial(_floor, texts, texts.batch["input_ids"], texts.batch["attention_mask"], texts.target),
        auto: partial(both, embedding="auto"),
    }
    timings = interleave(sides, workload.rounds, workload.clock)
    return [
        cost("tokens/named_layer", timings, ours=named, other=by_hand, limit=1.1),
        cost("tokens/auto_layer", timings, ours=auto, other=by_hand, limit=1.1),
    ]


def measure_tokens_ig(workload: Workload) -> list[Row]:
    """Integrated gradients from padding, against as many run by hand in the same chunks, and against Captum."""
    texts = _texts(workload.path_images, workload.size)
    method = methods.IntegratedGradients(n_steps=workload.path_steps, baselines="pad_token")
    ours = f"integrated_gradients {workload.path_images} texts × {workload.path_steps}"
    by_hand, library = f"forward + gradient by hand, chunks of {workload.images}", "Captum, same chunks"
    options = {"target": texts.target, "embedding": "auto", "internal_batch_size": workload.images}
    sides: dict[str, Callable[[], Any]] = {
        ours: partial(explain, texts.model, texts.batch, methods=method, **options),
        by_hand: partial(_floor_in_chunks, texts, workload),
        library: partial(_captum, texts, workload),
    }
    # As many rounds as the short comparisons: what is to be told apart here are a few percent.
    timings = interleave(sides, workload.rounds, workload.clock)
    return [
        cost("tokens_ig/floor", timings, ours=ours, other=by_hand, limit=1.1),
        cost("tokens_ig/captum", timings, ours=ours, other=library, limit=1.0),
    ]


def _texts(count: int, size: int) -> _Texts:
    """Return a BERT of four layers with fixed random weights, and texts of ``size`` / 2 tokens, some shorter."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=5000, hidden_size=256, num_hidden_layers=4, num_attention_heads=4, intermediate_size=1024
        )
        model = BertForSequenceClassification(config).eval()
    length = size // 2
    ids = 5 + torch.arange(count * length).reshape(count, length) * 37 % 4990
    mask = (torch.arange(length) < length - 3 * torch.arange(count)[:, None]).long()
    return _Texts(model, {"input_ids": ids * mask, "attention_mask": mask}, torch.arange(count) % 2)


def _floor(texts: _Texts, ids: Tensor, mask: Tensor, target: Tensor) -> Tensor:
    embedded = texts.layer(ids).detach().requires_grad_(True)
    logits = texts.model(inputs_embeds=embedded, attention_mask=mask).logits
    gradient: Tensor = torch.autograd.grad(score(logits, target), embedded)[0]
    return gradient


def _floor_in_chunks(texts: _Texts, workload: Workload) -> None:
    ids, mask = texts.batch["input_ids"], texts.batch["attention_mask"]
    n_rows = len(ids) * workload.path_steps
    for begin in range(0, n_rows, workload.images):
        rows = [number % len(ids) for number in range(begin, min(begin + workload.images, n_rows))]
        _floor(texts, ids[rows], mask[rows], texts.target[rows])


def _captum(texts: _Texts, workload: Workload) -> Tensor:
    ids, mask = texts.batch["input_ids"], texts.batch["attention_mask"]
    found: Tensor
    # With the convergence delta, which ours always has.
    found, _ = LayerIntegratedGradients(texts.logits, texts.layer).attribute(
        ids,
        torch.zeros_like(ids),
        target=texts.target,
        additional_forward_args=(mask,),
        n_steps=workload.path_steps,
        internal_batch_size=workload.images,
        return_convergence_delta=True,
    )
    return found
