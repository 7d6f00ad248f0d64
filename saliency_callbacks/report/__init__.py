"""One HTML file to scrub through the epochs of a run, without a network, a model or a Trainer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saliency_callbacks._lazy import attributes_of

if TYPE_CHECKING:
    from saliency_callbacks.report.document import write_report

__all__ = ["write_report"]

# What finds runs is used without what draws them.
__getattr__ = attributes_of(globals(), {"write_report": "saliency_callbacks.report.document"})
