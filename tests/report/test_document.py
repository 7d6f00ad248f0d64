import base64
import hashlib
import io
import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.report import write_report
from saliency_callbacks.sinks import DiskSink
from saliency_callbacks.types import Snapshot
from tests.report.maps import attribution

EVIL = "</script><script>alert(1)</script><!-- & \u2028 😀"


def payload_of(path):
    text = path.read_text("utf-8")
    (found,) = re.findall(r'<script type="application/json" id="payload">(.*?)</script>', text, flags=re.DOTALL)
    return json.loads(found)


def test_the_report_lies_in_the_run_and_asks_for_nothing_else(tmp_path, write_run, write_alarm):
    path = write_report([write_alarm(write_run(tmp_path))])
    assert path == tmp_path / "report.html"
    page = path.read_text("utf-8")
    addresses = set(re.findall(r"(?:https?:)?//[a-z][\w.-]+\.[a-z]{2,}[^\s\"'`]*", page))
    assert addresses == {"http://www.w3.org/2000/svg"}, "the name of a namespace, never fetched"
    assert not re.search(r"<(link|img|script)[^>]+(href|src)=\"(?!data:)", page)
    assert "default-src 'none'" in page


def test_the_policy_lets_in_what_the_page_holds(tmp_path, write_run):
    page = write_report([write_run(tmp_path)]).read_text("utf-8")
    for tag in ("style", "script"):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, flags=re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in page


def test_whatever_a_name_holds_stays_inside_the_data(tmp_path, view, write_run):
    evil = replace(view, ids=(EVIL, "b", "c"), class_names=(EVIL, EVIL))
    path = write_report([write_run(tmp_path, view=evil, texts={EVIL: EVIL})])
    assert "alert(1)</script>" not in path.read_text("utf-8")
    (monitor,) = payload_of(path)["runs"][0]["monitors"]
    assert (monitor["ids"][0], monitor["classNames"]) == (EVIL, [EVIL, EVIL])


def test_notes_reach_the_page(tmp_path, write_run):
    path = write_run(tmp_path) / "saliency/maps/000000019.safetensors"
    path.write_bytes(b"torn")
    (run,) = payload_of(write_report([tmp_path]))["runs"]
    assert "epoch 1 has no images" in run["notes"][0]
    assert len(run["monitors"][0]["frames"]) == 3
    assert len(run["sections"][0]["charts"][0]["series"][0]["points"]) == 4


def test_pictures_of_callbacks_are_shown_and_torn_ones_are_not(tmp_path, write_run):
    snapshot = Snapshot(1, 9, "fit", {}, scores={"cue/patch/effect": 1.0})
    picture = np.full((20, 30, 3), 200, dtype=np.uint8)
    DiskSink(tmp_path / "cue" / "patch", pictures=True).write(snapshot, {"cue/patch/panel": picture, "torn": picture})
    (tmp_path / "cue/patch/pictures/torn/000000009.png").write_bytes(b"torn")
    (run,) = payload_of(write_report([write_run(tmp_path)]))["runs"]
    (shown,) = run["pictures"]
    assert run["notes"] == ["The image torn of epoch 1 cannot be read."]
    assert (shown["tag"], shown["moment"]) == ("cue/patch/panel", "epoch 1")
    assert Image.open(io.BytesIO(base64.b64decode(shown["data"]))).size == (30, 20)


def test_scores_alone_make_a_report(tmp_path, write_alarm):
    (run,) = payload_of(write_report([write_alarm(tmp_path)]))["runs"]
    assert run["monitors"] == []
    assert run["sections"][0]["charts"]


def test_two_runs_share_their_scale(tmp_path, write_run):
    one, two = write_run(tmp_path / "one"), write_run(tmp_path / "two", strength=10.0)
    path = write_report([one, two], tmp_path / "both.html")
    first, second = payload_of(path)["runs"]
    assert first["monitors"][0]["shared"] == second["monitors"][0]["shared"]
    assert first["monitors"][0]["shared"]["gradient"][0] == pytest.approx(40, rel=0.01)


def test_runs_of_different_probes_are_refused_by_name(tmp_path, view, write_run):
    one = write_run(tmp_path / "one")
    two = write_run(tmp_path / "two", view=replace(view, fingerprint="cd" * 32))
    with pytest.raises(
        ConfigurationError,
        match=r"two cannot be compared with .*one: they explain different samples.*, or write a report of each run",
    ) as raised:
        write_report([one, two], tmp_path / "both.html")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "both.html").exists()


def test_runs_without_a_common_monitor_are_refused(tmp_path, write_run):
    one = write_run(write_run(tmp_path / "one", namespace="a"), namespace="b")
    two = write_run(tmp_path / "two", namespace="c")
    with pytest.raises(
        ConfigurationError, match=r"two cannot be compared .*: they have no monitor in common \(a, b and c\)"
    ):
        write_report([one, two])


@pytest.mark.parametrize("runs", ["one", [], ["a", "b", "c"]])
def test_one_or_two_runs(runs):
    with pytest.raises(ConfigurationError, match="one or two run directories"):
        write_report(runs)


def test_an_output_that_cannot_be_written(tmp_path, write_run):
    run = write_run(tmp_path / "run")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="is a directory; expected a file"):
        write_report([run], tmp_path)
    with pytest.raises(ConfigurationError, match="cannot be written"):
        write_report([run], tmp_path / "file" / "report.html")


@pytest.fixture
def large_run(tmp_path, view):
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 255, (3, 96, 96, 3), generator=generator, dtype=torch.uint8)
    sink = DiskSink(tmp_path / "large")
    for epoch in range(6):
        values = torch.randn(3, 3, 96, 96, generator=generator)
        maps = {"gradient": attribution("gradient", values), "other": attribution("other", values.flip(0))}
        sink.write(Snapshot(epoch, epoch, "fit", maps, ids=view.ids, probe=replace(view, images=pixels)), {})
    return tmp_path / "large"


@pytest.mark.parametrize(("megabytes", "sides"), [(15, {96}), (0.35, {80, 96}), (0.23, {32, 48, 64})])
def test_the_file_is_no_larger_than_asked_for(large_run, megabytes, sides):
    path = write_report([large_run], max_megabytes=megabytes)
    assert path.stat().st_size <= megabytes * 1e6
    frames = payload_of(path)["runs"][0]["monitors"][0]["frames"]
    assert len(frames) == 6
    assert frames[0]["maps"]["gradient"]["width"] in sides


def test_a_size_that_no_report_has(large_run):
    with pytest.raises(ConfigurationError, match=r"max_megabytes=0\.05 is too small"):
        write_report([large_run], max_megabytes=0.05)
