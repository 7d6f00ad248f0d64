from __future__ import annotations

import re
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saliency_callbacks.sinks.names import file_stem, flat_name, nested_name

two_tags = st.lists(st.text(alphabet="ab_/. :ée-", max_size=8), min_size=2, max_size=2, unique=True)


@given(two_tags)
def test_different_tags_have_different_directories(tags):
    first, second = (flat_name(tag) for tag in tags)
    assert first != second
    assert "/" not in first
    assert not first.startswith(".")


@given(two_tags)
def test_different_tags_have_different_paths(tags):
    first, second = (nested_name(tag) for tag in tags)
    assert first != second
    assert re.fullmatch(r"[A-Za-z0-9_./ -]+", first)
    path = PurePosixPath(first)
    assert not path.is_absolute()
    assert path.as_posix() == first, "nothing in it is empty or leads upwards"
    assert not any(part.startswith(".") for part in path.parts)


@pytest.mark.parametrize("tag", ["saliency/grad_cam", "cue/a-b.2/panel", "cue/a red patch/panel", "a"])
def test_an_ordinary_tag_is_its_own_path(tag):
    assert nested_name(tag) == tag


def test_letters_keep_their_shape():
    assert nested_name("cue/été: 20 %/panel").startswith("cue/ete_ 20 _/panel-")


def test_names_are_short_enough_for_a_file_system():
    assert max(len(name("é" * 300)) for name in (flat_name, nested_name)) < 120


@pytest.mark.parametrize(("stage", "stem"), [("fit", "000000010"), ("initial", "000000010-initial")])
def test_moments_of_one_step_have_files_of_their_own(make_snapshot, stage, stem):
    assert file_stem(make_snapshot(step=10, stage=stage)) == stem
