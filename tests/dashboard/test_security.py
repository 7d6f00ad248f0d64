"""What another site, a strange name or a strange directory may not do."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from saliency_callbacks.dashboard.answers import RequestError
from saliency_callbacks.dashboard.logdirs import LogDirectory
from saliency_callbacks.dashboard.origins import check_host
from saliency_callbacks.sinks import DiskSink
from saliency_callbacks.types import ProbeView, Snapshot
from tests.dashboard.conftest import Client

EVIL = "<img src=x onerror=alert(1)></script><script>alert(1)</script>"
ROUTES = ["page.html", "body.html", "page.css", "page.js", "index.js", "runs.json", "run.json?run=run", "map.json", "x"]


@pytest.mark.parametrize("address", ROUTES)
def test_every_answer_is_inert(client, tmp_path, write_run, address):
    write_run(tmp_path / "run")
    headers = client.get(address).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("address", ["runs.json", "page.html", "picture", "x"])
def test_nothing_but_reading(client, method, address):
    reply = client.get(address, method=method)
    assert (reply.status, reply.headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"sec_fetch_site": "same-origin"}, 200),
        ({"sec_fetch_site": "none"}, 200),
        ({"sec_fetch_site": "cross-site", "sec_fetch_mode": "cors", "sec_fetch_dest": "empty"}, 403),
        ({"sec_fetch_site": "cross-site", "sec_fetch_mode": "no-cors", "sec_fetch_dest": "script"}, 403),
        ({"sec_fetch_site": "same-site", "sec_fetch_mode": "cors", "sec_fetch_dest": "empty"}, 403),
        ({"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate", "sec_fetch_dest": "iframe"}, 403),
        ({"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate", "sec_fetch_dest": "document"}, 200),
        ({"origin": "http://127.0.0.1"}, 200),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
    ],
)
def test_a_page_of_another_origin_reads_nothing(client, headers, status):
    assert client.get("runs.json", host="127.0.0.1", **headers).status == status


@pytest.mark.parametrize(
    ("host", "names", "is_served"),
    [
        ("127.0.0.1:8000", {"127.0.0.1"}, True),
        ("localhost:8000", {"127.0.0.1"}, True),
        ("LOCALHOST.", {"127.0.0.1"}, True),
        ("[::1]:8000", {"127.0.0.1"}, True),
        ("evil.example:8000", {"127.0.0.1"}, False),
        ("localhost.evil.example", {"127.0.0.1"}, False),
        ("192.168.0.7", {"127.0.0.1"}, False),
        ("192.168.0.7:80", {"192.168.0.7"}, True),
        ("192.168.0.7", {"0.0.0.0"}, True),
        ("machine:8000", {"0.0.0.0", "machine"}, True),
        ("evil.example", {"0.0.0.0", "machine"}, False),
        ("machine.lab.example:8000", {"0.0.0.0", "machine", "machine.*"}, True),
        ("MACHINE.lab.example.", {"0.0.0.0", "Machine.*"}, True),
        ("machine.lab.example", {"0.0.0.0", "machine"}, False),
        ("othermachine.lab.example", {"0.0.0.0", "machine", "machine.*"}, False),
        ("evil.example", {"0.0.0.0", "machine", "machine.*"}, False),
        ("[::1", {"127.0.0.1"}, False),
        ("", {"127.0.0.1"}, False),
    ],
)
def test_a_foreign_name_of_this_address_is_refused(host, names, is_served):
    if is_served:
        check_host({"HTTP_HOST": host}, names)
    else:
        with pytest.raises(RequestError, match="not an allowed host"):
            check_host({"HTTP_HOST": host}, names)


@pytest.mark.parametrize(
    "name", ["..", "../secret", "/", "%2e%2e/secret", "run/../../secret", "run/saliency", "\0", "."]
)
@pytest.mark.parametrize("is_encoded", [True, False])
def test_a_run_is_a_name_and_never_a_path(tmp_path, write_run, name, is_encoded):
    write_run(tmp_path / "secret")
    write_run(tmp_path / "logs" / "run")
    client = Client(LogDirectory(tmp_path / "logs"))
    assert client.get("run.json?run=run").status == 200
    given = quote(name, safe="") if is_encoded else name
    assert client.get(f"run.json?run={given}").status == 404


def test_links_that_leave_the_log_directory_are_not_followed(tmp_path, write_run):
    write_run(tmp_path / "secret")
    logs = tmp_path / "logs"
    write_run(logs / "run")
    (logs / "linked").symlink_to(tmp_path / "secret", target_is_directory=True)
    (logs / "files" / "saliency").mkdir(parents=True)
    for name in ("index.json", "observations.jsonl"):
        (logs / "files" / "saliency" / name).symlink_to(tmp_path / "secret" / "saliency" / name)
    maps = logs / "run" / "saliency" / "maps" / "000000009.safetensors"
    maps.unlink()
    maps.symlink_to(tmp_path / "secret" / "saliency" / "maps" / "000000009.safetensors")
    client = Client(LogDirectory(logs))
    assert [run["id"] for run in client.get("runs.json").json["runs"]] == ["run"]
    (run,) = client.get("run.json?run=run").json["runs"]
    assert [frame["step"] for frame in run["monitors"][0]["frames"]] == [19, 29, 39]
    assert "leads out of" in run["notes"][0]


def test_a_log_directory_may_itself_be_a_link(tmp_path, write_run):
    write_run(tmp_path / "real" / "run")
    (tmp_path / "link").symlink_to(tmp_path / "real", target_is_directory=True)
    client = Client(LogDirectory(tmp_path / "link"))
    assert [run["id"] for run in client.get("runs.json").json["runs"]] == ["run"]
    assert client.get("run.json?run=run").status == 200


def test_markup_in_names_stays_text(tmp_path, write_run, view):
    names = ProbeView("ab" * 32, (EVIL, "b", "c"), images=view.images, class_names=(EVIL, "dog"))
    write_run(tmp_path / EVIL.replace("/", "_"), view=names, scores={f"saliency/{EVIL}": 1.0})
    client = Client(LogDirectory(tmp_path))
    (run,) = client.get("runs.json").json["runs"]
    reply = client.get(f"run.json?run={quote(run['id'])}")
    assert reply.headers["Content-Type"] == "application/json"
    assert json.loads(reply.body)["runs"][0]["monitors"][0]["ids"][0] == EVIL
    assert EVIL.encode() not in client.get("page.html").body


def test_nothing_is_ever_written(client, tmp_path, write_run, write_alarm):
    write_run(tmp_path / "run")
    write_alarm(tmp_path / "run")
    DiskSink(tmp_path / "other").write(Snapshot(0, 1, "fit", {}, scores={"x": 1.0}), {})

    def state():
        return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in sorted(tmp_path.rglob("*"))}

    before = state()
    client.get("runs.json")
    client.get("run.json?run=run")
    client.get("run.json?run=other")
    client.get("map.json?run=run&monitor=saliency&step=9&stage=fit&method=gradient")
    assert state() == before
