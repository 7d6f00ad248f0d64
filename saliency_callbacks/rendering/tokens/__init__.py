"""Text inputs as pictures, HTML and Markdown: every word on the color of its score."""

from saliency_callbacks.rendering.tokens.bars import token_bars
from saliency_callbacks.rendering.tokens.filmstrip import token_filmstrip
from saliency_callbacks.rendering.tokens.markup import token_html, token_markdown
from saliency_callbacks.rendering.tokens.panel import token_panel

__all__ = ["token_bars", "token_filmstrip", "token_html", "token_markdown", "token_panel"]
