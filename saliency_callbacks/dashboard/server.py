"""The page without TensorBoard, on the standard library's server."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from saliency_callbacks.dashboard.answers import RequestError, StartResponse, respond
from saliency_callbacks.dashboard.app import App
from saliency_callbacks.dashboard.library import Library
from saliency_callbacks.dashboard.logdirs import LogDirectory
from saliency_callbacks.dashboard.origins import check_host
from saliency_callbacks.errors import ConfigurationError

__all__ = ["ViewServer", "make_server"]

_PAGE = "page.html"
# These stand for all addresses of the machine; the page is opened at one of them.
_ANY = ("", "0.0.0.0", "::")  # noqa: S104


class _Quiet(WSGIRequestHandler):
    """Logs nothing: the page asks every few seconds."""

    protocol_version = "HTTP/1.0"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the parent's name
        """Do nothing."""

    def address_string(self) -> str:
        """Return the client's address; asking for its name may take seconds."""
        return str(self.client_address[0])


class ViewServer(ThreadingMixIn, WSGIServer):
    """Answers each request on a thread of its own."""

    daemon_threads = True

    @property
    def address(self) -> str:
        """Where the page is opened on this machine."""
        return self.addresses()[0]

    def addresses(self, host_name: str | None = None) -> list[str]:
        """Return where the page is opened, on this machine and on others, which may know it by ``host_name``."""
        host, port = str(self.server_address[0]), self.server_address[1]
        names = ["localhost", host_name or socket.gethostname()] if host in _ANY else [host_name or host]
        bracketed = [f"[{name}]" if ":" in name else name for name in dict.fromkeys(names)]
        return [f"http://{name}:{port}/" for name in bracketed]

    def server_bind(self) -> None:
        """Bind without asking for the machine's full name, which may take seconds."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Do nothing: a client that has gone is no failure, and all others are answers."""


class _SixServer(ViewServer):
    address_family = socket.AF_INET6


def make_server(directory: Path, host: str = "127.0.0.1", port: int = 0, host_name: str | None = None) -> ViewServer:
    """Return a server of the runs below a directory, bound and not yet serving.

    Args:
        directory: Where runs are looked for.
        host: Address to listen on; by default only this machine reaches it.
        port: Port; 0 for a free one.
        host_name: A further name under which it may be asked, such as that of a proxy.

    Raises:
        ConfigurationError: If it cannot listen there.
    """
    app = App(Library((LogDirectory(directory),)))
    names = {name for name in (host, host_name) if name}

    def serve(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        try:
            check_host(environ, names)
        except RequestError as failure:
            return respond(failure.answer(), environ, start_response)
        route = environ.get("PATH_INFO", "/").removeprefix("/")
        return app.serve(route or _PAGE, environ, start_response)

    try:
        server = (_SixServer if ":" in host else ViewServer)((host, port), _Quiet)
    except (OSError, OverflowError) as error:
        raise ConfigurationError(
            f"cannot listen on {host}:{port} ({error}). Give another port, or 0 for a free one"
        ) from error
    names.add(str(server.server_address[0]))
    if server.server_address[0] in _ANY:
        names |= _own_names()
    server.set_app(serve)
    return server


def _own_names() -> set[str]:
    """Return this machine's name, alone and with any domain: asking for its full name may take seconds."""
    first = socket.gethostname().partition(".")[0]
    return set() if first in ("", "localhost") else {first, f"{first}.*"}
