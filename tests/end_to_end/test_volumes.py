"""Volumes in the page: every slice is reached, by mouse and keyboard, in the file and live."""

from __future__ import annotations

import threading

import pytest

from saliency_callbacks.dashboard.server import make_server
from saliency_callbacks.report import write_report
from tests.end_to_end.browsing import MAP, expect, is_hot, painted
from tests.report.volumes import write_volumes

INPUT = "#viewer .card[data-sample='0'] .tile:nth-child(1) canvas"
NAMED = "wanted => document.getElementById('slice-name')?.textContent === wanted"


@pytest.fixture
def show(browser):
    """Open a page; whatever it complains of fails the test."""
    pages = []

    def show(address):
        context = browser.new_context(viewport={"width": 1200, "height": 900})
        page = context.new_page()
        page.set_default_timeout(20_000)
        complaints = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.asked = []
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(address)
        page.wait_for_selector("#viewer [data-painted]")
        pages.append((context, complaints))
        return page

    yield show
    for context, complaints in pages:
        assert complaints == []
        context.close()


@pytest.fixture
def served():
    """Serve a directory; return the address of its page."""
    servers = []

    def served(directory):
        server = make_server(directory, port=0)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        servers.append((server, thread))
        return server.address

    yield served
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def address(request, tmp_path, served):
    """The page of volumes: a file, or a server's."""
    run = write_volumes(tmp_path / "run")
    return write_report([run]).as_uri() if request.param == "file" else served(tmp_path)


both = pytest.mark.parametrize("address", ["file", "live"], indirect=True)


def hot_places(page, name):
    """Wait for a slice, and return where the map of the first sample is hot."""
    page.wait_for_function(NAMED, arg=name)
    number = int(name.split()[1]) - 1
    page.wait_for_function(
        "([selector, key]) => JSON.parse(document.querySelector(selector)?.dataset.painted ?? '[]').at(-1) === key",
        arg=[MAP, f"0/{number}"],
    )
    return [is_hot(pixel) for pixel in painted(page, MAP)]


@both
def test_the_slice_is_chosen_by_mouse_and_keyboard(show, address):
    page = show(address)
    assert hot_places(page, "Slice 3 of 5") == [False, True, False], "the middle one, by default"
    page.locator("#slice").fill("0")
    assert hot_places(page, "Slice 1 of 5") == [True, False, False]
    expect(page.locator("#slice")).to_have_attribute("aria-valuetext", "slice 1 of 5")
    page.locator("#slice").press("End")
    assert hot_places(page, "Slice 5 of 5") == [False, False, True]
    page.locator("h1").click()
    page.keyboard.press(",")
    assert hot_places(page, "Slice 4 of 5") == [False, False, True]
    # The pictures of slices differ, too, and a click on the slider moves it.
    assert painted(page, INPUT)[0][:3] == [60, 60, 60]
    box = page.locator("#slice").bounding_box()
    page.mouse.click(box["x"] + 3, box["y"] + box["height"] / 2)
    assert hot_places(page, "Slice 1 of 5") == [True, False, False]
    assert painted(page, INPUT)[0][:3] == [0, 0, 0]


@both
def test_the_slice_stays_when_something_else_is_chosen_and_is_in_the_address(show, address):
    page = show(address)
    page.locator("#slice").fill("4")
    page.locator("h1").click()
    for key in ("Home", "m", "j"):
        page.keyboard.press(key)
    page.wait_for_function("() => location.hash.includes('slice=4') && location.hash.includes('method=other')")
    assert hot_places(page, "Slice 5 of 5") == [False, False, True]
    page.reload()
    page.wait_for_selector("#viewer [data-painted]")
    assert hot_places(page, "Slice 5 of 5") == [False, False, True]
    page.keyboard.press("x")
    painted(page, MAP)
    page.keyboard.press("s")
    page.wait_for_function("() => document.querySelectorAll('.strip td.at [data-painted]').length === 4")
    page.keyboard.press("c")
    painted(page, MAP, kind="map")
    expect(page.locator("#slice-name")).to_have_text("Slice 5 of 5")


