"""Pictures of a suspected shortcut, by which a person decides."""

from saliency_callbacks.rendering.gallery.blocks import GalleryPair
from saliency_callbacks.rendering.gallery.gallery import Gallery, draw_gallery

__all__ = ["Gallery", "GalleryPair", "draw_gallery"]
