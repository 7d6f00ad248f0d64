"""Pure tensor mathematics of the saliency methods and scores; works without Lightning and without a model."""

from saliency_callbacks.functional.attention.relevance import (
    attention_relevance,
    attention_rollout,
    attention_sensitivity,
)
from saliency_callbacks.functional.cam import fuse, grad_cam, grad_cam_plus_plus, hires_cam, layer_cam, xgrad_cam
from saliency_callbacks.functional.concentration import entropy, gini
from saliency_callbacks.functional.effects import (
    bootstrap_lower_bound,
    class_contrast,
    flip_rate,
    flips,
    margin,
    margin_effects,
    margins,
    rule_of_three,
)
from saliency_callbacks.functional.gradients import convergence_delta, noise_scale, quadrature, variance
from saliency_callbacks.functional.label_effects import label_effects, label_flips
from saliency_callbacks.functional.localization import (
    box_iou,
    mask_boxes,
    mask_iou,
    pointing_game,
    rank_accuracy,
    region_auc,
    region_lift,
    region_mass,
)
from saliency_callbacks.functional.maps import (
    degenerate,
    distribution,
    normalize,
    percentile,
    reduce_channels,
    resize,
    signed_map,
)
from saliency_callbacks.functional.ranks import rank, unit_ranks
from saliency_callbacks.functional.similarity import (
    cosine,
    pearson,
    spearman,
    spearman_from_ranks,
    top_k_overlap,
)
from saliency_callbacks.functional.structure import clip_and_scale, hog, hog_similarity, ssim
from saliency_callbacks.functional.word_merging import merge_words, word_units

__all__ = [
    "attention_relevance",
    "attention_rollout",
    "attention_sensitivity",
    "bootstrap_lower_bound",
    "box_iou",
    "class_contrast",
    "clip_and_scale",
    "convergence_delta",
    "cosine",
    "degenerate",
    "distribution",
    "entropy",
    "flip_rate",
    "flips",
    "fuse",
    "gini",
    "grad_cam",
    "grad_cam_plus_plus",
    "hires_cam",
    "hog",
    "hog_similarity",
    "label_effects",
    "label_flips",
    "layer_cam",
    "margin",
    "margin_effects",
    "margins",
    "mask_boxes",
    "mask_iou",
    "merge_words",
    "noise_scale",
    "normalize",
    "pearson",
    "percentile",
    "pointing_game",
    "quadrature",
    "rank",
    "rank_accuracy",
    "reduce_channels",
    "region_auc",
    "region_lift",
    "region_mass",
    "resize",
    "rule_of_three",
    "signed_map",
    "spearman",
    "spearman_from_ranks",
    "ssim",
    "top_k_overlap",
    "unit_ranks",
    "variance",
    "word_units",
    "xgrad_cam",
]
