"""What each route answers, and that it is what the report shows."""

from __future__ import annotations

import json
from urllib.parse import urlencode

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from saliency_callbacks.dashboard.logdirs import LogDirectory
from saliency_callbacks.report import write_report
from saliency_callbacks.report.media import Embedded
from saliency_callbacks.report.payload import payload_of
from saliency_callbacks.report.pictures.sprites import Quality
from saliency_callbacks.report.run_contents import read_contents
from saliency_callbacks.report.runs import read_run
from saliency_callbacks.sinks import DiskSink
from saliency_callbacks.sinks.disk.array_file import ArrayFile
from saliency_callbacks.types import ProbeView, Snapshot
from tests.dashboard.conftest import Client
from tests.report.maps import attribution
from tests.report.shortcuts import write_discovery


def map_address(run, step, method, **more):
    query = {"run": run, "monitor": "saliency", "step": step, "stage": "fit", "method": method, **more}
    return f"map.json?{urlencode(query)}"


def test_the_page_and_its_files(client):
    page = client.get("page.html")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert b'data-source="live"' in page.body
    assert client.get("body.html").body in page.body
    assert "text/javascript" in client.get("page.js").headers["Content-Type"]
    assert "text/css" in client.get("page.css").headers["Content-Type"]
    assert b"export async function render()" in client.get("index.js").body


def test_the_script_and_the_style_are_those_of_the_report(client, tmp_path, write_run):
    report = write_report([write_run(tmp_path / "run")]).read_bytes()
    for name in ("page.js", "page.css"):
        assert client.get(name).body in report
    head, rest = client.get("body.html").body.split(b"<h1></h1>")
    assert head in report
    assert rest in report


def test_runs_are_listed_with_the_newest_first(client, tmp_path, write_run, write_alarm):
    write_run(tmp_path / "logs" / "version_0")
    write_alarm(tmp_path / "logs" / "version_0")
    write_alarm(tmp_path / "logs" / "version_1")
    listing = client.get("runs.json").json
    assert listing["title"] == tmp_path.name
    assert [run["id"] for run in listing["runs"]] == ["logs/version_1", "logs/version_0"]
    assert [run["problem"] for run in listing["runs"]] == [None, None]
    assert listing["runs"][0]["updated"] > listing["runs"][1]["updated"] > 1.6e9
    again = client.get("runs.json").json
    assert again == listing
    write_alarm(tmp_path / "logs" / "version_0", epochs=1)
    changed = {run["id"]: run["version"] for run in client.get("runs.json").json["runs"]}
    before = {run["id"]: run["version"] for run in listing["runs"]}
    assert changed["logs/version_1"] == before["logs/version_1"]
    assert changed["logs/version_0"] != before["logs/version_0"]


def test_a_run_is_what_the_report_shows_without_its_maps(client, tmp_path, write_run, write_alarm):
    write_run(tmp_path / "run")
    write_alarm(tmp_path / "run")
    found = client.get("run.json?run=run").json
    contents = read_contents(read_run(tmp_path / "run"), 1e9)
    expected = json.loads(json.dumps(payload_of([contents], Embedded(Quality(256, lossless=False)))))
    (version,) = found.pop("versions")
    assert version == client.get("runs.json").json["runs"][0]["version"]
    found["title"] = expected["title"]
    found["runs"][0]["name"] = expected["runs"][0]["name"]
    for frame, shown in zip(
        found["runs"][0]["monitors"][0]["frames"], expected["runs"][0]["monitors"][0]["frames"], strict=True
    ):
        assert frame["maps"] == {method: {"lazy": True} for method in shown["maps"]}
        for method, sprite in shown["maps"].items():
            assert client.get(map_address("run", frame["step"], method)).json == sprite
        frame["maps"] = shown["maps"]
    assert found == expected


def test_opening_a_run_reads_no_map(client, tmp_path, write_run, monkeypatch):
    write_run(tmp_path / "run")
    read = []
    original = ArrayFile.read
    monkeypatch.setattr(ArrayFile, "read", lambda file, name: read.append(name) or original(file, name))
    assert client.get("run.json?run=run").status == 200
    assert any(name.endswith("/shown/peak") for name in read)
    assert not [name for name in read if name.endswith(("/values", "/magnitude"))]
    read.clear()
    DiskSink(tmp_path / "run" / "saliency").write(Snapshot(9, 99, "final", {}, scores={"saliency/a": 1.0}), {})
    assert len(client.get("run.json?run=run").json["runs"][0]["sections"][0]["moments"]) == 5
    assert read == [], "what was read before is not read again"


def test_what_is_replaced_is_read_again(client, tmp_path, write_run):
    write_run(tmp_path / "run")
    before = client.get("run.json?run=run").json["runs"][0]["monitors"][0]
    first = client.get(map_address("run", 9, "gradient"))
    write_run(tmp_path / "run", strength=7.0)
    after = client.get("run.json?run=run").json["runs"][0]["monitors"][0]
    assert after["shared"]["gradient"] == pytest.approx([7 * value for value in before["shared"]["gradient"]], rel=1e-3)
    again = client.get(map_address("run", 9, "gradient"), if_none_match=first.headers["ETag"])
    assert (again.status, again.json["full"]) == (200, pytest.approx([7 * one for one in first.json["full"]], rel=1e-3))


