"""Prompts that pictures are compared with, by models that embed both."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from saliency_callbacks.capture.isolation.shards import gathered
from saliency_callbacks.config.nested import describe
from saliency_callbacks.errors import TargetError
from saliency_callbacks.targets.named import NamedTarget, Samples

__all__ = ["Prompted", "check_prompts", "label_rows", "text_embeddings", "tokenized"]

_ENCODERS = ("get_text_features", "encode_text")


@dataclass(frozen=True, eq=False, repr=False)
class Prompted(NamedTarget):
    """Pictures that are compared with prompts, of which the model's embeddings of now are yet to be taken.

    Args:
        prompts: What is written, P texts.
        tokens: What the text encoder takes: ids ``[P, T]`` under ``input_ids``, and whatever goes with them.
        rows: The prompt of each sample, ``[N]``.
        compared: Makes a target of the embeddings that pictures are compared with, ``[N, D]``.
        padding: The token that fills them up to what the encoder takes; ``None`` where a mask tells what is text.
    """

    prompts: tuple[str, ...]
    tokens: Mapping[str, Tensor]
    rows: Tensor
    compared: Callable[[Tensor], NamedTarget]
    padding: int | None = None

    def settled(self, embeddings: Tensor) -> NamedTarget:
        """Return the target that compares with embeddings ``[P, D]`` of the prompts."""
        return self.compared(embeddings[self.rows.to(embeddings.device)])

    @override
    def __call__(self, output: Any, samples: Tensor) -> Tensor:
        raise TargetError("prompts need the model's text encoder; expected to be given to `explain` or a callback")


def check_prompts(prompts: Sequence[str], tokenizer: Any) -> None:
    """Raise a TargetError if prompts are no texts, or cannot be tokenized."""
    if not prompts or not all(isinstance(one, str) and one.strip() for one in prompts):
        raise TargetError(f"prompts {list(prompts)!r}; expected texts, such as 'a photo of a dog'")
    if not callable(tokenizer):
        given = "no tokenizer" if tokenizer is None else f"tokenizer={describe(tokenizer)}"
        raise TargetError(
            f"the prompt {prompts[0]!r} is given with {given}; expected the model's own, e.g. "
            "tokenizer=transformers.AutoTokenizer.from_pretrained(name), or a function texts -> ids [P, T]"
        )


def tokenized(prompts: Sequence[str], tokenizer: Any) -> dict[str, Tensor]:
    """Return what a text encoder takes of some prompts.

    Args:
        prompts: P texts.
        tokenizer: A tokenizer of Hugging Face, or a function texts -> ids ``[P, T]``.

    Raises:
        TargetError: If it fails, or returns something else.
    """
    is_of_hub = hasattr(tokenizer, "model_max_length")
    try:
        found = tokenizer(list(prompts), padding=True, return_tensors="pt") if is_of_hub else tokenizer(list(prompts))
    except Exception as error:
        raise TargetError(
            f"tokenizer fails on the prompts {list(prompts)[:3]} ({type(error).__name__}: {error}); expected a "
            "tokenizer that takes a list of texts, with a padding token where these have several lengths"
        ) from error
    given = dict(found) if isinstance(found, Mapping) else {"input_ids": found}
    tokens = {name: one for name, one in given.items() if name in ("input_ids", "attention_mask")}
    ids = tokens.get("input_ids")
    if not isinstance(ids, Tensor) or ids.ndim != 2 or len(ids) != len(prompts) or ids.is_floating_point():
        raise TargetError(f"tokenizer returned {describe(found)} for {len(prompts)} prompts; expected ids [P, T]")
    return tokens


def label_rows(n_prompts: int, samples: Samples) -> Tensor:
    """Return the prompt of each sample ``[N]``: the only one, or that of its label.

    Raises:
        TargetError: If there are several prompts, but no labels, or fewer than classes.
    """
    labels = None if samples.probe is None else samples.probe.labels
    if labels is None:
        raise TargetError(
            f"prompts has {n_prompts} texts, one for each class, but the samples have no labels; expected labels in "
            "the probe, or one text for all samples, prompt='…'"
        )
    if int(labels.max()) >= n_prompts:
        raise TargetError(
            f"prompts has {n_prompts} texts, but labels go up to {int(labels.max())}; expected one text for each "
            "class, in the order of their indices"
        )
    return labels


def text_embeddings(model: nn.Module, target: Prompted) -> Tensor:
    """Return the embeddings ``[P, D]`` that a model has of prompts now.

    Args:
        model: Has a module inside with ``get_text_features`` (Hugging Face) or ``encode_text`` (open_clip).
        target: The prompts.

    Raises:
        TargetError: If there is none, or a prompt is longer than it takes.
    """
    owner, encode = _encoder(model)
    device = next((each.device for each in owner.parameters()), torch.device("cpu"))
    tokens = {name: one.to(device) for name, one in target.tokens.items()}
    ids = tokens["input_ids"]
    limit = _max_length(owner)
    if limit is not None and ids.shape[1] > limit:
        lengths = target.tokens.get("attention_mask", torch.ones_like(target.tokens["input_ids"])).sum(dim=1)
        longest = target.prompts[int(lengths.argmax())]
        raise TargetError(
            f"the prompt {longest[:60]!r} has {ids.shape[1]} tokens, but {type(owner).__name__} takes {limit}; "
            "expected a shorter prompt"
        )
    if target.padding is not None and limit is not None:
        # An encoder that is given no mask, as that of SigLIP, has seen nothing but texts of its full length.
        tokens["input_ids"] = ids = nn.functional.pad(ids, (0, limit - ids.shape[1]), value=target.padding)
    with gathered(model, owner):
        found = encode(**tokens) if encode.__name__ == _ENCODERS[0] else encode(ids)
    embeddings = found if isinstance(found, Tensor) else getattr(found, "pooler_output", None)
    if not isinstance(embeddings, Tensor) or embeddings.ndim != 2:
        raise TargetError(f"{encode.__name__} returned {describe(found)}; expected embeddings [P, D]")
    return embeddings.detach()


def _encoder(model: nn.Module) -> tuple[nn.Module, Callable[..., Any]]:
    for module in model.modules():
        for name in _ENCODERS:
            encode = getattr(module, name, None)
            if callable(encode):
                return module, encode
    raise TargetError(
        f"{type(model).__name__} has no text encoder for the prompts; expected a module inside with "
        "`get_text_features` (CLIPModel of Hugging Face) or `encode_text` (open_clip). For embeddings that are made "
        "elsewhere, use SimilarityTarget(reference)"
    )


def _max_length(owner: nn.Module) -> int | None:
    config = getattr(owner, "config", None)
    limit = getattr(getattr(config, "text_config", config), "max_position_embeddings", None)
    limit = getattr(owner, "context_length", None) if limit is None else limit
    return limit if isinstance(limit, int) else None
