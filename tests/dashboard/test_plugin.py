"""TensorBoard's tab: what it imports, and a real TensorBoard process that lists and serves it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from importlib.metadata import entry_points
from pathlib import Path
from types import SimpleNamespace

import pytest

import saliency_callbacks
from saliency_callbacks.dashboard.app import App
from saliency_callbacks.dashboard.library import Library
from saliency_callbacks.dashboard.plugin import SaliencyPlugin

ROOT = Path(saliency_callbacks.__file__).parents[1]
OPENS = """
import sys
from types import SimpleNamespace
from saliency_callbacks.dashboard.app import App
from saliency_callbacks.dashboard.library import Library
from saliency_callbacks.dashboard.plugin import SaliencyPlugin
ours = {"numpy", "matplotlib", "PIL", "jinja2"} & set(sys.modules)
plugin = SaliencyPlugin(SimpleNamespace(logdir=sys.argv[1], flags=None))
assert plugin.is_active()
def get(route, query=""):
    told = []
    environ = {"REQUEST_METHOD": "GET", "QUERY_STRING": query, "PATH_INFO": "/data/plugin/saliency/" + route}
    body = b"".join(plugin.get_plugin_apps()["/" + route](environ, lambda *given: told.append(given[0])))
    assert told == ["200 OK"], (told, body)
    return body
for route in ("index.js", "body.html", "page.css", "page.js", "page.html", "runs.json"):
    get(route)
assert b"lazy" in get("run.json", "run=run")
assert b"columns" in get("map.json", "run=run&monitor=saliency&step=9&stage=fit&method=grad_cam")
print(*ours, *{"torch", "torchvision", "lightning"} & set(sys.modules))
"""


def test_a_run_is_opened_without_torch_and_the_import_is_light(tmp_path, write_run):
    write_run(tmp_path / "run")
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", OPENS, str(tmp_path)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout.split()) == (0, []), done.stderr


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        (SimpleNamespace(logdir="/logs", flags=None), ["/logs"]),
        (SimpleNamespace(logdir="", flags=SimpleNamespace(logdir="", logdir_spec="a:/x,b:/y")), ["/x", "/y"]),
        (SimpleNamespace(logdir=None, flags=SimpleNamespace(logdir="/logs", logdir_spec="")), ["/logs"]),
        (SimpleNamespace(logdir=None, flags=None), []),
        (SimpleNamespace(), []),
    ],
)
def test_whatever_tensorboard_says_of_the_logdir(context, expected):
    assert [str(one.path) for one in SaliencyPlugin(context)._directories] == expected


def test_it_has_every_route_of_the_app(tmp_path):
    plugin = SaliencyPlugin(SimpleNamespace(logdir=str(tmp_path), flags=None))
    assert plugin.get_plugin_apps().keys() == {f"/{route}" for route in App(Library([])).routes}


def test_without_a_logdir_it_is_inactive():
    assert not SaliencyPlugin(SimpleNamespace(logdir=None, flags=None)).is_active()


def test_the_entry_point_is_declared():
    _, declared = (ROOT / "pyproject.toml").read_text().split("[project.entry-points.tensorboard_plugins]\n")
    expected = f"{SaliencyPlugin.__module__}:{SaliencyPlugin.__name__}"
    assert declared.splitlines()[0] == f'saliency_callbacks = "{expected}"'


@pytest.fixture
def tensorboard(tmp_path, write_run):
    """A TensorBoard process; its address."""
    write_run(tmp_path / "logs" / "run")
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    if not any(one.value.startswith("saliency_callbacks.") for one in entry_points(group="tensorboard_plugins")):
        # Tests run from a checkout that is not installed: declare what the installed package would.
        metadata = tmp_path / "site" / "saliency_tab-0.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: saliency-tab\nVersion: 0\n")
        (metadata / "entry_points.txt").write_text(
            f"[tensorboard_plugins]\nsaliency = {SaliencyPlugin.__module__}:{SaliencyPlugin.__name__}\n"
        )
        paths.insert(0, str(tmp_path / "site"))
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(tmp_path / "logs"), "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    with subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--load_fast", "false"], stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        said = ""
        for line in process.stderr:
            said += line
            found = re.search(r"at (http://\S+)", line)
            if found:
                yield found[1].rstrip("/")
                break
        else:
            pytest.fail(f"TensorBoard did not start: {said}")
        process.terminate()
        process.stderr.close()


def test_a_real_tensorboard_lists_and_serves_the_tab(tensorboard):
    # Nothing outside this machine is asked, whatever proxy is set.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def get(address):
        with opener.open(f"{tensorboard}/{address}", timeout=60) as reply:
            return reply.headers, reply.read()

    _, body = get("data/plugins_listing")
    tab = json.loads(body)["saliency"]
    assert (tab["tab_name"], tab["enabled"]) == ("Saliency", True)
    assert tab["loading_mechanism"]["type"] == "IFRAME"
    _, entry = get("data/plugin_entry.html?name=saliency")
    assert b'<base href="plugin/saliency/" />' in entry
    plugin = "data/plugin/saliency"
    headers, module = get(f"{plugin}/index.js")
    assert headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert b"export async function render()" in module
    for route in ("body.html", "page.css", "page.js", "page.html"):
        assert get(f"{plugin}/{route}")[1]
    (run,) = json.loads(get(f"{plugin}/runs.json")[1])["runs"]
    assert run["id"] == "run"
    assert json.loads(get(f"{plugin}/run.json?run=run")[1])["runs"][0]["monitors"][0]["frames"][0]["maps"]
    address = f"{plugin}/map.json?run=run&monitor=saliency&step=9&stage=fit&method=grad_cam"
    assert json.loads(get(address)[1])["width"] == 4