@pytest.mark.parametrize("address", ["live"], indirect=True)
def test_live_volumes_are_cut_across_every_axis_and_only_what_is_looked_at_is_asked_for(show, address):
    page = show(address)
    hot_places(page, "Slice 3 of 5")
    assert len({url for url in page.asked if "map.json" in url or "slice.json" in url}) == 2
    page.keyboard.press("a")
    page.wait_for_function(NAMED, arg="Slice 9 of 16")
    expect(page.locator("#slice-axis option:checked")).to_have_text("Axis 1 (height)")
    expect(page.locator("#slice-plane")).to_have_text("plane: depth × width")
    shape = "selector => { const { width, height } = document.querySelector(selector); return width > 3 * height }"
    page.wait_for_function(shape, arg=MAP)
    assert is_hot(painted(page, MAP)[1]), "the slice in the middle is hot in the middle"
    page.locator("#slice-axis").select_option("2")
    page.wait_for_function("() => document.getElementById('slice-plane').textContent === 'plane: depth × height'")


def test_slices_of_a_deep_volume_are_no_taller_than_the_window(show, served, tmp_path):
    write_volumes(tmp_path / "run", depth=240)
    page = show(f"{served(tmp_path)}#axis=2&slice=8")
    page.wait_for_function(NAMED, arg="Slice 9 of 16")
    painted(page, MAP)
    assert 200 < page.locator(MAP).bounding_box()["height"] <= 0.6 * 900
    page.keyboard.press("s")
    small = page.locator(".strip .tile canvas").first
    small.wait_for()
    assert 100 < small.bounding_box()["height"] <= 160


def test_slices_across_time_are_frames(tmp_path, show):
    page = show(write_report([write_volumes(tmp_path, axis_names=("time", "height", "width"))]).as_uri())
    page.wait_for_function(NAMED, arg="Frame 3 of 5")
    expect(page.locator("#slice-plane")).to_have_text("axis 0 (time); plane: height × width")
    page.locator("#slice-name").click()
    page.keyboard.press(".")
    page.wait_for_function(NAMED, arg="Frame 4 of 5")


def test_a_run_of_an_earlier_version_shows_the_middle_slice_and_says_so(tmp_path, show):
    page = show(write_report([write_volumes(tmp_path, is_old=True)]).as_uri())
    assert hot_places(page, "Slice 3 of 5") == [False, True, False]
    expect(page.locator("#slice")).to_be_disabled()
    expect(page.locator("#mask")).to_have_count(1)
    expect(page.locator("#notes")).to_contain_text("the middle slice alone")


@pytest.fixture(params=["file", "live"])
def address_of_new_and_old(request, tmp_path, served):
    """The page of a run beside one of an earlier version, which kept its middle slice."""
    new, old = write_volumes(tmp_path / "new"), write_volumes(tmp_path / "old", is_old=True)
    if request.param == "file":
        return write_report([new, old], tmp_path / "both.html").as_uri()
    return f"{served(tmp_path)}#run=new&second=old"


@pytest.mark.parametrize("wanted", ["", "&axis=1&slice=0"])
def test_beside_a_run_of_an_earlier_version_both_show_the_middle_slice(show, address_of_new_and_old, wanted):
    address = address_of_new_and_old
    page = show(address + (wanted if "#" in address else wanted.replace("&", "#", 1)))
    assert hot_places(page, "Slice 3 of 5") == [False, True, False]
    expect(page.locator("#slice")).to_be_disabled()
    expect(page.locator("#slice-axis")).to_have_count(0)
    page.keyboard.press("c")
    page.locator("#against-run").select_option("1")
    difference = "#viewer .card[data-sample='0'] .tile:nth-child(3) canvas"
    pixels = painted(page, difference, kind="difference")
    assert {tuple(pixel) for pixel in pixels} == {(255, 255, 255, 255)}, "equal maps of the same slice"
