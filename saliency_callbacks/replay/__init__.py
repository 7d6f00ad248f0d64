"""Observe a training after the fact, from its checkpoints."""

from saliency_callbacks.replay.checkpoints import Checkpoint, find_checkpoints
from saliency_callbacks.replay.configuration import Run, load_run
from saliency_callbacks.replay.driver import Replayed, replay

__all__ = ["Checkpoint", "Replayed", "Run", "find_checkpoints", "load_run", "replay"]
