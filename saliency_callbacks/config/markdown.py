"""Names out of the data, written so that a dashboard does not read them as Markdown."""

from __future__ import annotations

from saliency_callbacks.types.tables import as_cell

__all__ = ["as_cell"]
