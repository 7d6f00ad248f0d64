"""Pictures that callbacks drew and a DiskSink kept, such as the panel of an alarm."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.report.monitors import moment_of
from saliency_callbacks.report.pictures.sprites import encode_picture
from saliency_callbacks.report.run_contents import Contents
from saliency_callbacks.sinks.disk.archive import inside

__all__ = ["MOST_BYTES", "ReadPicture", "embedded_picture", "stored_pictures"]

ReadPicture = Callable[[Path, str], dict[str, str] | None]
"""Directory of an archive and a path in there → what stands for the picture; ``None`` where it cannot be read."""

MOST_BYTES = 2_500_000
"""As text, of all pictures together."""
_WIDEST = 1600


def stored_pictures(
    content: Contents, picture: ReadPicture, shown_elsewhere: Collection[str] = ()
) -> tuple[list[dict[str, str]], list[str]]:
    """Return the newest picture of every tag as ``{"tag", "moment", "data"}``, and notes on those left out.

    Panels and filmstrips of a monitor are left out: the page shows the maps themselves.

    Args:
        content: What the run left.
        picture: Returns what stands for a picture, such as its ``data``.
        shown_elsewhere: Tags of pictures that are left out, too.
    """
    shown = {monitor.archive.name for monitor in content.monitors}
    newest: dict[str, Any] = {}
    for archive in content.run.archives:
        if archive.name not in shown:
            for entry in archive.observations:
                newest |= {
                    tag: (archive.directory, file, entry)
                    for tag, file in entry["pictures"].items()
                    if tag not in shown_elsewhere
                }
    pictures: list[dict[str, str]] = []
    notes, spent = [], 0
    for tag, (directory, file, entry) in newest.items():
        found = picture(directory, file)
        if found is None:
            notes.append(f"The image {tag} of {moment_of(entry)} cannot be read.")
            continue
        size = len(found.get("data", ""))
        if spent + size <= MOST_BYTES:
            pictures.append({"tag": tag, "moment": moment_of(entry), **found})
            spent += size
        else:
            notes.append(f"The image {tag} was left out to keep the file small.")
    return pictures, notes


def embedded_picture(directory: Path, file: str) -> dict[str, str] | None:
    """Return a picture of an archive as ``{"data"}``, base64 of a WebP; ``None`` where it cannot be read.

    Args:
        directory: The archive's directory.
        file: Its path in there.
    """
    try:
        with Image.open(inside(directory, file)) as opened:
            opened.thumbnail((_WIDEST, 10 * _WIDEST))
            pixels = np.asarray(opened.convert("RGB"))
    except (OSError, ConfigurationError, Image.DecompressionBombError):
        return None
    return {"data": encode_picture(pixels, lossless=False, quality=88)}
