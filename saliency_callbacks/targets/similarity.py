"""A target for models that return embeddings, and no classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from saliency_callbacks.config.hydra import plain
from saliency_callbacks.config.nested import describe
from saliency_callbacks.errors import TargetError
from saliency_callbacks.targets.logits import read_logits

__all__ = ["SimilarityTarget"]


@dataclass(frozen=True, eq=False)
class SimilarityTarget:
    r"""Explain how similar the embedding of each sample is to a reference.

    .. math:: s_n = \frac{e_n \cdot r_n}{\lVert e_n \rVert \, \lVert r_n \rVert}

    with the embedding :math:`e_n` that the model returns (``output_fn`` picks it where there are several outputs) and a
    reference :math:`r_n` that is held fixed. ``score`` is s in [-1, 1], and ``target`` is -1, as there is no class.

    An embedding is most similar to itself, so that the gradient of s vanishes where r is the embedding of now. There,
    as at the first observation of ``"initial"``, the length of :math:`e_n` is held fixed, too: the score is the same,
    and its gradient says what makes up the embedding. A model that itself scales its embeddings to length 1 has no such
    gradient, and a map of zeros; explain the part before that, with ``ModelReading(module=…)``, to have one.

    Args:
        reference: ``"initial"`` for each sample's own embedding at the first observation, which a checkpoint keeps; an
            embedding ``[D]`` that all samples are compared with; or one for each sample, ``[N, D]``.
        view: Another view of the samples, as the model takes it: each is compared with the embedding that the model
            has for its other view at the same moment, without a gradient. Takes the place of ``reference``.

    Raises:
        TargetError: If the reference is none of these, has another size than the embeddings, or is given with a view.

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
    """

    reference: Literal["initial"] | Tensor | Sequence[Any] = "initial"
    view: Any = None

    def __post_init__(self) -> None:
        given = plain(self.reference)
        if not isinstance(given, str):
            object.__setattr__(self, "reference", _checked(given))
        elif given != "initial":
            raise TargetError(f"reference={given!r}; expected 'initial', an embedding [D], or one a sample [N, D]")
        if self.view is not None and not self.is_open:
            raise TargetError("reference and view are both given; expected one of them to compare with")

    @property
    def is_open(self) -> bool:
        """Whether the reference is that of the first observation, which is yet to come."""
        return isinstance(self.reference, str)

    def settled(self, reference: Tensor) -> SimilarityTarget:
        """Return the target with a reference ``[N, D]``."""
        return replace(self, reference=reference, view=None)

    def __call__(self, output: Any, samples: Tensor) -> Tensor:
        """Return the similarity of each row, ``[M]``.

        Args:
            output: What the model returned for M rows.
            samples: The sample that each row belongs to, ``[M]``.
        """
        embeddings = read_logits(output)
        embeddings = embeddings.to(torch.promote_types(embeddings.dtype, torch.float32))
        return _cosine(embeddings, self._references(embeddings, samples))

    def _references(self, embeddings: Tensor, samples: Tensor) -> Tensor:
        if isinstance(self.reference, str):
            return embeddings.detach()
        assert isinstance(self.reference, Tensor), "made one above"
        reference = self.reference.to(embeddings)
        if reference.shape[-1] != embeddings.shape[1]:
            raise TargetError(
                f"the reference has {reference.shape[-1]} values, but the model's embeddings have "
                f"{embeddings.shape[1]}; expected as many. Give what the same model returns, or `output_fn=`"
            )
        if reference.ndim == 1:
            return reference.expand_as(embeddings)
        if int(samples.max()) >= len(reference):
            raise TargetError(
                f"the reference is {list(reference.shape)}; expected an embedding for each of at least "
                f"{int(samples.max()) + 1} samples, or one [D] for all"
            )
        return reference[samples]

    def __repr__(self) -> str:
        if self.view is not None:
            return f"SimilarityTarget(view={describe(self.view)})"
        shown = repr(self.reference) if isinstance(self.reference, str) else describe(self.reference)
        return f"SimilarityTarget({shown})"


def _cosine(embeddings: Tensor, references: Tensor) -> Tensor:
    lengths, reference_lengths = embeddings.norm(dim=1), references.norm(dim=1)
    tiny = torch.finfo(embeddings.dtype).tiny
    product = (embeddings * references).sum(dim=1) / reference_lengths.clamp(min=tiny)
    cosine = product / lengths.clamp(min=tiny)
    # What is left of the gradient there is rounding, and must not be drawn.
    rounding = 8 * torch.finfo(embeddings.dtype).eps
    is_same = cosine.detach() >= 1 - rounding
    fixed = product / lengths.detach().clamp(min=tiny)
    if bool((lengths.detach() - 1).abs().max() <= rounding):
        fixed = fixed.detach() + 0 * product
    return torch.where(is_same, fixed, cosine)


def _checked(given: Any) -> Tensor:
    expected = "expected 'initial', an embedding [D], or one a sample [N, D]"
    try:
        reference = given.detach() if isinstance(given, Tensor) else torch.tensor(given, dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TargetError(f"reference={given!r}; {expected}") from error
    if reference.ndim not in (1, 2) or not reference.is_floating_point():
        raise TargetError(f"reference is {describe(given)}; {expected}, in floating point")
    return reference
