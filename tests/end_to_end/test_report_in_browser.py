"""The report as a person meets it: opened from a file in a browser that has no network."""

from __future__ import annotations

import re
import shutil
from html import escape

import pytest
import torch

from saliency_callbacks import AlarmRule, CueAlarm, TokenSaliencyMonitor
from saliency_callbacks.errors import SaliencyWarning
from saliency_callbacks.probe import TokenCue
from saliency_callbacks.report import write_report
from saliency_callbacks.sinks import DiskSink
from saliency_callbacks.types import Cell, ProbeView, Snapshot, Table
from tests.end_to_end.browsing import MAP, expect, is_hot, look_for_a_method_of_one_run, painted
from tests.end_to_end.page_runs import EVIL, write_image_run
from tests.report.maps import attribution
from tests.report.shortcuts import write_discovery
from tests.trainer import text_runs
from tests.trainer.runs import trainer


def write_text_run(directory):
    view = ProbeView("cd" * 32, ("a",), tokens=(("[CLS]", "<b>not</b>", "bad"),), special=((True, False, False),))
    for epoch in range(2):
        values = torch.tensor([[[0.0, 1.0, -1.0]]]) * (1 if epoch else -1)
        maps = {"gradient": attribution("gradient", values)}
        DiskSink(directory).write(Snapshot(epoch, epoch, "fit", maps, ids=view.ids, probe=view), {})
    return directory


@pytest.fixture
def show(browser):
    """Open a report without a network; whatever it asks for or complains of fails the test."""
    pages = []

    def show(path, fragment="", **options):
        context = browser.new_context(**{"viewport": {"width": 1400, "height": 1000}, **options}, offline=True)
        page = context.new_page()
        page.set_default_timeout(20_000)
        asked, complaints = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(path.as_uri() + fragment)
        pages.append((context, page, path, asked, complaints))
        page.wait_for_selector("#viewer [data-painted], #viewer .word")
        return page

    yield show
    for context, page, path, asked, complaints in pages:
        assert complaints == []
        outside = [url for url in asked if not url.startswith(("data:", path.as_uri()))]
        assert outside == []
        assert page.evaluate("window.hacked") is None
        context.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return write_report([write_image_run(tmp_path_factory.mktemp("run"))])


def test_the_overlay_is_hot_where_the_map_is(show, report):
    page = show(report)
    for frame in (2, 1, 0):
        assert [is_hot(pixel) for pixel in painted(page, MAP, frame=frame)] == [frame == 0, frame == 1, frame == 2]
        page.keyboard.press("ArrowLeft")
    page.locator("#choose-method button", has_text="other").click()
    assert not any(map(is_hot, painted(page, MAP, frame=0, method="other")))


def test_opacity_style_and_scale(show, report):
    page = show(report)
    painted(page, MAP, frame=2)
    page.locator("#opacity").fill("0")
    page.wait_for_function(
        '() => JSON.parse(document.querySelector("#viewer .tile:nth-child(2) canvas").dataset.painted)[1][1] === 0'
    )
    assert painted(page, MAP, frame=2)[2] == [16, 16, 16, 255], "the dimmed picture"
    page.keyboard.press("o")
    page.wait_for_function(
        '() => JSON.parse(document.querySelector("#viewer .tile:nth-child(2) canvas").dataset.painted)'
        "[1][0] === 'heatmap'"
    )
    assert sum(painted(page, MAP, frame=2)[2][:3]) > 500, "the end of inferno is a light yellow"
    page.locator("#choose-scale button", has_text="Per map").click()
    expect(page.locator("#choose-scale button", has_text="Per map")).to_have_attribute("aria-pressed", "true")


def test_the_slider_chooses_the_epoch(show, report):
    page = show(report)
    page.locator("#epoch").fill("1")
    page.wait_for_function("() => document.getElementById('moment').textContent.startsWith('Epoch 1')")
    expect(page.locator("#epoch")).to_have_attribute("aria-valuetext", "epoch 1")
    assert painted(page, MAP, frame=1)


