"""What a list of suspicions says, and what it does not."""

from __future__ import annotations

__all__ = ["HONEST_WORDS"]

HONEST_WORDS = (
    "Finds pixels that many images of a class share almost exactly, or words that many of its texts have, places and "
    "properties that differ by class, and which of these the network uses. Cannot tell a planted cue from a template "
    "that is the object, or from a word that is the topic. Misses what varies. Bounds chance findings, not natural "
    "ones. An empty list proves nothing."
)
"""Said wherever the list is shown."""
