"""The charts of TensorBoard's custom scalars: lines that are read together are drawn together."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["LAYOUT"]

_OF_A_METHOD = r"[^/]+/[^/]+/"

# TensorBoard merges the layouts of all runs by these titles: with another title, there would be two charts of the same.
_CHARTS: Mapping[str, tuple[str, ...]] = {
    "Drift since the last observation": ("drift_previous",),
    "Drift since the first observation": ("drift_initial",),
    "Similarity with random networks, and its floor": ("similarity", "floor"),
    "Gain over the same map elsewhere: what the map shows is removed, or shown alone": (
        "deletion_gain",
        "insertion_gain",
    ),
    "Stability of the maps under a little noise": ("stability",),
    "What the cue does, the lower bound of what is watched, and the threshold": (
        "effect",
        "contrast",
        "lower_bound",
        "threshold",
    ),
    "Lift inside the masks": ("region_lift",),
}

LAYOUT = {
    "Saliency": {title: ["Multiline", [f"{_OF_A_METHOD}{name}$" for name in names]] for title, names in _CHARTS.items()}
}
"""For ``SummaryWriter.add_custom_scalars``: category → chart → tags as regular expressions.

The same for every run, whatever its methods and cues are called: of several layouts in one run, TensorBoard shows one.
"""
