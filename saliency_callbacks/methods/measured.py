"""What was measured of the built-in methods.

Needs no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = ["FAITHFULNESS", "SANITY", "Faithfulness", "Sanity"]


@dataclass(frozen=True)
class Sanity:
    """How a method fared in parameter randomization.

    Args:
        status: ``fails`` where the floor or the similarity says that the maps do not come from the weights, ``passes``
            where they do, ``undecided`` where trained and random maps are alike and random ones are not.
        similarity: s, with the maps of random copies; signed Spearman, in [-1, 1].
        floor: s₀, between random copies.
    """

    status: Literal["passes", "fails", "undecided"]
    similarity: float
    floor: float


@dataclass(frozen=True)
class Faithfulness:
    """How a method fared in deletion and insertion, beside the same maps elsewhere, and under a little noise.

    None of it says that a map is right, and it ranks no methods: some that fail parameter randomization are high here.

    Args:
        deletion_gain: In [-1, 1]; 0 is no better than the same map somewhere else.
        insertion_gain: The same of showing the first positions alone.
        stability: Rank correlation with the maps of noisy samples; 1 is unchanged.
    """

    deletion_gain: float
    insertion_gain: float
    stability: float


SANITY: Mapping[str, Sanity] = {
    "gradient": Sanity("passes", -0.01, 0.0),
    # The gradient's values with another reduction: what is correlated is the same.
    "gradient_norm": Sanity("passes", -0.01, 0.0),
    "input_x_gradient": Sanity("passes", 0.0, 0.0),
    "integrated_gradients": Sanity("passes", 0.02, 0.0),
    "smooth_grad": Sanity("passes", 0.0, 0.0),
    "smooth_grad_squared": Sanity("fails", 0.32, 0.35),
    "var_grad": Sanity("fails", 0.33, 0.37),
    "smooth_integrated_gradients": Sanity("passes", 0.02, 0.0),
    "guided_backprop": Sanity("fails", 0.53, 0.66),
    "deconvnet": Sanity("passes", 0.28, 0.28),
    "guided_grad_cam": Sanity("fails", 0.35, 0.4),
    "grad_cam": Sanity("passes", 0.03, 0.02),
    "grad_cam_plus_plus": Sanity("fails", 0.73, 0.66),
    "hires_cam": Sanity("passes", 0.02, 0.01),
    "layer_cam": Sanity("passes", 0.27, 0.2),
    "xgrad_cam": Sanity("passes", 0.16, 0.04),
    "legrad": Sanity("passes", 0.0, 0.0),
    "gradient_x_attention": Sanity("passes", 0.0, 0.02),
    "attention_rollout": Sanity("passes", 0.01, -0.02),
}
"""Measured by ``benchmarks/sanity.py`` on two small networks for digits, with 20 random copies each; of both, the one
on which the method fares worse. Methods of attention were measured on a small vision transformer for digits. Another
network may give another result: see ``RandomizationTest``."""

FAITHFULNESS: Mapping[str, Faithfulness] = {
    "gradient": Faithfulness(0.34, 0.53, 0.72),
    "gradient_norm": Faithfulness(0.37, 0.52, 0.73),
    "input_x_gradient": Faithfulness(0.24, 0.25, 0.6),
    "integrated_gradients": Faithfulness(0.29, 0.25, 0.64),
    "smooth_grad": Faithfulness(0.47, 0.62, 0.92),
    "smooth_grad_squared": Faithfulness(0.47, 0.59, 0.96),
    "var_grad": Faithfulness(0.27, 0.3, 0.95),
    "smooth_integrated_gradients": Faithfulness(0.25, 0.28, 0.83),
    "guided_backprop": Faithfulness(0.52, 0.34, 0.85),
    "deconvnet": Faithfulness(0.53, 0.29, 0.83),
    "guided_grad_cam": Faithfulness(0.1, 0.2, 0.94),
    "grad_cam": Faithfulness(0.06, 0.15, 0.94),
    "grad_cam_plus_plus": Faithfulness(0.46, 0.44, 0.99),
    "hires_cam": Faithfulness(0.39, 0.39, 0.94),
    "layer_cam": Faithfulness(0.47, 0.53, 0.96),
    "xgrad_cam": Faithfulness(0.27, 0.48, 0.97),
    "legrad": Faithfulness(0.15, 0.03, 0.99),
    "gradient_x_attention": Faithfulness(0.2, 0.14, 0.95),
    "attention_rollout": Faithfulness(0.45, 0.51, 0.98),
}
"""Measured by ``benchmarks/sanity.py`` on the same networks, with 64 digits each; of two, the lower value. Another
network may give another result: see ``FaithfulnessTest``."""
