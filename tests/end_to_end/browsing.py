"""What is painted on the page."""

from __future__ import annotations

import pytest

MAP = "#viewer .card[data-sample='0'] .tile:nth-child(2) canvas"

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect
"""Waits until what is expected of a locator is so: a page redraws when the browser has time, not when it is clicked."""
expect.set_options(timeout=20_000)


# What is waited for is given as a function: the page's policy forbids the evaluation of strings.
def painted(page, selector, **wanted):
    """Wait until the canvas shows what is wanted, and return its pixels in three places: two corners, the middle."""
    pixels = page.wait_for_function(
        """([selector, wanted]) => {
            const canvas = document.querySelector(selector);
            const painted = JSON.parse(canvas?.dataset.painted ?? "[{}]")[0];
            if (!Object.entries(wanted).every(([key, value]) => painted[key] === value)) return null;
            const copy = document.createElement("canvas");
            [copy.width, copy.height] = [canvas.width, canvas.height];
            const context = copy.getContext("2d", { willReadFrequently: true });
            context.drawImage(canvas, 0, 0);
            const at = (share) => [...context.getImageData(share * copy.width, share * copy.height, 1, 1).data];
            return [at(3 / 16), at(8 / 16), at(13 / 16)];
        }""",
        arg=[selector, wanted],
    )
    return pixels.json_value()


def is_hot(pixel):
    """Whether a pixel is yellow or orange: heat is, and what it is laid over is grey."""
    red, green, blue, _ = pixel
    return red > 150 and red > blue + 60 and green > blue


def look_for_a_method_of_one_run(page):
    """Look, in all views, at a method that run A has and B has not, and then at one that both have."""
    third = "#viewer .card[data-sample='0'] .tile:nth-child(3) canvas"
    missing = page.locator("#viewer .tile-note", has_text="B has no maps of this method")
    missing.first.wait_for()
    painted(page, MAP, method="only_a")
    page.keyboard.press("s")
    page.wait_for_selector(".sample-view")
    missing.first.wait_for()
    page.keyboard.press("c")
    page.wait_for_selector(".compare-head")
    missing.nth(1).wait_for()
    painted(page, third, kind="difference")
    page.locator("#choose-method button", has_text="gradient").click()
    painted(page, third, kind="difference", method="gradient")
    page.wait_for_function("() => [...document.querySelectorAll('.tile-note')].every((note) => !note.textContent)")
