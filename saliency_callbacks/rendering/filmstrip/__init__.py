"""One picture of how the maps of a few samples change over the epochs."""

from saliency_callbacks.rendering.filmstrip.drawing import MAX_ROWS, filmstrip, thin

__all__ = ["MAX_ROWS", "filmstrip", "thin"]
