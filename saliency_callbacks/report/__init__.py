"""One HTML file to scrub through the epochs of a run, without a network, a model or a Trainer."""

from saliency_callbacks.report.document import write_report

__all__ = ["write_report"]
