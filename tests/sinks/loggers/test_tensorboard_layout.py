from saliency_callbacks.sinks.loggers.tensorboard_layout import LAYOUT


def test_titles_are_a_format():
    """TensorBoard shows the charts of old and new runs as one only where their titles are the same."""
    assert {category: list(charts) for category, charts in LAYOUT.items()} == {
        "Saliency": [
            "Drift since the last observation",
            "Drift since the first observation",
            "Similarity with random networks, and its floor",
            "Gain over the same map elsewhere: what the map shows is removed, or shown alone",
            "Stability of the maps under a little noise",
            "What the cue does, the lower bound of what is watched, and the threshold",
            "Lift inside the masks",
        ]
    }
