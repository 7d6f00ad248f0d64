"""What attention says of each token: of all layers that lie between the input and the score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from torch import Tensor

from saliency_callbacks.config.checks import checked_choice, checked_integer
from saliency_callbacks.errors import MethodError
from saliency_callbacks.functional.attention.relevance import (
    attention_relevance,
    attention_rollout,
    attention_sensitivity,
)
from saliency_callbacks.types import AttentionEvidence, Evidence, Pass, Quantity, RawMap

__all__ = ["AttentionRollout", "GradientXAttention", "LeGrad"]

LayerScore = Literal["layer", "output"]


@dataclass(frozen=True)
class AttentionRollout:
    r"""Attention rollout: the attention of all layers, multiplied, with their residual connections.

    .. math:: R = \hat{A}^{L} \cdots \hat{A}^{1}, \qquad
        \hat{A}^{l} = \frac{1}{2} \Big(\frac{1}{H} \sum_h A^{l,h} + I\Big)

    The map is the row of the token that the score is computed from (the class token, or the mean over those that are
    pooled). Values ``[N, 1, *spatial]`` are non-negative. They depend neither on the target nor on the model's head.

    Args:
        name: Key of the result and ``{method}`` in the logged tags.

    Example:
        >>> from saliency_callbacks import RandomizationTest, SaliencyMonitor
        >>> monitor = SaliencyMonitor(["gradient", AttentionRollout()])
        >>> test = RandomizationTest(AttentionRollout())
        >>> # trainer = L.Trainer(callbacks=[monitor, test])

    Reference:
        Abnar & Zuidema 2020, arXiv 2005.00928, Eq. 1 and 2.
    """

    name: str = "attention_rollout"

    def requires(self) -> Mapping[Pass, Quantity]:
        """One point pass; the attention of all layers."""
        return {Pass(): Quantity.ATTENTION}

    def attribute(self, evidence: Mapping[Pass, Evidence]) -> RawMap:
        """Multiply the layers."""
        attention = _attention(evidence)
        return _map(attention, attention_rollout(attention.weights, attention.readout))


@dataclass(frozen=True)
class GradientXAttention:
    r"""Gradient × attention, propagated through all layers: the generic method for transformers of Chefer et al.

    .. math:: R \leftarrow R + \bar{A}^{l} R, \qquad \bar{A}^{l} = \frac{1}{H} \sum_h
        \Big(\frac{\partial f_c}{\partial A^{l,h}} \odot A^{l,h}\Big)^+

    with :math:`R = I` before the first layer. The map is the row of R - I of the token that the score is computed from,
    as of :class:`AttentionRollout`: what came through attention. The I alone would give every token that is read out
    its share, and so hide the rest where patches are pooled, or a decoder's last token is read; the map of a class
    token is the same with and without it. Values ``[N, 1, *spatial]`` are non-negative.

    Args:
        name: Key of the result and ``{method}`` in the logged tags.

    Example:
        All methods of attention share the pass of the gradient:

        >>> from saliency_callbacks import SaliencyMonitor
        >>> monitor = SaliencyMonitor(["gradient", GradientXAttention(), "attention_rollout"])
        >>> set(GradientXAttention().requires()) == set(AttentionRollout().requires())
        True

    Reference:
        Chefer et al. 2021, arXiv 2103.15679, Eq. 5 and 6.
    """

    name: str = "gradient_x_attention"

    def requires(self) -> Mapping[Pass, Quantity]:
        """One point pass; the attention of all layers and its gradients."""
        return {Pass(): Quantity.ATTENTION_GRADIENT}

    def attribute(self, evidence: Mapping[Pass, Evidence]) -> RawMap:
        """Propagate the relevance through the layers."""
        attention = _attention(evidence)
        return _map(attention, attention_relevance(attention.relevance, attention.readout))


@dataclass(frozen=True)
class LeGrad:
    r"""LeGrad: how much a larger attention to a token would raise the score, in every layer.

    .. math:: R = \frac{1}{L} \sum_l \frac{1}{H T} \sum_{h,t} \Big(\frac{\partial s^l}{\partial A^{l,h}_t}\Big)^+

    :math:`s^l` is what the model's own head gives the mean over the tokens that layer l puts out. Values
    ``[N, 1, *spatial]`` are non-negative.

    Args:
        layers: How many of the last layers are averaged; all by default, as in the paper.
        score: ``"layer"`` for each layer's own score; ``"output"`` for the score of the model in all of them, whose
            gradients are those of the pass that every observation makes anyway.
        name: Key of the result and ``{method}`` in the logged tags.

    Raises:
        MethodError: If ``layers`` is not positive, or ``score`` is unknown.

    Example:
        >>> from saliency_callbacks import SaliencyMonitor
        >>> monitor = SaliencyMonitor([LeGrad(layers=4), LeGrad(score="output", name="legrad_output")])
        >>> # trainer = L.Trainer(callbacks=[monitor])

    Reference:
        Bousselham et al. 2024, arXiv 2404.03214, Eq. 4 to 8.
    """

    layers: int | None = None
    score: LayerScore = "layer"
    name: str = "legrad"

    def __post_init__(self) -> None:
        checked_choice(f"{self.name}: score", self.score, get_args(LayerScore), error=MethodError)
        if self.layers is not None:
            expected = "a positive number of layers, or None for all"
            found = checked_integer(f"{self.name}: layers", self.layers, 1, expected=expected, error=MethodError)
            object.__setattr__(self, "layers", found)

    def requires(self) -> Mapping[Pass, Quantity]:
        """One point pass; gradients with respect to the attention of all layers."""
        is_own = self.score == "layer"
        return {Pass(): Quantity.OWN_ATTENTION_GRADIENT if is_own else Quantity.ATTENTION_GRADIENT}

    def attribute(self, evidence: Mapping[Pass, Evidence]) -> RawMap:
        """Average over the layers."""
        attention = _attention(evidence)
        found = attention.own_sensitivity if self.score == "layer" else attention.sensitivity
        return _map(attention, attention_sensitivity(found[-(self.layers or len(found)) :]))


def _attention(evidence: Mapping[Pass, Evidence]) -> AttentionEvidence:
    attention = evidence[Pass()].attention
    assert attention is not None, "the engine did not keep a quantity that the method requires"
    return attention


def _map(attention: AttentionEvidence, tokens: Tensor) -> RawMap:
    return RawMap(attention.to_map(tokens), layer="attention")
