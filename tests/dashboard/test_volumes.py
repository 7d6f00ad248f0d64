"""What the live page asks of volumes, and what it gets for what is not there."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from tests.report.volumes import DEPTH, SIDE, write_volumes

MAP = "map.json?run=run&monitor=saliency&step=1&stage=fit&method=gradient"


@pytest.fixture
def run(tmp_path):
    return write_volumes(tmp_path / "run")


def _levels(data):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))[..., 0]


def test_a_run_has_no_picture_of_a_slice_until_it_is_looked_at(client, run):
    answer = client.get("run.json?run=run")
    (monitor,) = answer.json["runs"][0]["monitors"]
    assert monitor["pictures"] == {"lazy": True}
    assert monitor["masks"] == {"lazy": True}
    assert [axis["count"] for axis in monitor["volume"]["axes"]] == [DEPTH, SIDE, SIDE]
    assert len(answer.body) < 100_000


@pytest.mark.parametrize("index", range(DEPTH))
def test_every_slice_is_answered(client, run, index):
    found = client.get(f"{MAP}&axis=0&slice={index}").json
    assert (found["slices"], found["width"], found["height"]) == (1, SIDE, SIDE)
    place = (1, 6, 11)[(index >= 2) + (index > 2)]
    levels = _levels(found["data"])[:SIDE, :SIDE]
    assert levels[place + 1, place + 1] == 255
    assert (levels == 255).sum() == 16
    shown = client.get(f"slice.json?run=run&monitor=saliency&axis=0&slice={index}").json
    assert np.unique(_levels(shown["pictures"]["data"][1])).tolist() == [20 * index]
    assert (shown["masks"] is not None) == (index == 4)


def test_answers_of_two_slices_are_told_apart(client, run):
    tags = {client.get(f"{MAP}&axis=0&slice={index}").headers["ETag"] for index in (0, 1)}
    tags |= {client.get(f"slice.json?run=run&monitor=saliency&axis={axis}&slice=1").headers["ETag"] for axis in (0, 1)}
    assert len(tags) == 4
    again = client.get(f"{MAP}&axis=0&slice=0", if_none_match=client.get(f"{MAP}&axis=0&slice=0").headers["ETag"])
    assert again.status == 304


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("axis=3&slice=0", "there is no axis 3: the volumes have axes 0 to 2"),
        ("axis=0&slice=5", "no slice 5 along axis 0"),
        ("axis=-1&slice=0", "there is no axis -1"),
        ("axis=0&slice=x", "slice='x' is not a number; expected an integer"),
        ("slice=0", "axis was given 0 times"),
    ],
)
def test_a_slice_that_is_not_there_is_refused(client, run, query, words):
    for address in (MAP, "slice.json?run=run&monitor=saliency"):
        answer = client.get(f"{address}&{query}")
        assert answer.status == 400
        assert words in answer.json["error"]


def test_pictures_of_what_is_no_volume_are_refused(client, run, tmp_path, write_run):
    write_run(tmp_path / "flat")
    write_volumes(tmp_path / "old", is_old=True)
    expected = {
        "run=flat&monitor=saliency": "saliency has no slices: its samples are not volumes",
        "run=old&monitor=saliency": "saliency has no slices: an earlier version kept the picture of the middle slice "
        "alone",
        "run=run&monitor=nope": "there is no monitor 'nope'",
    }
    for query, words in expected.items():
        answer = client.get(f"slice.json?{query}&axis=0&slice=0")
        assert (answer.status, answer.json["error"]) == (404, words)
    assert client.get(MAP.replace("saliency", "nope")).json["error"] == "there is no monitor 'nope'"