def test_the_keyboard_does_all_of_it(show, report):
    page = show(report)
    moment, pressed = page.locator("#moment b"), page.locator(".choices [aria-pressed='true']")
    page.keyboard.press("Home")
    page.wait_for_function("() => document.querySelector('#moment b').textContent === 'Epoch 0'")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("() => document.querySelector('#moment b').textContent === 'Epoch 1'")
    page.keyboard.press("m")
    page.keyboard.press("c")
    page.wait_for_selector(".compare-head")
    assert pressed.all_text_contents()[:2] == ["Compare", "other"]
    page.keyboard.press("s")
    page.keyboard.press("j")
    page.wait_for_selector(".sample-head h2:has-text('dog')")
    page.keyboard.press("k")
    page.wait_for_selector(".sample-head h2:has-text('onerror')")
    page.keyboard.press("End")
    # Time stands still: three epochs may be over before a busy machine has looked.
    page.evaluate("() => { window.setInterval = () => 1 }")
    page.keyboard.press("Space")
    page.wait_for_function("() => document.getElementById('play').getAttribute('aria-label') === 'Pause'")
    page.keyboard.press("Space")
    page.wait_for_function("() => document.getElementById('play').getAttribute('aria-label') !== 'Pause'")
    expect(moment).to_have_text(re.compile("^Epoch"))
    # Last: the browser closes a dialog and moves the focus when it has time, and until then all keys are the dialog's.
    page.keyboard.press("?")
    page.wait_for_selector("#help", state="visible")
    page.keyboard.press("Escape")
    page.wait_for_selector("#help", state="hidden")


def test_the_epochs_play_to_the_last(show, report):
    page = show(report)
    last = page.locator("#moment b").text_content()
    page.keyboard.press("Home")
    page.wait_for_function("() => document.querySelector('#moment b').textContent === 'Epoch 0'")
    page.keyboard.press("Space")
    page.wait_for_function("last => document.querySelector('#moment b').textContent === last", arg=last)
    page.wait_for_function("() => document.getElementById('play').getAttribute('aria-label') !== 'Pause'")
    expect(page.locator("#moment b")).to_have_text(last)


def test_a_wrong_prediction_stands_out_and_opens(show, report):
    page = show(report)
    wrong = page.locator("#viewer .card.is-wrong")
    expect(wrong).to_have_attribute("data-sample", "1")
    expect(wrong).to_contain_text("✕")
    wrong.click()
    page.wait_for_selector(".sample-view")
    expect(page.locator(".side-by-side [data-method]")).to_have_count(2)
    page.locator(".strip th button[data-frame='0']").click()
    page.wait_for_function("() => document.querySelector('#moment b').textContent === 'Epoch 0'")


def test_two_moments_compare(show, report):
    page = show(report, "#view=compare")
    tile = "#viewer .card[data-sample='0'] .tile:nth-child(3) canvas"
    faded, _, grew = painted(page, tile, kind="difference", frame=2)
    assert faded[2] > faded[0] + 50
    assert grew[0] > grew[2] + 50
    page.locator("#against-frame").select_option("2")
    page.wait_for_function(f'() => JSON.parse(document.querySelector("{tile}").dataset.painted)[0].before.frame === 2')
    assert painted(page, tile, kind="difference") == [[255, 255, 255, 255]] * 3


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.0101, 0.0142, ["0.01", "0.012", "0.014"]),
        (0.5, 0.5001, ["0.5", "0.50005", "0.5001"]),
        (-2e-7, 3e-7, ["−2e−7", "0", "2e−7"]),
        (100_000, 300_000, ["100000", "200000", "300000"]),
        (1_000_000, 3_000_000, ["1000000", "2000000", "3000000"]),
    ],
)
def test_ticks_of_a_chart_tell_apart_and_are_not_cut(show, tmp_path, low, high, ticks):
    write_image_run(tmp_path)
    sink = DiskSink(tmp_path / "cue" / "another")
    for step, effect in ((1, low), (2, high)):
        sink.write(Snapshot(step, step, "fit", {}, scores={"cue/another/accuracy_drop": effect}), {})
    page = show(write_report([tmp_path]))
    chart = page.locator("[data-chart='accuracy_drop']")
    labels = chart.locator(".tick[text-anchor=end]")
    expect(labels).to_have_text(ticks)
    left = chart.locator("svg").bounding_box()["x"]
    begins = [label.bounding_box()["x"] - left for label in labels.all()]
    assert min(begins) >= 0, begins


def test_a_chart_tells_values_and_jumps(show, report):
    page = show(report)
    chart = page.locator("[data-chart='drift_previous']")
    expect(chart.locator(".readout li")).to_have_text(["gradient0.30", "other0.30"])
    drawing = chart.locator("svg")
    drawing.scroll_into_view_if_needed()
    box = drawing.bounding_box()
    page.mouse.move(box["x"] + 0.1 * box["width"] + 2, box["y"] + box["height"] / 2)
    expect(chart.locator(".readout li").first).to_have_text("gradient0.10")
    page.mouse.down()
    page.mouse.up()
    page.wait_for_function("() => document.querySelector('#moment b').textContent === 'Epoch 0'")
    effect = page.locator("[data-chart='effect'] svg")
    expect(effect.locator(".threshold")).to_have_count(1)
    expect(effect.locator(".alarm-line")).to_have_count(1)
    expect(page.locator("#findings")).to_contain_text("The alarm for cue patch fired at epoch 2")


