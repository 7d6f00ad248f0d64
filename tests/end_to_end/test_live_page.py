"""The page of a server, as a person meets it while a training goes on."""

from __future__ import annotations

import re
import threading

import pytest

from saliency_callbacks.dashboard.server import make_server
from tests.end_to_end.browsing import MAP, expect, is_hot, look_for_a_method_of_one_run, painted
from tests.end_to_end.page_runs import EVIL, write_epoch, write_image_run

MOMENT = "wanted => document.querySelector('#moment b')?.textContent === wanted"
FRAME = 2  # of the newest observation that `write_image_run` leaves


@pytest.fixture
def serve():
    """Serve a directory as the command does; what is returned ends it."""
    stops = []

    def serve(directory, port=0):
        server = make_server(directory, port=port)
        # A short interval: ending it waits for the next.
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()

        def stop():
            server.shutdown()
            server.server_close()
            thread.join()

        stops.append(stop)
        return server.address, stop

    yield serve
    for stop in stops:
        stop()


@pytest.fixture
def show(browser):
    """Open a page; whatever it asks others for or complains of fails the test, except for failures that are meant."""
    pages = []

    def show(address, fragment="", *, fails=False, ready=True, **options):
        context = browser.new_context(**{"viewport": {"width": 1400, "height": 1000}, **options})
        page = context.new_page()
        page.set_default_timeout(20_000)
        asked, complaints = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.asked = asked
        page.goto(address + fragment)
        pages.append((context, page, address, complaints, fails))
        if ready:
            page.wait_for_selector("#viewer [data-painted]")
        return page

    yield show
    for context, page, address, complaints, fails in pages:
        # The browser itself tells of answers that are failures.
        assert [told for told in complaints if not (fails and "Failed to load resource" in told)] == []
        assert [url for url in page.asked if not url.startswith(("data:", address))] == []
        assert page.evaluate("window.hacked") is None
        context.close()


@pytest.fixture
def run(tmp_path):
    return write_image_run(tmp_path / "one")


@pytest.fixture
def address(serve, run):
    return serve(run.parent)[0]


def look_again(page):
    """Let the page ask what is new, as it does when a person comes back to it."""
    page.evaluate("() => { window.dispatchEvent(new Event('focus')) }")


