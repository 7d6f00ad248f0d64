"""Runs below a log directory, and a client that checks that every answer is valid WSGI."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from functools import partial
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

from saliency_callbacks.dashboard.app import App
from saliency_callbacks.dashboard.library import Library
from saliency_callbacks.dashboard.logdirs import LogDirectory
from tests.report.conftest import view, write_alarm, write_run

__all__ = ["view", "write_alarm", "write_run"]


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        assert self.headers["Content-Type"] == "application/json"
        return json.loads(self.body)


class Client:
    """Asks an app; the listing of runs is made anew for every request."""

    def __init__(self, *directories):
        self.app = App(Library(directories))

    def get(self, address, method="GET", **headers):
        route, _, query = address.partition("?")
        environ = {"REQUEST_METHOD": method, "QUERY_STRING": query, "SCRIPT_NAME": "", "PATH_INFO": f"/{route}"}
        setup_testing_defaults(environ)
        environ |= {f"HTTP_{name.upper()}": value for name, value in headers.items()}
        self.app.library._listing.renew()
        told = {}

        def start_response(status, headers, exc_info=None):
            told.update(status=int(status.split()[0]), headers=dict(headers))
            return lambda _: None

        with warnings.catch_warnings():
            warnings.simplefilter("error")
            answer = validator(partial(self.app.serve, route))(environ, start_response)
            body = b"".join(answer)
            answer.close()
        return Reply(told["status"], told["headers"], body)


@pytest.fixture
def client(tmp_path):
    return Client(LogDirectory(tmp_path))
