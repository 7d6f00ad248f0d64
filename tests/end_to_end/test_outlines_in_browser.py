"""Boxes and masks in the page: where they belong, switched by mouse and keyboard, in the file and live."""

from __future__ import annotations

import re
import threading

import pytest
import torch

from saliency_callbacks.dashboard.server import make_server
from saliency_callbacks.report import write_report
from saliency_callbacks.sinks import DiskSink
from saliency_callbacks.types import Outlines, ProbeView, Snapshot
from tests.report.maps import attribution, hot_maps

INPUT, MAP = (f"#viewer .card[data-sample='0'] .tile:nth-child({place}) canvas" for place in (1, 2))
BLUE = """([selector, isWanted]) => {
    const canvas = document.querySelector(selector);
    if (!canvas?.dataset.painted) return null;
    const copy = document.createElement("canvas");
    [copy.width, copy.height] = [canvas.width, canvas.height];
    const context = copy.getContext("2d", { willReadFrequently: true });
    context.drawImage(canvas, 0, 0);
    const { data } = context.getImageData(0, 0, copy.width, copy.height);
    const places = [];
    for (let at = 0; at < data.length / 4; at++) {
        if (data[4 * at] === 64 && data[4 * at + 1] === 196 && data[4 * at + 2] === 255) places.push(at);
    }
    if (places.length > 0 !== isWanted) return null;
    const [columns, rows] = [places.map((at) => at % copy.width), places.map((at) => Math.floor(at / copy.width))];
    return [Math.min(...columns) / copy.width, Math.min(...rows) / copy.height,
        (Math.max(...columns) + 1) / copy.width, (Math.max(...rows) + 1) / copy.height];
}"""
NAMES = ("a <b>person</b>", "")


def write_run(directory, *, depth=None):
    """Write pictures with a box around the right half of the first, or volumes with a mask in one slice."""
    nowhere = [float("nan")] * 4
    values = hot_maps(2, (2, 5))
    outlines = Outlines(boxes=torch.tensor([[8.0, 4.0, 16.0, 12.0], nowhere]), names=NAMES)
    found = torch.zeros(2, 16, 16, dtype=torch.bool)
    found[0, 2:6, 5:9] = True
    view = ProbeView("ab" * 32, ("val/0", "val/1"), images=torch.full((2, 16, 16, 3), 60, dtype=torch.uint8))
    if depth:
        values = torch.full((2, 1, depth, 16, 16), 0.1)
        masks = torch.zeros(2, depth, 16, 16, dtype=torch.bool)
        masks[0, 3, 4:12, 8:12] = True
        outlines, found = Outlines(masks=masks), torch.zeros_like(masks)
        volumes = torch.full((2, depth, 16, 16, 1), 60, dtype=torch.uint8)
        view = ProbeView("ab" * 32, view.ids, images=view.images, volumes=volumes)
    maps = {"gradient": attribution("gradient", values)}
    localized = {"gradient": Outlines(masks=found)}
    snapshot = Snapshot(0, 3, "fit", maps, ids=view.ids, probe=view, explained=outlines, localized=localized)
    DiskSink(directory / "saliency").write(snapshot, {})
    return directory


@pytest.fixture(scope="module", params=["file", "live"])
def address(request, tmp_path_factory):
    """Return what gives the address of the page of a run."""
    servers = []

    def address(**how):
        directory = write_run(tmp_path_factory.mktemp("run"), **how)
        if request.param == "file":
            return write_report([directory]).as_uri()
        server = make_server(directory, port=0)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        servers.append((server, thread))
        return server.address

    yield address
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def show(browser):
    """Open a page; whatever it complains of fails the test."""
    contexts, complaints = [], []

    def show(address):
        context = browser.new_context(viewport={"width": 1200, "height": 900})
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(address)
        page.wait_for_selector("#viewer [data-painted]")
        contexts.append(context)
        return page

    yield show
    for context in contexts:
        context.close()
    assert complaints == []


def blue(page, selector, *, is_wanted=True):
    """Wait until there is blue in a canvas, or none any more; return the box that it fills as shares."""
    return page.wait_for_function(BLUE, arg=[selector, is_wanted]).json_value()


def test_boxes_are_where_they_belong_and_can_be_switched_off(show, address):
    from playwright.sync_api import expect

    page = show(address())
    for selector in (INPUT, MAP):
        assert blue(page, selector) == [0.5, 0.25, 1.0, 0.75]
    expect(page.locator(MAP)).to_have_attribute("aria-label", re.compile(r"target a <b>person</b>$"))
    card = page.locator("#viewer .card[data-sample='0']")
    expect(card.locator(".tile").nth(1)).to_have_attribute("title", "Target: a <b>person</b>")
    expect(card.locator(".verdict")).to_contain_text("a <b>person</b>")
    expect(page.locator(".outline-key")).to_have_text(["target", "found in the map"])
    page.keyboard.press("b")
    expect(page.locator("#outlines")).not_to_be_checked()
    for selector in (INPUT, MAP):
        blue(page, selector, is_wanted=False)
    page.locator("#outlines").check()
    blue(page, MAP)
    page.keyboard.press("s")
    blue(page, ".method-tile[data-method='gradient'] canvas")


def test_a_volume_has_the_slice_of_its_mask(show, address):
    page = show(address(depth=5))
    blue(page, MAP, is_wanted=False)
    page.keyboard.press(".")
    assert blue(page, MAP) == [0.5, 0.25, 0.75, 0.75]
    assert blue(page, INPUT) == [0.5, 0.25, 0.75, 0.75]
    page.keyboard.press(".")
    blue(page, MAP, is_wanted=False)
