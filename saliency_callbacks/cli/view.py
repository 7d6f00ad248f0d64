"""``saliency-callbacks view``: the page of the runs below a directory, live."""

from __future__ import annotations

import webbrowser
from importlib import import_module
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from saliency_callbacks.cli.parsing import PROGRAM, Command, make_parser
from saliency_callbacks.config.secrets import without_secrets
from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.sinks.addresses import is_remote

__all__ = ["VIEW"]


def _parser() -> ArgumentParser:
    parser = make_parser(
        f"""Show all runs below a directory in a browser, live while they train. Press Ctrl-C to stop.

examples:
  {PROGRAM} view lightning_logs
  {PROGRAM} view lightning_logs --port 8000 --open"""
    )
    parser.add_argument("directory", type=str, help="directory that contains runs, or the directory of one run")
    parser.add_argument(
        "--host", type=str, default="127.0.0.1", help="address to listen on; by default, only this machine can connect"
    )
    parser.add_argument("--port", type=int, default=0, help="port to listen on; a free port by default")
    parser.add_argument(
        "--host-name", type=str, help="additional host name that browsers may use, such as that of a proxy"
    )
    parser.add_argument("--open", action="store_true", help="open the page in the browser")
    return parser


def _run(given: Namespace) -> None:
    if is_remote(given.directory):
        raise ConfigurationError(
            f"directory={without_secrets(given.directory)!r} is an address; expected a directory on this machine. Name "
            "the run's own directory, where the same is kept, or copy the address to this machine"
        )
    directory = Path(given.directory).expanduser().absolute()
    if not directory.is_dir():
        raise ConfigurationError(
            f"directory={given.directory!r} does not exist; expected a directory that contains runs, such as "
            "lightning_logs"
        )
    make_server: Any = import_module("saliency_callbacks.dashboard.server").make_server
    with make_server(directory, given.host, given.port, given.host_name) as server:
        print(" or ".join(server.addresses(given.host_name)), "(Press Ctrl-C to stop)", flush=True)
        if given.open:
            webbrowser.open(server.address)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()


VIEW = Command("show the runs below a directory in a browser, live", _parser, _run)
