"""The tab "Saliency" in a real TensorBoard, in a real browser."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from tests.end_to_end.browsing import MAP, is_hot, painted
from tests.end_to_end.page_runs import write_epoch, write_image_run

PLUGIN = "saliency_callbacks.dashboard.plugin:SaliencyPlugin"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_image_run(tmp_path_factory.mktemp("logs") / "version_0")


@pytest.fixture(scope="module")
def tensorboard(run, tmp_path_factory):
    """Start TensorBoard below the run's parent, and return its address."""
    paths = [str(Path(__file__).parents[2])]
    if PLUGIN not in {one.value for one in entry_points(group="tensorboard_plugins")}:
        paths.append(str(installed_plugin(tmp_path_factory.mktemp("site"))))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    arguments = ["-m", "tensorboard.main", "--host", "127.0.0.1", "--port", "0", "--logdir"]
    command = [sys.executable, *arguments, str(run.parent)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        told = []
        for line in process.stderr:
            told.append(line)
            if found := re.search(r"at (http://\S+)", line):
                yield found[1]
                break
        else:
            pytest.fail("".join(told))
        process.terminate()


def installed_plugin(directory):
    """Declare the plugin as an installation does, where an environment is older than the declaration."""
    metadata = directory / "saliency_tab-0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: saliency-tab\nVersion: 0\n")
    (metadata / "entry_points.txt").write_text(f"[tensorboard_plugins]\nsaliency = {PLUGIN}\n")
    return directory


def test_the_tab_shows_maps_and_follows(browser, tensorboard, run):
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    page = context.new_page()
    page.set_default_timeout(60_000)
    asked, complaints = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append((message.text, message.location.get("url", ""))))
    page.on("pageerror", lambda error: complaints.append((str(error), "")))
    page.goto(tensorboard)
    page.get_by_role("tab", name="Saliency").click()
    frame = page.frame_locator("iframe")
    frame.locator("#viewer [data-painted]").first.wait_for()
    tab = next(one for one in page.frames if "plugin_entry.html" in one.url)
    assert is_hot(painted(tab, MAP, frame=2)[2])
    tab.locator("#viewer .card").first.focus()
    page.keyboard.press("Home")
    assert is_hot(painted(tab, MAP, frame=0)[0])
    write_epoch(run, 3)
    tab.evaluate("() => { window.dispatchEvent(new Event('focus')) }")
    tab.locator("#unseen", has_text="1 new observation").wait_for()
    page.keyboard.press("End")
    assert is_hot(painted(tab, MAP, frame=3)[0])
    page.reload()
    page.frame_locator("iframe").locator("#follow[aria-pressed='true']").wait_for()
    ours = [url for url in asked if "saliency" in url]
    assert all(url.startswith(tensorboard) for url in ours)
    assert [told for told, source in complaints if "saliency" in source or "plugin_entry" in source] == []
    context.close()
