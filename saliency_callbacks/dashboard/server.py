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
        """Where the page is opened."""
        host, port = self.server_address[:2]
        name = "localhost" if host in _ANY else str(host)
        return f"http://[{name}]:{port}/" if ":" in name else f"http://{name}:{port}/"

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


def make_server(directory: Path, host: str = "127.0.0.1", port: int = 0) -> ViewServer:
    """Return a server of the runs below a directory, bound and not yet serving.

    Args:
        directory: Where runs are looked for.
        host: Address that it listens at; by default only this machine reaches it.
        port: Port; 0 for a free one.

    Raises:
        ConfigurationError: If it cannot listen there.
    """
    app = App(Library((LogDirectory(directory),)))
    names = {host, socket.gethostname()} if host in _ANY else {host}

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
            f"host={host!r} and port={port} cannot be listened at ({error}); name another port, or 0 for a free one"
        ) from error
    server.set_app(serve)
    return server
