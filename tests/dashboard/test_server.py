"""The page without TensorBoard, asked over the network's loopback."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from threading import Thread
from urllib.parse import urlsplit

import pytest

from saliency_callbacks.cli import main
from saliency_callbacks.dashboard.server import make_server
from saliency_callbacks.errors import ConfigurationError


@contextmanager
def asking(server):
    """Serve; what is returned asks the server, and the host is what the client calls it."""
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()

    def request(path, method="GET", **headers):
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
        connection.request(method, path, headers=headers)
        reply = connection.getresponse()
        body = reply.read()
        connection.close()
        return reply.status, body

    try:
        yield request
    finally:
        server.shutdown()
        thread.join()


@pytest.fixture
def ask(tmp_path, write_run):
    write_run(tmp_path / "run")
    with make_server(tmp_path) as server, asking(server) as request:
        yield request


def test_the_page_is_at_the_root(ask):
    assert ask("/") == ask("/page.html")
    assert ask("/")[0] == 200


def test_runs(ask):
    assert [run["id"] for run in json.loads(ask("/runs.json")[1])["runs"]] == ["run"]
    assert ask("/run.json?run=run")[0] == 200


@pytest.mark.parametrize(
    "path", ["/../run/saliency/index.json", "/run/saliency/index.json", "//etc/passwd", "/%2e%2e/page.js", "/a/page.js"]
)
def test_no_path_is_a_file(ask, path):
    assert ask(path)[0] == 404


def test_a_foreign_name_is_refused(ask):
    status, body = ask("/runs.json", Host="evil.example")
    assert status == 403
    assert "not an allowed host" in json.loads(body)["error"]
    assert ask("/runs.json", Host="localhost:1")[0] == 200


def test_only_reading(ask):
    assert ask("/runs.json", method="POST")[0] == 405
    assert ask("/page.js", method="HEAD") == (200, b"")


def test_a_port_that_is_taken(tmp_path):
    with make_server(tmp_path) as server, pytest.raises(ConfigurationError, match="Give another port, or 0 for a free"):
        make_server(tmp_path, port=server.server_port)


@pytest.mark.parametrize("port", [-1, 70000])
def test_a_port_that_does_not_exist(tmp_path, port):
    with pytest.raises(ConfigurationError, match=f"cannot listen on 127.0.0.1:{port} "):
        make_server(tmp_path, port=port)


def test_it_listens_to_this_machine_only(tmp_path):
    with make_server(tmp_path) as server:
        assert server.address == f"http://127.0.0.1:{server.server_port}/"
    with make_server(tmp_path, host="0.0.0.0") as server:
        assert server.address == f"http://localhost:{server.server_port}/"


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({"host": "localhost"}, []),
        ({"host": "0"}, ["0", "localhost", "machine", "192.168.0.7"]),
        ({"host": "0.0.0.0"}, ["localhost", "machine", "machine.lab.example", "192.168.0.7"]),
        ({"host": ""}, ["localhost", "machine", "machine.lab.example", "192.168.0.7"]),
        ({"host": "0.0.0.0", "host_name": "runs.example"}, ["runs.example"]),
        ({"host_name": "runs.example"}, ["127.0.0.1", "runs.example"]),
    ],
)
def test_it_answers_under_the_names_that_it_prints(tmp_path, monkeypatch, given, names):
    monkeypatch.setattr(socket, "gethostname", lambda: "machine.example.org")
    with make_server(tmp_path, **given) as server, asking(server) as request:
        printed = server.addresses(given.get("host_name"))
        for name in [*names, *(urlsplit(address).netloc for address in printed)]:
            assert request("/page.js", Host=name)[0] == 200, name
        assert request("/page.js", Host="evil.example")[0] == 403


def test_a_directory_that_does_not_exist(tmp_path, capsys):
    assert main(["view", str(tmp_path / "absent")]) == 2
    assert "does not exist; expected a directory that contains runs" in capsys.readouterr().err


def test_the_command_ends_quietly(tmp_path, write_run):
    write_run(tmp_path / "run")
    command = [sys.executable, "-m", "saliency_callbacks", "view", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline()
        address, port = re.fullmatch(r"http://([\d.]+):(\d+)/ \(Press Ctrl-C to stop\)\n", line).groups()
        connection = http.client.HTTPConnection(address, int(port), timeout=60)
        connection.request("GET", "/runs.json")
        assert json.loads(connection.getresponse().read())["runs"][0]["id"] == "run"
        connection.close()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