def test_a_run_of_an_earlier_version_gets_its_scale_from_a_few_observations(client, tmp_path, write_run):
    write_run(tmp_path / "run", epochs=8)
    expected = client.get("run.json?run=run").json["runs"][0]["monitors"][0]
    for path in (tmp_path / "run" / "saliency" / "maps").iterdir():
        save_file({name: one for name, one in load_file(path).items() if "/shown/" not in name}, path)
    (run,) = Client(LogDirectory(tmp_path)).get("run.json?run=run").json["runs"]
    assert run["monitors"][0]["shared"] == expected["shared"], "the last and the first are looked at"
    assert len(run["monitors"][0]["frames"]) == 8
    (note,) = run["notes"]
    assert (
        "8 of 8 observations were written by an earlier version, without the scales of their maps; the shared scale "
        "is estimated from 3 of them"
    ) in note


def test_texts(client, tmp_path):
    view = ProbeView("cd" * 32, ("a", "b"), tokens=(("not", "bad"), ("bad",)), special=((False, False), (False,)))
    maps = {"gradient": attribution("gradient", torch.tensor([[[-2.0, 1.0]], [[0.5, 0.0]]]))}
    DiskSink(tmp_path / "run" / "saliency").write(
        Snapshot(0, 9, "fit", maps, scores={"saliency/x": 1.0}, ids=view.ids, probe=view), {}
    )
    (monitor,) = client.get("run.json?run=run").json["runs"][0]["monitors"]
    assert monitor["methods"][0]["signed"]
    words = client.get(map_address("run", 9, "gradient")).json
    assert (words["width"], words["clip"]) == (2, [2.0, 0.5])


def test_two_runs_share_one_scale(client, tmp_path, write_run):
    for name, strength in (("weak", 1.0), ("strong", 10.0)):
        write_run(tmp_path / name, strength=strength)
    found = client.get("run.json?run=weak&run=strong").json
    assert len(found["versions"]) == 2
    first, second = (run["monitors"][0]["shared"]["gradient"] for run in found["runs"])
    assert first == second
    alone = client.get(map_address("weak", 39, "gradient"))
    beside = client.get(map_address("weak", 39, "gradient", beside="strong"))
    assert max(alone.json["clip"]) <= max(beside.json["clip"])
    assert alone.headers["ETag"] != beside.headers["ETag"]


def test_runs_of_different_probes_are_not_compared(client, tmp_path, write_run, view):
    write_run(tmp_path / "a")
    write_run(tmp_path / "b", view=ProbeView("ef" * 32, view.ids, images=view.images))
    refused = client.get("run.json?run=a&run=b")
    assert refused.status == 422
    assert refused.json["error"].endswith("Observe both with the same probe")


def test_pictures_are_files_that_the_index_lists(client, tmp_path):
    sink = DiskSink(tmp_path / "run" / "cue", pictures=True)
    picture = np.full((6, 5, 3), 90, np.uint8)
    sink.write(Snapshot(0, 9, "fit", {}, scores={"cue/effect": 1.0}), {"cue/panel": picture})
    (shown,) = client.get("run.json?run=run").json["runs"][0]["pictures"]
    reply = client.get(shown["url"])
    assert (reply.status, reply.headers["Content-Type"]) == (200, "image/png")
    (tmp_path / "copy.png").write_bytes(reply.body)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "copy.png")), picture)
    assert client.get(shown["url"], if_none_match=reply.headers["ETag"]).status == 304
    for file in ("index.json", "../../secret.png", "/etc/passwd", ""):
        assert client.get(f"picture?{urlencode({'run': 'run', 'archive': 'cue', 'file': file})}").status == 404


def test_a_file_that_only_has_the_name_of_a_picture_is_not_sent(client, tmp_path):
    sink = DiskSink(tmp_path / "run" / "cue", pictures=True)
    sink.write(Snapshot(0, 9, "fit", {}, scores={"cue/effect": 1.0}), {"cue/panel": np.zeros((6, 5, 3), np.uint8)})
    (shown,) = client.get("run.json?run=run").json["runs"][0]["pictures"]
    next((tmp_path / "run").rglob("*.png")).write_text("<script>alert(1)</script>")
    assert client.get(shown["url"]).status == 404


def test_shortcuts_have_addresses(client, tmp_path):
    write_discovery(tmp_path / "run")
    (section,) = client.get("run.json?run=run").json["runs"][0]["shortcuts"]
    addresses = [item["url"] for item in section["items"] if "url" in item]
    assert addresses
    assert all(item["picture"] is None for item in section["items"])
    assert {client.get(address).status for address in addresses} == {200}


def test_not_modified_and_head(client, tmp_path, write_run):
    write_run(tmp_path / "run")
    for address in ("runs.json", "run.json?run=run", map_address("run", 9, "grad_cam"), "page.js"):
        reply = client.get(address)
        again = client.get(address, if_none_match=reply.headers["ETag"])
        assert (again.status, again.body) == (304, b"")
        head = client.get(address, method="HEAD")
        assert (head.status, head.body, head.headers) == (200, b"", reply.headers)


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("run.json", 400),
        ("run.json?run=run&run=run&run=run", 400),
        ("run.json?run=other", 404),
        ("map.json?run=run", 400),
        (map_address("run", "x", "gradient"), 400),
        (map_address("run", "9" * 5000, "gradient"), 400),
        (map_address("run", 7, "gradient"), 404),
        (map_address("run", 9, "other"), 404),
        ("picture?run=run&archive=saliency&drawing=x", 404),
        ("absent.json", 404),
    ],
)
def test_what_is_not_there_is_said_in_words(client, tmp_path, write_run, address, status):
    write_run(tmp_path / "run")
    reply = client.get(address)
    assert reply.status == status
    assert reply.json["error"]


def test_a_map_that_retention_removed(client, tmp_path, write_run):
    write_run(tmp_path / "run")
    client.get("run.json?run=run")
    (tmp_path / "run" / "saliency" / "maps" / "000000009.safetensors").unlink()
    assert client.get(map_address("run", 9, "gradient")).status == 404
    assert client.get(map_address("run", 19, "gradient")).status == 200
