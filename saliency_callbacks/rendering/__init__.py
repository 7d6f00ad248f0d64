"""Attribution → ``uint8`` RGB pictures: the same array for every logger."""

from saliency_callbacks.rendering.attribution import render, signed_scale
from saliency_callbacks.rendering.colormap import DEFAULT_ALPHA, DEFAULT_COLORMAP
from saliency_callbacks.rendering.filmstrip import filmstrip, thin
from saliency_callbacks.rendering.images import display_images, display_maps
from saliency_callbacks.rendering.legend import STYLES, Style
from saliency_callbacks.rendering.panel import Caption, panel
from saliency_callbacks.rendering.tokens import (
    token_bars,
    token_filmstrip,
    token_html,
    token_markdown,
    token_panel,
)

__all__ = [
    "DEFAULT_ALPHA",
    "DEFAULT_COLORMAP",
    "STYLES",
    "Caption",
    "Style",
    "display_images",
    "display_maps",
    "filmstrip",
    "panel",
    "render",
    "signed_scale",
    "thin",
    "token_bars",
    "token_filmstrip",
    "token_html",
    "token_markdown",
    "token_panel",
]
