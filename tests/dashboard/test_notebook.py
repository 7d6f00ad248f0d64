"""Runs and results as a notebook shows them."""

from __future__ import annotations

import shutil
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch

import saliency_callbacks
from saliency_callbacks import Attribution, explain, randomization_test, show
from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.report import write_report

EVIL = "<img src=x onerror=alert(1)>"


class Elements(HTMLParser):
    """What a browser would make of a fragment: the tags, and the attributes of each."""

    def __init__(self, html):
        super().__init__()
        self.found = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data

    def tags(self, name):
        return [attributes for tag, attributes in self.found if tag == name]


def model():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(4 * 36, 3)
    ).eval()


def test_show_puts_the_report_into_a_frame(tmp_path, write_run):
    write_run(tmp_path / "run")
    shown = show(tmp_path / "run", height=321)
    (frame,) = Elements(shown._repr_html_()).tags("iframe")
    assert frame["srcdoc"].encode() == write_report([tmp_path / "run"], tmp_path / "report.html").read_bytes()
    assert (frame["height"], frame["sandbox"]) == ("321", "allow-scripts")
    assert "run, 0." in repr(shown)
    assert not (tmp_path / "run" / "report.html").exists(), "nothing is written beside the run"


@pytest.mark.parametrize("height", [0, -1, 2.5, "600", True])
def test_a_height_that_is_none(tmp_path, write_run, height):
    with pytest.raises(ConfigurationError, match="expected a height in pixels"):
        show(write_run(tmp_path / "run"), height=height)


def test_a_directory_without_a_run(tmp_path):
    with pytest.raises(ConfigurationError, match="nothing to report"):
        show(tmp_path)


def test_explanations_are_a_dictionary_and_show_heatmaps():
    found = explain(model(), torch.rand(10, 3, 6, 6), methods=["gradient", "grad_cam"], target_layers="0")
    assert isinstance(found, dict)
    assert list(found) == ["gradient", "grad_cam"]
    html = Elements(found._repr_html_())
    assert len(html.tags("img")) == 2 * 8
    assert len(html.tags("tr")) == 1 + 2
    assert "2 more samples" in html.text
    nine = explain(model(), torch.rand(9, 3, 6, 6), methods=["gradient"])
    assert Elements(nine._repr_html_()).text.endswith("1 more sample")
    target, score = int(found["gradient"].target[3]), float(found["gradient"].score[3])
    assert f"class {target} · {score:.2f}" in html.text


@pytest.mark.parametrize("spatial", [(5,), (6, 7), (3, 6, 7), (400, 300)])
def test_maps_of_any_dimension(spatial):
    heat = torch.rand(2, *spatial)
    one = Attribution("m", heat[:, None], heat, heat, torch.tensor([-1, 2]), torch.tensor([1.0, 2.0]))
    html = Elements(saliency_callbacks._explain.Explained({EVIL: one})._repr_html_())
    assert len(html.tags("img")) == 2
    assert EVIL in html.text
    assert "score · 1.00" in html.text


def test_a_randomization_result_shows_its_verdicts():
    found = randomization_test(model(), torch.rand(4, 3, 6, 6), methods=["gradient"], order="top_down", n_draws=2)
    html = Elements(found._repr_html_())
    assert found.verdicts["gradient"] in html.text
    assert len(html.tags("img")) == 1
    full = randomization_test(model(), torch.rand(4, 3, 6, 6), methods=["gradient"], n_draws=2)
    assert Elements(full._repr_html_()).tags("img") == []


def test_an_executed_notebook_shows_the_page(tmp_path, write_run):
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed; it is in the extra dev")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed; it is in the extra dev")
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed; it is in the extra dev")
    write_run(tmp_path / "run")
    code = f"from saliency_callbacks import show\nshow({str(tmp_path / 'run')!r})"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    resources = {"metadata": {"path": str(Path(saliency_callbacks.__file__).parents[1])}}
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    (output,) = notebook.cells[0].outputs
    html = output["data"]["text/html"]
    assert unescape(Elements(html).tags("iframe")[0]["srcdoc"]).startswith("<!doctype html>")
    _check_in_browser(tmp_path, html)


def _check_in_browser(directory, html):
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium on the PATH")
    (directory / "output.html").write_text(f"<!doctype html><meta charset=utf-8>{html}")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page, errors = browser.new_page(), []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto((directory / "output.html").as_uri())
        page.frame_locator("iframe").locator("#viewer canvas").first.wait_for()
        browser.close()
    assert errors == []
