"""Pictures of a suspected shortcut, by which a person decides."""

from saliency_callbacks.rendering.gallery.blocks import GalleryPair
from saliency_callbacks.rendering.gallery.gallery import Gallery, draw_gallery
from saliency_callbacks.rendering.gallery.texts import GalleryText, TextGallery, draw_text_gallery

__all__ = ["Gallery", "GalleryPair", "GalleryText", "TextGallery", "draw_gallery", "draw_text_gallery"]