def test_the_newest_run_opens_at_its_newest_observation(show, address):
    page = show(address)
    assert [is_hot(pixel) for pixel in painted(page, MAP, frame=FRAME)] == [False, False, True]
    expect(page.locator("h1")).to_have_text("one")
    expect(page.locator("#follow")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#viewer .card").first).to_contain_text(EVIL)
    expect(page.locator("#viewer img, #findings img, #documents img, #charts img, #facts img")).to_have_count(0)
    maps = {url for url in page.asked if "map.json" in url}
    assert len(maps) == 1, "only what is looked at is asked for"


def test_mouse_and_keyboard(show, address):
    page = show(address)
    page.locator("#epoch").fill("1")
    assert is_hot(painted(page, MAP, frame=1)[1])
    for key, moment in {"Home": "Epoch 0", "ArrowRight": "Epoch 1", "PageUp": "Epoch 2", "PageDown": "Epoch 0"}.items():
        page.keyboard.press(key)
        page.wait_for_function(MOMENT, arg=moment)
    page.locator("#choose-method button", has_text="other").click()
    painted(page, MAP, frame=0, method="other")
    page.keyboard.press("f")
    page.wait_for_function(MOMENT, arg="Epoch 2")
    expect(page.locator("#follow")).to_have_text("Following")
    page.locator("#viewer .card").nth(1).click()
    page.wait_for_selector(".sample-view")
    page.wait_for_function("() => document.querySelectorAll('.strip td.at [data-painted]').length === 6")
    page.locator(".strip .moment").first.click()
    page.wait_for_function(MOMENT, arg="Epoch 0")
    page.keyboard.press("c")
    page.wait_for_selector(".compare-head")
    page.locator("#against-frame").select_option("2")
    painted(page, "#viewer .card[data-sample='0'] .tile:nth-child(3) canvas", kind="difference", frame=0)


def test_it_follows_a_training(show, address, run):
    page = show(address)
    page.evaluate("() => { window.same = true }")
    more = page.locator("#charts details").first
    more.locator("summary").click()
    page.locator("#follow").focus()
    before = page.evaluate("() => { scrollTo(0, 120); return scrollY }")
    write_epoch(run, 3)
    look_again(page)
    page.wait_for_function(MOMENT, arg="Epoch 3")
    assert is_hot(painted(page, MAP, frame=3)[0])
    assert page.evaluate("() => [window.same, document.activeElement.id, scrollY]") == [True, "follow", before]
    expect(more).to_have_attribute("open", "")
    expect(page.locator("#subtitle")).to_contain_text("4 observations")
    expect(page.locator("#choose-method button[aria-pressed='true']")).to_have_text("gradient")


def test_elsewhere_one_keeps_ones_place(show, address, run):
    page = show(address, "#view=sample&sample=1&method=other")
    page.keyboard.press("Home")
    page.wait_for_function(MOMENT, arg="Epoch 0")
    page.locator("[data-method='gradient']").focus()
    page.evaluate("() => { window.tile = document.querySelector('.strip td.at') }")
    page.wait_for_function("() => document.querySelectorAll('.strip td.at [data-painted]').length === 6")
    write_epoch(run, 3)
    write_epoch(run, 4)
    look_again(page)
    page.locator("#unseen", has_text="2 new observations").wait_for()
    page.wait_for_function("() => document.querySelectorAll('.strip td.at [data-painted]').length === 10")
    expect(page.locator("#moment b")).to_have_text("Epoch 0")
    assert page.evaluate("() => window.tile.isConnected"), "what was there stays"
    assert page.evaluate("() => document.activeElement.dataset.method") == "gradient"
    expect(page.locator(".sample-head h2")).to_have_text(re.compile("^dog"))
    page.locator("#unseen").click()
    page.wait_for_function(MOMENT, arg="Epoch 4")
    expect(page.locator("#unseen")).to_be_hidden()
    expect(page.locator("#follow")).to_have_attribute("aria-pressed", "true")


def test_the_address_leads_back(show, address):
    page = show(address)
    page.keyboard.press("Home")
    page.locator("#choose-method button", has_text="other").click()
    page.locator("#viewer .card").nth(1).click()
    page.wait_for_function("() => location.hash.includes('view=sample') && location.hash.includes('step=9&stage=fit')")
    page.reload()
    page.wait_for_selector(".sample-head h2:has-text('dog')")
    expect(page.locator("#moment b")).to_have_text("Epoch 0")
    expect(page.locator("#choose-method button[aria-pressed='true']")).to_have_text("other")


def test_a_map_that_is_gone(show, serve, run):
    page = show(serve(run.parent)[0], fails=True)
    for kept in sorted((run / "saliency" / "maps").iterdir())[:2]:
        kept.unlink()
    page.keyboard.press("Home")
    note = page.locator("#viewer .tile.failed .tile-note").first
    note.wait_for()
    assert note.text_content() != ""
    assert note.text_content() in page.locator(MAP).get_attribute("aria-label")
    page.keyboard.press("End")
    assert is_hot(painted(page, MAP, frame=FRAME)[2])
    page.wait_for_function("() => !document.querySelector('.tile.failed')")


def test_a_server_that_goes_away_and_comes_back(show, serve, run):
    address, stop = serve(run.parent)
    page = show(address, fails=True)
    stop()
    look_again(page)
    page.locator("#connection:visible").wait_for()
    page.keyboard.press("Home")
    page.wait_for_selector("#viewer .tile.failed")
    serve(run.parent, int(address.rsplit(":", 1)[1].rstrip("/")))
    look_again(page)
    page.locator("#connection").wait_for(state="hidden")
    assert is_hot(painted(page, MAP, frame=0)[0]), "what failed is asked for again"
    write_epoch(run, 3)
    look_again(page)
    page.locator("#unseen", has_text="1 new observation").wait_for()


def test_what_a_server_says_is_shown(show, address):
    page = show(address, fails=True)
    failure = {"status": 500, "content_type": "application/json", "body": '{"error": "the disk is on fire"}'}
    page.route("**/runs.json", lambda route: route.fulfill(**failure))
    look_again(page)
    sign = page.locator("#connection:visible")
    sign.wait_for()
    expect(sign).to_have_text("The disk is on fire; retrying")
    page.keyboard.press("Home")
    assert is_hot(painted(page, MAP, frame=0)[0]), "what can be answered is asked for"
    page.unroute("**/runs.json")
    look_again(page)
    page.locator("#connection").wait_for(state="hidden")


def test_a_run_that_changes_while_it_is_opened_is_read_once(show, address, run):
    page = show(address)
    opened = []

    def write_meanwhile(route):
        opened.append(route)
        if len(opened) == 1:
            write_epoch(run, 4)
        route.continue_()

    page.route("**/run.json*", write_meanwhile)
    write_epoch(run, 3)
    look_again(page)
    page.wait_for_function(MOMENT, arg="Epoch 4")
    with page.expect_response("**/runs.json"):
        look_again(page)
    with page.expect_response("**/runs.json"):
        look_again(page)
    assert len(opened) == 1


@pytest.fixture(scope="module")
def long_run(tmp_path_factory):
    return write_image_run(tmp_path_factory.mktemp("runs") / "long", n_epochs=200, cue=False)


def test_scrubbing_leaves_no_queue(show, serve, long_run):
    page = show(serve(long_run.parent)[0])
    painted(page, MAP, frame=199)
    held, is_held = [], True
    page.route("**/map.json*", lambda route: held.append(route) if is_held else route.continue_())
    for frame in range(190, 100, -3):
        page.locator("#epoch").fill(str(frame))
        page.evaluate("() => new Promise(requestAnimationFrame)")
    page.wait_for_selector("#viewer .tile.waiting")
    painted(page, MAP, frame=199)  # The map before stays until the next is there.
    is_held = False
    for route in held:
        route.continue_()
    assert is_hot(painted(page, MAP, frame=103)[1])
    steps = [url.split("step=")[1].split("&")[0] for url in page.asked if "map.json" in url]
    assert len(steps) <= 6, "the first, four under way, and the last"
    assert steps[-1] == "1039"


def test_two_runs_side_by_side(show, serve, run):
    write_image_run(run.parent / "two", strength=0.1)
    write_image_run(run.parent / "foreign", fingerprint="cd" * 32)
    page = show(serve(run.parent)[0], "#run=one", fails=True)
    page.locator("#choose-second").click()
    page.locator("#run-dialog button", has_text="two").click()
    second = "#viewer .card[data-sample='0'] .tile:nth-child(3) canvas"
    assert is_hot(painted(page, MAP, run=0, frame=FRAME)[2])
    assert not is_hot(painted(page, second, run=1, frame=FRAME)[2]), "on the shared scale the weaker run is fainter"
    expect(page.locator("[data-chart='drift_previous'] .line.of-b")).to_have_count(2)
    write_epoch(run.parent / "two", 3, strength=0.1)
    write_epoch(run, 3)
    look_again(page)
    page.wait_for_function(MOMENT, arg="Epoch 3")
    painted(page, second, run=1, frame=3)
    page.locator("#choose-second").click()
    page.locator("#run-dialog button", has_text="foreign").click()
    page.locator("#problem", has_text="they explain different samples").wait_for()
    expect(page.locator("h1")).to_have_text("one and two")
    page.locator("#choose-second").click()
    page.locator("#run-dialog button", has_text="None (stop comparing)").click()
    page.wait_for_function("() => document.querySelector('h1').textContent === 'one'")
    expect(page.locator("#problem")).to_be_hidden()


def test_of_a_link_to_runs_that_cannot_be_compared_the_first_is_shown(show, serve, run):
    write_image_run(run.parent / "foreign", fingerprint="cd" * 32)
    page = show(serve(run.parent)[0], "#run=one&second=foreign", fails=True)
    expect(page.locator("h1")).to_have_text("one")
    expect(page.locator("#subtitle")).not_to_contain_text("Opening")
    told = page.locator("#problem").text_content()
    assert told.startswith("The run foreign cannot be compared with one: they explain different samples")


def test_a_method_that_only_one_run_has(show, serve, tmp_path):
    for name in "ab":
        write_image_run(tmp_path / name, other=f"only_{name}", n_epochs=2)
    page = show(serve(tmp_path)[0], "#run=a&second=b&method=only_a")
    look_for_a_method_of_one_run(page)


def test_runs_are_searched_and_chosen_by_keyboard(show, serve, tmp_path):
    for number in range(8):
        write_image_run(tmp_path / f"run-{number}", n_epochs=1)
    damaged = write_image_run(tmp_path / "damaged", n_epochs=1)
    for index in damaged.rglob("index.json"):
        index.write_text('{"format": 99}')
    page = show(serve(tmp_path)[0])
    page.keyboard.press("r")
    page.locator("#run-search").wait_for()
    expect(page.locator("#run-dialog .run-problem")).to_have_count(1)
    expect(page.locator("#run-dialog button", has_text="damaged")).to_have_count(0)
    page.keyboard.type("run-3")
    page.wait_for_function("() => document.querySelectorAll('#run-dialog button.run').length === 1")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelector('h1').textContent === 'run-3'")
    painted(page, MAP, frame=0)


def test_without_runs_it_says_what_to_do(show, serve, tmp_path):
    page = show(serve(tmp_path)[0], ready=False)
    page.locator("#welcome", has_text="SaliencyMonitor()").wait_for()
    write_image_run(tmp_path / "first")
    # The server looks for runs once a second.
    page.wait_for_function(
        """() => {
            window.dispatchEvent(new Event("focus"));
            return document.querySelector("#viewer [data-painted]");
        }""",
        polling=100,
    )
    expect(page.locator("#welcome")).to_be_hidden()


def test_two_hundred_observations(show, serve, long_run):
    page = show(serve(long_run.parent)[0], "#view=sample")
    expect(page.locator("#epoch")).to_have_attribute("max", "199")
    labels = [text for text in page.locator(".ticks span").all_text_contents() if text]
    assert (labels[0], labels[-1]) == ("0", "199")
    assert 10 <= len(labels) <= 30
    page.locator("#epoch").fill("137")
    page.wait_for_function(MOMENT, arg="Epoch 137")
    page.wait_for_selector(".strip td.now canvas[data-painted]")
    expect(page.locator(".strip td.at")).to_have_count(400)
    assert page.locator(".tile.waiting, .tile:has([data-painted])").count() < 200, "most of the strip is out of sight"


def test_it_fits_narrow_windows_in_light_and_dark(show, address):
    page = show(address, viewport={"width": 390, "height": 800}, color_scheme="dark")
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
    dark = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    page.locator("#theme").click()
    page.wait_for_function("dark => getComputedStyle(document.body).backgroundColor !== dark", arg=dark)
    page.locator("#choose-run").click()
    assert page.locator("#run-dialog").bounding_box()["width"] <= 390
