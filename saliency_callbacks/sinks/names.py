"""File names for tags and moments."""

from __future__ import annotations

import hashlib
import re
import unicodedata

from saliency_callbacks.types import Snapshot

__all__ = ["file_stem", "flat_name", "nested_name"]

_LONGEST = 100


def file_stem(snapshot: Snapshot) -> str:
    """Return the name of an observation's files, without a suffix: its step, and its stage unless that is ``"fit"``."""
    suffix = "" if snapshot.stage == "fit" else f"-{snapshot.stage}"
    return f"{snapshot.step:09d}{suffix}"


def flat_name(tag: str) -> str:
    """Return a directory name for a tag: ``a/b`` as ``a__b``; no name leads out of its directory, and none clashes."""
    name = re.sub(r"[^A-Za-z0-9._=+-]", "_", tag.replace("/", "__"))
    if name.replace("__", "/") == tag and 0 < len(name) <= _LONGEST and not name.startswith("."):
        return name
    return f"{name[:_LONGEST].strip('.')}-{_digest(tag)}"


def nested_name(tag: str) -> str:
    """Return a relative path of letters, digits, spaces, ``_``, ``-``, ``.`` and ``/`` for a tag: ``a/b c`` as it is.

    Letters lose their accents. No two tags share a name, and no name leads out of its directory.
    """
    # An accent is then a character of its own.
    name = "".join(one for one in unicodedata.normalize("NFD", tag) if not unicodedata.combining(one))
    name = re.sub(r"[^A-Za-z0-9._/ -]", "_", name)
    name = "/".join(part.strip(". ") or "_" for part in name.split("/"))
    return name if name == tag and len(name) <= _LONGEST else f"{name[:_LONGEST].rstrip('/. ')}-{_digest(tag)}"


def _digest(tag: str) -> str:
    # Tells tags apart that the replacement of characters makes equal.
    return hashlib.sha256(tag.encode()).hexdigest()[:8]
