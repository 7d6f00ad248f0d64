"""The page: its markup, style and script, and the file that contains all of them with the data."""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup

__all__ = ["markup", "render_page", "script", "style"]

_ASSETS = files("saliency_callbacks.report") / "assets"
_STYLES = ("frame", "contents")
_SCRIPTS = (
    "base/elements", "base/format", "base/data", "base/source", "base/state", "base/place",
    "maps/slices", "maps/sprites", "maps/paint", "maps/outlines", "maps/painting", "maps/tiles",
    "views/grid", "views/sample", "views/strip", "views/compare",
    "parts/charts", "parts/timeline", "parts/controls", "parts/summary", "parts/shortcuts", "parts/keyboard",
    "live/connection", "live/queue", "live/frame", "live/live", "live/chooser", "main",
)  # fmt: skip


def render_page(payload: dict[str, Any]) -> bytes:
    """Return the page for a payload, in one file."""
    page = _environment().get_template("report.html.j2")
    return page.render(
        title=payload["title"],
        # Ours, and allowed by their digests: no other script or style would run.
        style=Markup(style()),  # noqa: S704
        script=Markup(script()),  # noqa: S704
        style_digest=_digest(style()),
        script_digest=_digest(script()),
        payload=_embedded(payload),
    ).encode()


def markup(title: str = "") -> str:
    """Return what is within the body of the page, without data and script."""
    return _environment().get_template("body.html.j2").render(title=title)


def style() -> str:
    """Return the page's style sheet."""
    return "\n".join(_asset(f"{name}.css") for name in _STYLES)


def script() -> str:
    """Return the page's script: its parts in one function, so that none of their names is global."""
    parts = "\n".join(_asset(f"{name}.js") for name in _SCRIPTS)
    return f'(() => {{\n"use strict";\n{parts}\n}})();\n'


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        loader=jinja2.FunctionLoader(_asset),
    )


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text("utf-8")


def _embedded(payload: dict[str, Any]) -> Markup:
    """Return JSON that cannot close the element around it, whatever strings it contains."""
    text = json.dumps(payload, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 - escaped above


def _digest(content: str) -> str:
    return base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
