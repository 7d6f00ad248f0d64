"""What a list of suspicions says, and what it does not."""

from __future__ import annotations

__all__ = ["HONEST_WORDS"]

HONEST_WORDS = (
    "The search finds pixels that many images of a class share almost exactly, words that many text inputs of a class "
    "share, and positions and properties that differ by class; it then tests which of these the model uses. It cannot "
    "tell a planted cue from the object itself, or from a word that is the topic. It misses cues that vary. It bounds "
    "chance findings, not natural differences. An empty list does not rule out a shortcut."
)
"""Said wherever the list is shown."""
