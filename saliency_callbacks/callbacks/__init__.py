"""Lightning callbacks."""

from saliency_callbacks.callbacks.saliency_monitor import SaliencyMonitor

__all__ = ["SaliencyMonitor"]
