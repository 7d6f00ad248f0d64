"""A target for models that return embeddings, and no classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor
from typing_extensions import override

from saliency_callbacks.config.dotted_paths import resolve_object
from saliency_callbacks.config.hydra import plain
from saliency_callbacks.config.nested import describe
from saliency_callbacks.config.recorded import recorded
from saliency_callbacks.errors import TargetError
from saliency_callbacks.targets.logits import read_logits
from saliency_callbacks.targets.named import NamedTarget, Samples
from saliency_callbacks.targets.prompts import Prompted, check_prompts, label_rows, tokenized

__all__ = ["SimilarityTarget"]

_EXPECTED = "expected 'initial', 'text', an embedding [D], or one per sample [N, D]"


@dataclass(frozen=True, eq=False, repr=False)
class SimilarityTarget(NamedTarget):
    r"""Explain how similar the embedding of each sample is to a reference.

    .. math:: s_n = \frac{e_n \cdot r_n}{\lVert e_n \rVert \, \lVert r_n \rVert}

    with the embedding :math:`e_n` that the model returns (``output_fn`` picks it where there are several outputs) and a
    reference :math:`r_n` that is held fixed. ``score`` is s in [-1, 1], and ``target`` is -1, as there is no class.

    An embedding is most similar to itself, so that the gradient of s vanishes where r is the embedding of now. There,
    as at the first observation of ``"initial"``, the length of :math:`e_n` is held fixed, too: the score is the same,
    and its gradient says what makes up the embedding. A model that itself scales its embeddings to one length has no
    such gradient: whatever it changes, the similarity falls, and by nothing at first. Its map is zero then, and is one
    of the similarity as soon as the embedding has moved; the automatic target layer is found with another reference.
    Explain the part before the scaling, with ``ModelReading(module=…)``, to have a map at once.

    A picture is compared with a text by a model that embeds both, as CLIP does: the model returns embeddings of
    pictures (or, as ``image_embeds``, both), and the text's embedding is that of its text encoder at the same moment,
    without a gradient.

    Args:
        reference: ``"initial"`` for each sample's own embedding at the first observation, which a checkpoint keeps;
            ``"text"`` for the embedding of each picture's own text, ``text_embeds`` of the model's output; an
            embedding ``[D]`` that all samples are compared with; or one for each sample, ``[N, D]``.
        view: Another view of the samples, as the model takes it: each is compared with the embedding that the model
            has for its other view at the same moment, without a gradient. Takes the place of ``reference``.
        prompt: A text that all pictures are compared with. Takes the place of ``reference``.
        prompts: A text for each class: each picture is compared with that of its label.
        tokenizer: Makes tokens of them: the tokenizer of the model, a function texts -> ids ``[P, T]``, or the dotted
            path of either.

    Raises:
        TargetError: If the reference is none of these, has another size than the embeddings, or is given with a view or
            a prompt; if a prompt has no tokenizer, or is longer than the model takes.

    Reference:
        Zhu et al. 2019, arXiv 1909.12977 (explanations of the similarity of two embeddings).

    Example:
        >>> import torch
        >>> from saliency_callbacks import explain
        >>> encoder = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3, bias=False))
        >>> images, others = torch.rand(2, 2, 1, 2, 2)
        >>> target = SimilarityTarget(encoder(others))
        >>> found = explain(encoder, images, methods="gradient", target=target)["gradient"]
        >>> bool((found.score <= 1).all())
        True

        >>> tokenizer = lambda texts: torch.tensor([[len(word) for word in text.split()] for text in texts])
        >>> SimilarityTarget(prompt="a photo of a dog", tokenizer=tokenizer)
        SimilarityTarget(prompt='a photo of a dog')
    """

    reference: Literal["initial", "text"] | Tensor | Sequence[Any] = "initial"
    view: Any = None
    prompt: str | None = None
    prompts: Sequence[str] | None = None
    tokenizer: Any = None

    def __post_init__(self) -> None:
        given = plain(self.reference)
        object.__setattr__(self, "view", plain(self.view))
        if not isinstance(given, str):
            object.__setattr__(self, "reference", _checked(given))
        elif given not in ("initial", "text"):
            raise TargetError(f"reference={given!r}; {_EXPECTED}")
        own = {"reference": None if self.is_open else given, "view": self.view, "prompt": self.prompt}
        told = [name for name, value in {**own, "prompts": self.prompts}.items() if value is not None]
        if len(told) > 1:
            raise TargetError(f"{' and '.join(told)} are both given; expected only one of them")
        object.__setattr__(self, "prompts", None if self.prompts is None else tuple(plain(self.prompts)))
        if self._texts is not None:
            object.__setattr__(self, "tokenizer", resolve_object("tokenizer", self.tokenizer, error=TargetError))
            check_prompts(self._texts, self.tokenizer)

    @property
    def _texts(self) -> tuple[str, ...] | None:
        return self.prompts if self.prompt is None else (self.prompt,)  # type: ignore[return-value]

    @property
    def is_open(self) -> bool:
        """Whether the reference is that of the first observation, which is yet to come."""
        return isinstance(self.reference, str) and self.reference == "initial"

    @property
    @override
    def is_fixed(self) -> bool:
        return not self.is_open or not self.compares_with_first

    @override
    def of(self, samples: Samples) -> NamedTarget:
        texts = self._texts
        if texts is None:
            return self
        rows = torch.zeros(samples.n_samples).long() if self.prompt else label_rows(len(texts), samples)
        tokens = tokenized(texts, self.tokenizer)
        padding = None if "attention_mask" in tokens else getattr(self.tokenizer, "pad_token_id", None)
        return Prompted(texts, tokens, rows, SimilarityTarget, padding)

    @property
    def compares_with_first(self) -> bool:
        """Whether the reference is that of the first observation, or was."""
        return self.view is None and self._texts is None

    @override
    def pinned(self, pins: Mapping[str, Tensor]) -> NamedTarget:
        reference = pins.get("reference")
        return self if reference is None or not self.is_open or self.view is not None else self.settled(reference)

    def settled(self, reference: Tensor) -> SimilarityTarget:
        """Return the target with a reference ``[N, D]``."""
        return replace(self, reference=reference, view=None)

    def __call__(self, output: Any, samples: Tensor) -> Tensor:
        """Return the similarity of each row, ``[M]``.

        Args:
            output: What the model returned for M rows.
            samples: The sample that each row belongs to, ``[M]``.
        """
        embeddings, has_one_length = _read(output)
        return _cosine(embeddings, self._references(output, embeddings, samples), has_one_length=has_one_length)

    def reaching(self, output: Any, samples: Tensor) -> Tensor:
        """Return a score ``[M]`` with a gradient wherever the embedding has one, to find what it depends on.

        It is the similarity, but where that of an embedding to itself has no gradient, as its length is held by the
        model: there the embedding is compared with a fixed vector.

        Args:
            output: As for the similarity itself.
            samples: As well.
        """
        embeddings, has_one_length = _read(output)
        references = self._references(output, embeddings, samples)
        if has_one_length:
            other = torch.randn(embeddings.shape[1], generator=torch.Generator("cpu").manual_seed(0), device="cpu")
            is_same = _is_same(embeddings, references)[:, None]
            references = torch.where(is_same, other.to(embeddings), references)
        return _cosine(embeddings, references, has_one_length=has_one_length)

    def _references(self, output: Any, embeddings: Tensor, samples: Tensor) -> Tensor:
        if self.is_open:
            return embeddings.detach()
        if isinstance(self.reference, str):
            return _own_texts(output, embeddings)
        assert isinstance(self.reference, Tensor), "made one above"
        reference = self.reference.to(embeddings)
        if reference.shape[-1] != embeddings.shape[1]:
            raise TargetError(
                f"the reference has {reference.shape[-1]} values, but the model's embeddings have "
                f"{embeddings.shape[1]}; expected equally many. Give an embedding of the same model, or `output_fn=`"
            )
        if reference.ndim == 1:
            return reference.expand_as(embeddings)
        if int(samples.max()) >= len(reference):
            raise TargetError(
                f"the reference has shape {list(reference.shape)}; expected one embedding [D], or one for each of at "
                f"least {int(samples.max()) + 1} samples"
            )
        return reference[samples]

    def __repr__(self) -> str:
        given = {"view": self.view, "prompt": self.prompt, "prompts": self.prompts}
        for name, value in given.items():
            if value is not None:
                return f"SimilarityTarget({name}={describe(value) if name == 'view' else recorded(value)})"
        shown = repr(self.reference) if isinstance(self.reference, str) else describe(self.reference)
        return f"SimilarityTarget({shown})"


def _read(output: Any) -> tuple[Tensor, bool]:
    """Return the embeddings, and whether the model scales them to one length."""
    pictures = _entry(output, "image_embeds", "image_features")
    read = read_logits(output if pictures is None else pictures)
    embeddings = read.to(torch.promote_types(read.dtype, torch.float32))
    found = embeddings.detach()
    lengths = found.norm(dim=1)
    # A model rounds to the precision that it works in.
    rounding = 4 * torch.finfo(read.dtype).eps
    is_one = bool(((lengths - 1).abs() <= rounding).all())
    # Equal embeddings, as of equal samples, have one length whatever the model does.
    differ = bool((found - found[:1]).norm(dim=1).max() > 1e-3 * lengths.max())
    return embeddings, is_one or (differ and bool(lengths.max() - lengths.min() <= rounding * lengths.max()))


def _entry(output: Any, *names: str) -> Tensor | None:
    """Return what an output of a model of pictures and texts has under one of some names.

    The tuple that open_clip returns has embeddings of pictures and of texts, and a scale.
    """
    if isinstance(output, tuple) and [getattr(part, "ndim", None) for part in output[:3]] == [2, 2, 0]:
        found: Tensor = output["text" in names[0]]
        return found
    parts = [output.get(name) if isinstance(output, Mapping) else getattr(output, name, None) for name in names]
    return next((part for part in parts if isinstance(part, Tensor)), None)


def _own_texts(output: Any, embeddings: Tensor) -> Tensor:
    texts = _entry(output, "text_embeds", "text_features")
    if texts is None or texts.shape != embeddings.shape:
        found = "none" if texts is None else f"embeddings {list(texts.shape)}"
        raise TargetError(
            f"reference='text' compares {len(embeddings)} pictures with their own texts, but of these the model "
            f"returned {found}; expected `text_embeds` {list(embeddings.shape)}. Give the batch one text a picture, or "
            "one text for all with prompt=…"
        )
    return texts.detach().to(embeddings)


def _cosine(embeddings: Tensor, references: Tensor, *, has_one_length: bool) -> Tensor:
    lengths, reference_lengths = embeddings.norm(dim=1), references.norm(dim=1)
    tiny = torch.finfo(embeddings.dtype).tiny
    product = (embeddings * references).sum(dim=1) / reference_lengths.clamp(min=tiny)
    cosine = product / lengths.clamp(min=tiny)
    fixed = product / lengths.detach().clamp(min=tiny)
    if has_one_length:
        fixed = fixed.detach() + 0 * product
    # What is left of the gradient there is rounding, and must not be drawn.
    return torch.where(_is_same(embeddings, references), fixed, cosine)


def _is_same(embeddings: Tensor, references: Tensor) -> Tensor:
    """Whether each embedding has the direction of its reference, ``[M]``; one of zeros has none."""
    found = embeddings.detach()
    tiny = torch.finfo(found.dtype).tiny
    product = (found * references).sum(dim=1) / references.norm(dim=1).clamp(min=tiny)
    cosine: Tensor = product / found.norm(dim=1).clamp(min=tiny)
    return cosine.ge(1 - 8 * torch.finfo(found.dtype).eps)


def _checked(given: Any) -> Tensor:
    expected = _EXPECTED
    try:
        reference = given.detach() if isinstance(given, Tensor) else torch.tensor(given, dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TargetError(f"reference={given!r}; {expected}") from error
    if reference.ndim not in (1, 2) or not reference.is_floating_point():
        raise TargetError(f"reference is {describe(given)}; {expected}, in floating point")
    return reference
