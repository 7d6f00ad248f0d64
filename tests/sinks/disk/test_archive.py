from typing import get_args

import pytest

from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.sinks import DiskSink, read_index, read_maps
from saliency_callbacks.sinks.disk import shown
from saliency_callbacks.sinks.disk.archive import read_table
from saliency_callbacks.types import Cell, Reduction


@pytest.fixture
def written(tmp_path, make_snapshot):
    DiskSink(tmp_path).write(make_snapshot(), {})
    return tmp_path


def test_the_format_knows_every_reduction():
    assert set(shown.REDUCTIONS) == set(get_args(Reduction))


def test_no_index(tmp_path):
    with pytest.raises(ConfigurationError, match=r"index\.json.*cannot be read.*Give the directory of a DiskSink"):
        read_index(tmp_path / "absent")


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "is not JSON"), ("3", "format 2 .found 'int'"), ('{"format": 7, "observations": []}', "found 7")],
)
def test_a_damaged_index(tmp_path, content, message):
    (tmp_path / "index.json").write_text(content)
    with pytest.raises(ConfigurationError, match=message):
        read_index(tmp_path)


def test_missing_maps(written):
    (entry,) = read_index(written)["observations"]
    (written / entry["file"]).unlink()
    with pytest.raises(ConfigurationError, match="expected the maps of step 10"):
        read_maps(written, entry)


def test_truncated_maps(written):
    (entry,) = read_index(written)["observations"]
    file = written / entry["file"]
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ConfigurationError, match="expected the maps of step 10"):
        read_maps(written, entry)


@pytest.mark.parametrize("file", ["../secret", "/etc/hostname", "maps/../../secret"])
def test_an_edited_index_cannot_read_elsewhere(written, file):
    (entry,) = read_index(written)["observations"]
    with pytest.raises(ConfigurationError, match="leads out of"):
        read_maps(written, {**entry, "file": file})


@pytest.mark.parametrize(
    "damaged",
    [
        None,
        {"columns": ["a"], "rows": []},
        {"columns": ["a"], "rows": [["plain"]], "note": None},
        {"columns": ["a"], "rows": [[["1", "plain"]] * 2], "note": None},
        {"columns": 3, "rows": [], "note": None},
    ],
)
def test_a_damaged_table(damaged):
    with pytest.raises(ConfigurationError, match="table"):
        read_table(damaged)


def test_a_style_that_only_later_versions_know_is_plain():
    found = read_table({"columns": ["a"], "rows": [[["1", "script"]]], "note": None})
    assert found.rows == ((Cell("1"),),)
