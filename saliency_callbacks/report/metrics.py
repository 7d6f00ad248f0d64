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
        "Drift since the last observation", "0 the map stayed the same, 1 unrelated, 2 reversed", 0, None, True
    ),
    "drift_initial": Metric("Drift since the start", "0 as in the untrained network, 1 unrelated to it", 0, None, True),
    "entropy": Metric("Entropy", "0 a single position, 1 spread evenly", None, 1, True),
    "gini": Metric("Gini", "0 spread evenly, towards 1 concentrated", 0, 1),
    "region_mass": Metric("Mass inside the mask", "share of the map that lies inside the mask", 0, None, True),
    "region_lift": Metric("Lift inside the mask", "mass over the mask's share of the area; 1 is chance", 0),
    "region_rank_accuracy": Metric("Rank accuracy", "share of the mask filled by the map's largest values", 0, 1),
    "region_pointing_game": Metric("Pointing game", "share of samples whose map maximum is inside the mask", 0, 1),
    "region_auc": Metric(
        "AUC of the mask", "probability that a value inside is larger than one outside; 0.5 is chance", 0, 1
    ),
    "probe": Metric("Accuracy and confidence", "on the probe", 0, 1, True),
    "similarity": Metric(
        "Similarity with random copies", "signed Spearman; near 0 is good, compared with the floor", None, None, True
    ),
    "floor": Metric("Floor", "similarity of two random copies; above 0.3 the maps show the input", None, None, True),
    "calibrated": Metric("Calibrated similarity", "(s − floor) / (1 − floor); never read without the floor"),
    "random_logit": Metric("Random logit", "similarity of the maps of two classes; near 1 is bad", None, 1, True),
    "drift": Metric("Randomization drift", "1 − similarity with random copies"),
    "effect": Metric(
        "Effect of the cue", "what the cue adds to the suspect class, in sd of the logits; 0 is none", None, None, True
    ),
    "flip_rate": Metric("Flips", "share of predictions that the cue changes to the suspect class", 0, 1, True),
    "mass": Metric("Mass on the cue", "share of the map in the cue's region", 0, None, True),
    "lift": Metric("Lift on the cue", "mass over the region's share of the area; 1 is chance", 0),
    "removal_effect": Metric("Effect of removing the cue", "what the suspect class loses when the cue is inpainted"),
    "worst_group_accuracy": Metric(
        "Accuracy without and with the cue", "worst class and average, on the validation set", 0, 1
    ),
}
