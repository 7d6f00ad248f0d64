"""One HTML file to scrub through the epochs of a run: it needs no network, no model and no Trainer."""

from saliency_callbacks.report.document import write_report

__all__ = ["write_report"]
