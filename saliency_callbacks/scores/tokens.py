"""From one attribution for each dimension of an embedding to one for each token."""

from __future__ import annotations

from dataclasses import replace

from saliency_callbacks.functional.maps import reduce_channels
from saliency_callbacks.types import Attribution

__all__ = ["per_token"]


def per_token(attribution: Attribution) -> Attribution:
    r"""Return the attribution of every token: signed where dimensions are summed, else non-negative.

    .. math:: R_t = \sum_d R_{d, t} \quad\text{or}\quad R_t = \lVert R_{\cdot, t} \rVert

    Args:
        attribution: Of a text, with values ``[N, D, T]``.

    Returns:
        The same with values ``[N, 1, T]``, a thousandth of the size; what is shown and scored of it does not change.
    """
    values, reduction = attribution.values, attribution.reduction
    if reduction is None or reduction == "sum":
        return replace(attribution, values=values.sum(dim=1, keepdim=True), reduction="sum")
    return replace(attribution, values=reduce_channels(values, reduction).unsqueeze(1), reduction="sum")