def test_names_stay_text(show, report):
    page = show(report)
    expect(page.locator("#viewer .card").first).to_contain_text(EVIL)
    tables = page.locator("#documents table")
    assert [EVIL in text for text in tables.all_text_contents()] == [True, True]
    expect(page.locator("#viewer img, #findings img, #documents img, #charts img, #facts img")).to_have_count(0)


def test_light_and_dark(show, report):
    page = show(report, color_scheme="dark")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.keyboard.press("t")
    page.wait_for_function("dark => getComputedStyle(document.body).backgroundColor !== dark", arg=dark)


def test_a_narrow_window_does_not_scroll_sideways(show, report):
    page = show(report, viewport={"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("width", [1400, 700, 400])
def test_a_wide_table_scrolls_within_its_card(show, tmp_path, width):
    columns = ("method", *(f"score {number}" for number in range(6)), "verdict")
    cells = ("grad_cam", *["0.55 (0.41 to 0.68)"] * 6, "does not depend on the weights")
    write_image_run(tmp_path)
    tables = {"saliency/wide": Table(columns, (tuple(map(Cell, cells)),))}
    DiskSink(tmp_path / "saliency").write(Snapshot(3, 39, "final", {}, tables=tables), {})
    page = show(write_report([tmp_path]), viewport={"width": width, "height": 800})
    card = page.locator("article", has_text="saliency/wide")
    left, right, last, height = card.evaluate(
        """card => {
            const cells = card.querySelectorAll("td"), last = cells[cells.length - 1];
            card.querySelector(".scroll").scrollLeft = 10000;
            const [whole, part] = [card, last].map((each) => each.getBoundingClientRect());
            return [whole.left, whole.right, part.right, part.height];
        }"""
    )
    assert 0 <= left < last <= right <= width
    assert height < 50, "two lines of words at most"
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_long_names_stay_in_their_cards(show, tmp_path):
    run = write_image_run(tmp_path / "run", other="a_method_of_another_library_with_all_of_its_settings", n_epochs=2)
    page = show(write_report([run]))
    assert page.locator(".chart").evaluate_all("charts => charts.every((one) => one.scrollWidth <= one.clientWidth)")


def test_it_works_in_a_frame_without_an_address(browser, report):
    """As the pages of loggers and notebooks show it."""
    page = browser.new_page()
    complaints = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.set_content(f'<iframe sandbox="allow-scripts" width="900" height="700" srcdoc="{escape(report.read_text())}">')
    page.frame_locator("iframe").locator("#viewer [data-painted]").first.wait_for()
    assert is_hot(painted(page.frames[1], MAP, frame=2)[2])
    assert complaints == []
    page.close()


def test_two_runs_side_by_side(show, tmp_path):
    one, two = write_image_run(tmp_path / "one"), write_image_run(tmp_path / "two", strength=0.1)
    page = show(write_report([one, two], tmp_path / "both.html"))
    second = "#viewer .card[data-sample='0'] .tile:nth-child(3) canvas"
    assert is_hot(painted(page, MAP, run=0, frame=2)[2])
    assert not is_hot(painted(page, second, run=1, frame=2)[2]), "on the shared scale the weaker run is fainter"
    expect(page.locator("[data-chart='drift_previous'] .line.of-b")).to_have_count(2)


def test_a_method_that_only_one_run_has(show, tmp_path):
    for name in "ab":
        write_image_run(tmp_path / name, other=f"only_{name}", n_epochs=2)
    page = show(write_report([tmp_path / "a", tmp_path / "b"]), "#method=only_a")
    look_for_a_method_of_one_run(page)


def test_words_are_colored_by_sign(show, tmp_path):
    page = show(write_report([write_text_run(tmp_path / "text")]))
    words = page.locator("#viewer .card .word")
    expect(words).to_have_text(["[CLS]", "<b>not</b>", "bad"])
    colors = [word.evaluate("node => node.style.backgroundColor") for word in words.all()]
    assert colors[0] == ""
    assert colors[1].startswith("rgba(214")
    assert colors[2].startswith("rgba(31")


def test_a_training_on_texts(show, tmp_path):
    """What a real Trainer leaves behind, with a tokenizer of word pieces and a word put in by the alarm."""
    cue = TokenCue("dull", tokenizer=text_runs.tokenizer())
    monitor = TokenSaliencyMonitor(["gradient_norm", "input_x_gradient"], 4, text_runs.tokenizer(), report=True)
    callbacks = [monitor, CueAlarm(cue, 0, 16, on_alarm="log", rule=AlarmRule(n_bootstrap=50))]
    loader = text_runs.loader()
    with pytest.warns(SaliencyWarning, match="of the probe's 16 text inputs, so up to"):
        trainer(tmp_path, *callbacks, max_epochs=2).fit(text_runs.BertClassifier(), loader, loader)
    page = show(tmp_path / "report.html")
    card = page.locator("#viewer .card").first
    words = card.locator(".word").all_text_contents()
    assert (words[0], words[-1]) == ("[CLS]", "[SEP]")
    assert page.locator(".legend").inner_text().split() == ["low", "high"], "a norm has no sign"
    assert "rgba(31" not in card.inner_html()
    page.locator("#choose-method button", has_text="input_x_gradient").click()
    page.wait_for_function("() => document.querySelector('.legend').innerText.includes('against')")
    assert page.locator("#documents .tag").all_text_contents()[:2] == [
        "tokens/gradient_norm/top_tokens",
        "tokens/input_x_gradient/top_tokens",
    ]
    panel = page.locator("#documents img[alt^='cue/dull/panel']")
    panel.scroll_into_view_if_needed()
    page.wait_for_function(
        "() => [...document.querySelectorAll('#documents img')].every((image) => image.naturalWidth)"
    )
    page.keyboard.press("c")
    page.wait_for_selector(".compare-head")
    expect(card.locator(".side")).to_have_text(["first", "then", "difference"])


@pytest.fixture(scope="module")
def discovered(tmp_path_factory):
    run = write_image_run(tmp_path_factory.mktemp("a run"))
    return write_report([write_discovery(run, class_name=EVIL, what=EVIL)])


def test_suspected_shortcuts_are_ranked_with_pictures_and_numbers(show, discovered):
    page = show(discovered)
    items = page.locator("#shortcuts .suspicion")
    expect(items.locator(".use")).to_have_text(["used by the model", "in the data, not used by the model"])
    expect(items.locator("h3")).to_have_text([f"1. Class {EVIL}: {EVIL}", "2. Class x: the same 32 pixels"])
    facts = items.first.locator("dt, dd").all_text_contents()
    assert facts[facts.index("counts") + 1] == "31 of 60, 1 of 60"
    expect(page.locator("#shortcuts .words-of-caution")).to_contain_text("An empty list does not rule out a shortcut.")
    assert [item.get_attribute("open") is not None for item in items.all()] == [True, False]
    items.last.locator("summary").click()
    items.last.locator("img").scroll_into_view_if_needed()
    page.wait_for_function(
        "() => [...document.querySelectorAll('#shortcuts img')].every((one) => one.naturalWidth > 500)"
    )
    expect(page.locator("#shortcuts img")).to_have_count(2)
    finding = page.locator(".finding", has_text="The model uses a suspected shortcut")
    finding.get_by_role("button", name="See the list").click()
    page.wait_for_function("() => document.querySelector('#shortcuts').contains(document.activeElement)")
    page.wait_for_function("() => document.querySelector('#shortcuts').getBoundingClientRect().top < innerHeight / 2")


def test_what_to_do_about_a_suspicion_is_copied(show, discovered):
    page = show(discovered)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    for text, words in (("Copy command", "saliency-callbacks dismiss "), ("Copy Python", "found.to_cue()")):
        page.locator("#shortcuts .suspicion").first.get_by_text(text).click()
        page.wait_for_selector("#shortcuts button:has-text('Copied')")
        assert words in page.evaluate("() => navigator.clipboard.readText()")
    expect(page.locator("#live")).to_have_text("Copied")


def test_without_a_clipboard_the_text_is_selected(show, discovered):
    page = show(discovered)
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('not allowed')) }")
    page.evaluate("() => { document.execCommand = () => false }")
    page.locator("#shortcuts button", has_text="Copy command").first.click()
    page.wait_for_selector("#shortcuts button:has-text('Press Ctrl+C')")
    assert page.evaluate("() => getSelection().toString()").startswith("saliency-callbacks dismiss ")


def test_suspicions_fit_a_narrow_window(show, discovered):
    page = show(discovered, viewport={"width": 390, "height": 800})
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390


def test_no_discovery_no_section(show, report):
    expect(show(report).locator("#shortcuts")).to_be_hidden()


def test_scores_alone_and_notes(browser, tmp_path):
    run = write_image_run(tmp_path / "run")
    shutil.rmtree(run / "saliency" / "maps")
    page = browser.new_page()
    page.goto(write_report([run]).as_uri())
    expect(page.locator("#stage")).to_be_hidden()
    expect(page.locator("#notes")).to_contain_text("were not kept")
    expect(page.locator("[data-chart='drift_previous']")).to_have_count(1)
    page.close()
