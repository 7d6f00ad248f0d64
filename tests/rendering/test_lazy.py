"""Pictures are drawn at most once, at the first access."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest

from saliency_callbacks.errors import PictureError
from saliency_callbacks.rendering.lazy import LazyPictures


def _counting(drawn, name, shade=0):
    def draw():
        drawn.append(name)
        return np.full((2, 2, 3), shade, dtype=np.uint8)

    return draw


def test_nothing_is_drawn_before_it_is_asked_for():
    drawn = []
    pictures = LazyPictures({name: _counting(drawn, name) for name in "ab"})
    assert list(pictures) == ["a", "b"]
    assert len(pictures) == 2
    assert drawn == []
    assert pictures["b"] is pictures["b"]
    assert drawn == ["b"]
    assert set(dict(pictures)) == {"a", "b"}
    assert drawn == ["b", "a"]


def test_an_unknown_tag():
    pictures = LazyPictures({"a": _counting([], "a")})
    with pytest.raises(KeyError):
        pictures["c"]
    assert pictures.get("c") is None


def test_several_threads_draw_it_once():
    drawn, together = [], Barrier(8)
    pictures = LazyPictures({"a": _counting(drawn, "a", shade=7)})

    def ask(_):
        together.wait()
        return pictures["a"]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, range(8)))
    assert drawn == ["a"]
    assert all(one is found[0] for one in found)


def test_two_pictures_are_drawn_side_by_side():
    together = Barrier(2, timeout=20)

    def draw():
        together.wait()
        return np.zeros((1, 1, 3), dtype=np.uint8)

    pictures = LazyPictures({"a": draw, "b": draw})
    with ThreadPoolExecutor(2) as pool:
        assert len(list(pool.map(pictures.__getitem__, "ab"))) == 2


def test_a_picture_that_cannot_be_drawn_names_itself():
    failures = [ZeroDivisionError("no width")]

    def draw():
        if failures:
            raise failures.pop()
        return np.zeros((1, 1, 3), dtype=np.uint8)

    pictures = LazyPictures({"cue/a/panel": draw})
    with pytest.raises(PictureError, match=r"'cue/a/panel' cannot be drawn \(ZeroDivisionError: no width\)") as caught:
        pictures["cue/a/panel"]
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert pictures["cue/a/panel"].shape == (1, 1, 3), "the next one who asks may be luckier"
