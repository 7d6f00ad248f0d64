"""Attribution → ``uint8`` RGB pictures: the same array for every logger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saliency_callbacks._lazy import attributes_of
from saliency_callbacks.rendering.colormap import DEFAULT_ALPHA, DEFAULT_COLORMAP
from saliency_callbacks.rendering.filmstrip import filmstrip, thin
from saliency_callbacks.rendering.legend import STYLES, Style
from saliency_callbacks.rendering.panel import Caption, panel

if TYPE_CHECKING:
    from saliency_callbacks.rendering.attribution import render, signed_scale
    from saliency_callbacks.rendering.images import display_images, display_maps
    from saliency_callbacks.rendering.tokens import token_bars, token_filmstrip, token_html, token_markdown, token_panel

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

# What draws tensors; the rest is used without torch.
_HOMES = {
    "display_images": "saliency_callbacks.rendering.images",
    "display_maps": "saliency_callbacks.rendering.images",
    "render": "saliency_callbacks.rendering.attribution",
    "signed_scale": "saliency_callbacks.rendering.attribution",
    "token_bars": "saliency_callbacks.rendering.tokens",
    "token_filmstrip": "saliency_callbacks.rendering.tokens",
    "token_html": "saliency_callbacks.rendering.tokens",
    "token_markdown": "saliency_callbacks.rendering.tokens",
    "token_panel": "saliency_callbacks.rendering.tokens",
}

__getattr__ = attributes_of(globals(), _HOMES)
