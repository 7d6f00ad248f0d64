"""Opening a run of 200 observations in TensorBoard's tab: seconds and bytes, each against its bound."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from benchmarks.cost.measure import Row
from benchmarks.cost.workload import Workload
from saliency_callbacks.sinks import DiskSink, read_index
from saliency_callbacks.sinks.disk.archive import OBSERVATIONS_NAME
from saliency_callbacks.sinks.disk.journal import append_line
from saliency_callbacks.types import Attribution, ProbeView, Snapshot

__all__ = ["measure_tab", "write_long_run"]

_OBSERVATIONS, _WRITTEN = 200, 4
_METHODS = ("gradient", "smooth_grad", "integrated_gradients", "grad_cam")
_SCORES = ("drift_previous", "drift_initial", "entropy", "gini")
_CLASSES = 4
_SECONDS, _MEBIBYTES = 2.0, 20e6 / 2**20

# A process of its own, as TensorBoard's is: what it imports when the tab is first opened counts.
_OPEN = """
import json, sys, time
from types import SimpleNamespace
from saliency_callbacks.dashboard.plugin import SaliencyPlugin

apps = SaliencyPlugin(SimpleNamespace(logdir=sys.argv[1], flags=None)).get_plugin_apps()

def get(route, query=""):
    begin = time.perf_counter()
    environ = {"REQUEST_METHOD": "GET", "QUERY_STRING": query}
    body = b"".join(apps["/" + route](environ, lambda status, headers: None))
    return body, time.perf_counter() - begin

listing, listed = get("runs.json")
run, opened = get("run.json", "run=run")
monitor = json.loads(run)["runs"][0]["monitors"][0]
frame = monitor["frames"][-1]
place = f"run=run&monitor={monitor['name']}&step={frame['step']}&stage={frame['stage']}&method=gradient"
sprite, looked = get("map.json", place)
assert len(json.loads(sprite)["clip"]) == len(monitor["ids"])
print(json.dumps({"open": listed + opened, "bytes": len(listing) + len(run), "map": looked}))
"""


def measure_tab(workload: Workload) -> list[Row]:
    """Return what opening a run takes, and what one method's maps of one observation take once it is open.

    No map is read to open a run, so the time hardly depends on their size.
    """
    with tempfile.TemporaryDirectory() as directory:
        write_long_run(Path(directory, "run"), images=workload.images, size=workload.size)
        rounds = [_opened(directory) for _ in range(workload.path_rounds)]
    run = f"{_OBSERVATIONS} × {workload.images} × {len(_METHODS)}"
    mebibytes = [one["bytes"] / 2**20 for one in rounds]
    return [
        _row("tab/open", run, [one["open"] for one in rounds], _SECONDS, "s"),
        _row("tab/bytes", run, mebibytes, _MEBIBYTES, "MiB"),
        _row("tab/map", f"{workload.images} maps", [one["map"] for one in rounds], _SECONDS, "s"),
    ]


def write_long_run(run: Path, *, images: int, size: int) -> None:
    """Write a run of 200 observations; its maps are a few files under many names, which takes no 6 GB."""
    sink, made = DiskSink(run / "saliency"), torch.Generator().manual_seed(0)
    pictures = (torch.rand(images, size, size, 3, generator=made) * 255).to(torch.uint8)
    view = ProbeView("ab" * 32, tuple(map(str, range(images))), pictures, labels=torch.arange(images) % _CLASSES)
    for step in range(_WRITTEN):
        sink.write(_snapshot(step, view, size, made), {})
    written = read_index(sink.directory)["observations"]
    for step in range(_WRITTEN, _OBSERVATIONS):
        entry = written[step % _WRITTEN]
        file = f"maps/{step:09d}.safetensors"
        os.link(sink.directory / str(entry["file"]), sink.directory / file)
        append_line(sink.directory / OBSERVATIONS_NAME, {**entry, "epoch": step, "step": step, "file": file})


def _snapshot(step: int, view: ProbeView, size: int, made: torch.Generator) -> Snapshot:
    count = len(view.ids)
    samples = {
        f"saliency/{method}/{score}": torch.rand(count, generator=made) for method in _METHODS for score in _SCORES
    }
    return Snapshot(
        step,
        step,
        "fit",
        {method: _attribution(method, count, size, made) for method in _METHODS},
        predictions=torch.randint(0, _CLASSES, (count,), generator=made),
        confidences=torch.rand(count, generator=made),
        labels=view.labels,
        ids=view.ids,
        scores={tag: float(values.mean()) for tag, values in samples.items()},
        sample_scores=samples,
        metadata={"probe": view.fingerprint},
        probe=view,
    )


def _attribution(method: str, count: int, size: int, made: torch.Generator) -> Attribution:
    side, channels = (7, 1) if method == "grad_cam" else (size, 3)
    values = torch.randn(count, channels, side, side, generator=made)
    small = values.abs().amax(1, keepdim=True)
    magnitude = torch.nn.functional.interpolate(small, (size, size), mode="bilinear", align_corners=False)[:, 0]
    nothing = torch.zeros(count)
    return Attribution(method, values, magnitude, magnitude, nothing, nothing, reduction="abs_max")


def _opened(directory: str) -> dict[str, float]:
    done = subprocess.run([sys.executable, "-c", _OPEN, directory], check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _row(name: str, ours: str, values: list[float], bound: float, unit: str) -> Row:
    return Row(
        name=name,
        ours=ours,
        other="the bound",
        ours_value=statistics.median(values),
        other_value=bound,
        ratio=statistics.median(values) / bound,
        limit=1.0,
        unit="s" if unit == "s" else "MiB",
        samples={ours: values},
    )
