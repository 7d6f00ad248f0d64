"""Pure tensor mathematics of the saliency methods and scores; works without Lightning and without a model."""

from saliency_callbacks.functional.cam import fuse, grad_cam, grad_cam_plus_plus, hires_cam, layer_cam, xgrad_cam
from saliency_callbacks.functional.concentration import entropy, gini
from saliency_callbacks.functional.gradients import convergence_delta, noise_scale, quadrature, variance
from saliency_callbacks.functional.localization import region_lift, region_mass
from saliency_callbacks.functional.maps import (
    degenerate,
    distribution,
    normalize,
    percentile,
    reduce_channels,
    resize,
    signed_map,
)
from saliency_callbacks.functional.similarity import pearson, rank, spearman, spearman_from_ranks

__all__ = [
    "convergence_delta",
    "degenerate",
    "distribution",
    "entropy",
    "fuse",
    "gini",
    "grad_cam",
    "grad_cam_plus_plus",
    "hires_cam",
    "layer_cam",
    "noise_scale",
    "normalize",
    "pearson",
    "percentile",
    "quadrature",
    "rank",
    "reduce_channels",
    "region_lift",
    "region_mass",
    "resize",
    "signed_map",
    "spearman",
    "spearman_from_ranks",
    "variance",
    "xgrad_cam",
]
