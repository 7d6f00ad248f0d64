"""What a request is answered with, and the headers that keep it harmless."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

__all__ = ["Answer", "RequestError", "respond", "wrap_json"]

# The page shows pictures out of the data; nothing is loaded from elsewhere.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
_LEAST_COMPRESSED = 1000
_COMPRESSED = ("application/json", "text/")

StartResponse = Callable[[str, list[tuple[str, str]]], Any]


@dataclass(frozen=True)
class Answer:
    """What a request is answered with.

    Args:
        body: The content, made where it is asked for.
        kind: Its media type.
        etag: What changes with the content; by default a digest of it.
        status: Whether it is what was asked for.
    """

    body: Callable[[], bytes]
    kind: str
    etag: str | None = None
    status: HTTPStatus = HTTPStatus.OK


class RequestError(Exception):
    """A request that cannot be answered.

    Args:
        status: Why, as HTTP has it.
        message: Why, in words.
    """

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status

    def answer(self) -> Answer:
        """Return what says so."""
        return wrap_json({"error": str(self)}, status=self.status)


def wrap_json(content: Any, status: HTTPStatus = HTTPStatus.OK) -> Answer:
    """Return plain data as an answer."""
    return Answer(lambda: dump(content), "application/json", status=status)


def dump(content: Any) -> bytes:
    """Return plain data as JSON."""
    return json.dumps(content, separators=(",", ":"), allow_nan=False).encode()


def respond(answer: Answer, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    """Send an answer; a part of it if the client has the rest, or wants the head only."""
    known = environ.get("HTTP_IF_NONE_MATCH")
    body = None if answer.etag else answer.body()
    etag = f'"{answer.etag or hashlib.sha256(body or b"").hexdigest()[:32]}"'
    headers = [
        ("Content-Security-Policy", _POLICY),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
        ("Cache-Control", "no-cache"),
        ("ETag", etag),
        ("Vary", "Accept-Encoding"),
    ]
    if answer.status is HTTPStatus.METHOD_NOT_ALLOWED:
        headers.append(("Allow", "GET, HEAD"))
    if answer.status is HTTPStatus.OK and known is not None and etag in known:
        start_response("304 Not Modified", headers)
        return []
    content = answer.body() if body is None else body
    if len(content) >= _LEAST_COMPRESSED and answer.kind.startswith(_COMPRESSED) and _takes_gzip(environ):
        content = gzip.compress(content, compresslevel=1, mtime=0)
        headers.append(("Content-Encoding", "gzip"))
    headers += [("Content-Type", answer.kind), ("Content-Length", str(len(content)))]
    start_response(f"{answer.status.value} {answer.status.phrase}", headers)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [content]


def _takes_gzip(environ: dict[str, Any]) -> bool:
    return "gzip" in environ.get("HTTP_ACCEPT_ENCODING", "")
