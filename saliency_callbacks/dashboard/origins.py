"""Which requests are refused: those that another site makes in the name of a person who looks at it."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from fnmatch import fnmatchcase
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from saliency_callbacks.dashboard.answers import RequestError

__all__ = ["check_host", "check_method", "check_origin"]


def check_method(environ: dict[str, Any]) -> None:
    """Raise unless the request only reads.

    Raises:
        RequestError: If it does not.
    """
    if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
        raise RequestError(HTTPStatus.METHOD_NOT_ALLOWED, "this server is read-only. Use GET or HEAD")


def check_origin(environ: dict[str, Any]) -> None:
    """Raise if a page of another origin makes the request; a link to the page may be followed from anywhere.

    Raises:
        RequestError: If one does.
    """
    # Browsers set these themselves, no script can.
    site = environ.get("HTTP_SEC_FETCH_SITE")
    is_followed = environ.get("HTTP_SEC_FETCH_MODE") == "navigate" and environ.get("HTTP_SEC_FETCH_DEST") == "document"
    if site in ("cross-site", "same-site") and not is_followed:
        raise RequestError(HTTPStatus.FORBIDDEN, "pages of other origins may not read this")
    origin = environ.get("HTTP_ORIGIN")
    # A proxy may have changed the host.
    if origin is not None and site != "same-origin" and origin.partition("://")[2] != environ.get("HTTP_HOST"):
        raise RequestError(HTTPStatus.FORBIDDEN, f"pages of {origin} may not read this")


def check_host(environ: dict[str, Any], names: Collection[str]) -> None:
    """Raise if the request names a host that is not this one: a foreign name may have been bound to this address.

    Args:
        environ: The request.
        names: Under which names it may be asked, besides ``localhost`` and loopback addresses; ``machine.*`` is
            any name that begins so. With an address that stands for all of the machine's, any address may be named.

    Raises:
        RequestError: If the name is none of these.
    """
    given = environ.get("HTTP_HOST", "")
    name = _name(given)
    if name == "localhost" or (name and any(fnmatchcase(name, known.lower()) for known in names)):
        return
    address = _address(name)
    if address is not None:
        served = [known for known in map(_address, names) if known is not None]
        if address.is_loopback or address in served or any(known.is_unspecified for known in served):
            return
    raise RequestError(
        HTTPStatus.FORBIDDEN,
        f"{given!r} is not an allowed host. Open the address that was printed, or allow it with --host-name",
    )


def _name(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".").lower()
    except ValueError:
        return ""


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
