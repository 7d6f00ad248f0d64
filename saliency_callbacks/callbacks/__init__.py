"""Lightning callbacks."""

from saliency_callbacks.callbacks.saliency.monitor import SaliencyMonitor

__all__ = ["SaliencyMonitor"]
