"""The scores of the package in words: the title of each chart, and how to read it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["METRICS", "Metric"]


@dataclass(frozen=True)
class Metric:
    """How a score is shown.

    Args:
        title: Its name in words.
        hint: How to read it.
        low, high: Range of the axis, if it is fixed.
        first: Whether it is among the charts that are shown at first.
    """

    title: str
    hint: str
    low: float | None = None
    high: float | None = None
    first: bool = False


METRICS = {
    "drift_previous": Metric(
        "Drift since the last observation", "0: unchanged, 1: unrelated, 2: reversed", 0, None, True
    ),
    "drift_initial": Metric(
        "Drift since the first observation", "0: unchanged, 1: unrelated to the first maps", 0, None, True
    ),
    "entropy": Metric("Entropy", "0: concentrated in one position, 1: spread evenly", None, 1, True),
    "gini": Metric("Gini", "0: spread evenly, towards 1: concentrated", 0, 1),
    "region_mass": Metric("Mass inside the mask", "share of the map that lies inside the mask", 0, None, True),
    "region_lift": Metric("Lift inside the mask", "mass divided by the mask's share of the area; 1 is chance", 0),
    "region_rank_accuracy": Metric("Rank accuracy", "share of the map's largest values that lie inside the mask", 0, 1),
    "region_pointing_game": Metric("Pointing game", "share of samples whose map peaks inside the mask", 0, 1),
    "region_auc": Metric("AUC of the mask", "probability that a value inside exceeds one outside; 0.5 is chance", 0, 1),
    "region_iou": Metric("IoU with the mask", "of the mask found in the map; 1: the same, 0: apart", 0, 1),
    "region_box_iou": Metric("IoU of boxes", "of the boxes around the mask found in the map and the given one", 0, 1),
    "probe": Metric("Accuracy and confidence", "on the probe", 0, 1, True),
    "similarity": Metric(
        "Similarity with random copies",
        "signed Spearman correlation; good if near 0, given a low floor",
        None,
        None,
        True,
    ),
    "floor": Metric(
        "Floor", "similarity between two random copies; above 0.3, the maps show the input", None, None, True
    ),
    "calibrated": Metric(
        "Calibrated similarity", "(similarity − floor) / (ceiling − floor); read it together with the floor"
    ),
    "random_logit": Metric("Random logit", "similarity between the maps of two classes; near 1 is bad", None, 1, True),
    "drift": Metric("Randomization drift", "1 − similarity with random copies"),
    "deletion_gain": Metric(
        "Deletion: gain over the same map elsewhere",
        "0: removing what the map shows is no better than elsewhere, 1: after the first share, no evidence is left",
        None,
        1,
        True,
    ),
    "insertion_gain": Metric(
        "Insertion: gain over the same map elsewhere",
        "0: showing what the map shows is no better than elsewhere, 1: the first share is as good as the whole",
        None,
        1,
        True,
    ),
    "stability": Metric("Stability", "rank correlation with the maps of noisy samples; 1: unchanged", None, 1, True),
    "undefined": Metric("Samples without a gain", "their score hardly changes, or their map has no order", 0, 1),
    "effect": Metric(
        "Effect of the cue", "rise in the suspect class's margin, in sd of the logits; 0: no effect", None, None, True
    ),
    "flip_rate": Metric("Flips", "share of predictions that the cue flips to the suspect class", 0, 1, True),
    "mass": Metric("Mass on the cue", "share of the map that lies in the cue's region", 0, None, True),
    "lift": Metric("Lift on the cue", "mass divided by the region's share of the area; 1 is chance", 0),
    "removal_effect": Metric(
        "Effect of removing the cue",
        "drop in the suspect class's margin when the cue is inpainted, in sd of the logits",
    ),
    "worst_group_accuracy": Metric(
        "Accuracy without and with the cue", "worst group and average, on the validation set", 0, 1
    ),
}
