"""The picture of samples without and with a cue."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from saliency_callbacks.callbacks.cue import pictures as cue_pictures
from saliency_callbacks.callbacks.cue.pictures import Pair, draw_pairs, interleaved
from saliency_callbacks.types import Attribution


def _attribution(values):
    magnitude = values.abs().amax(1)
    return Attribution(
        method="gradient",
        values=values,
        magnitude=magnitude,
        heatmap=magnitude / magnitude.flatten(1).amax(1).reshape(-1, *[1] * (magnitude.ndim - 1)),
        target=torch.zeros(len(values), dtype=torch.long),
        score=torch.zeros(len(values)),
        reduction="abs_max",
    )


def _drawn(n_pairs, monkeypatch=None, values=None):
    seen = {}
    if monkeypatch is not None:
        for name in ("render", "panel"):
            original = getattr(cue_pictures, name)

            def spy(*args, original=original, name=name, **kwargs):
                seen[name] = (args, kwargs, original(*args, **kwargs))
                return seen[name][-1]

            monkeypatch.setattr(cue_pictures, name, spy)
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(2 * n_pairs, 1, 8, 8, generator=generator) if values is None else values
    images = torch.rand(values.shape, generator=generator)
    pairs = [Pair(f"class {n}", n - 0.25, n + 1.5, n % 2 == 1) for n in range(n_pairs)]
    return draw_pairs(images, _attribution(values), pairs, title="a cue"), seen


@given(st.integers(0, 4), st.integers(1, 3))
def test_interleaved_rows_come_in_turn(count, width):
    first, second = torch.arange(2 * count * width).reshape(2, count, width)
    both = interleaved(first, second)
    assert both.shape == (2 * count, width)
    assert torch.equal(both[0::2], first)
    assert torch.equal(both[1::2], second)


@pytest.mark.parametrize("n_pairs", [1, 2, 3, 8])
def test_it_is_a_picture_with_two_cells_a_sample(n_pairs, monkeypatch):
    picture, seen = _drawn(n_pairs, monkeypatch)
    assert picture.dtype == np.uint8
    assert picture.ndim == 3
    (images, rendered, captions), settings, _ = seen["panel"]
    assert len(images) == len(rendered) == len(captions) == 2 * n_pairs
    assert settings["columns"] % 2 == 0, "no pair is torn apart"
    assert settings["title"] == "a cue"


def test_the_title_names_the_slices_of_volumes(monkeypatch):
    _, seen = _drawn(1, monkeypatch, torch.rand(2, 1, 12, 8, 8))
    assert seen["panel"][1]["title"] == "a cue · slices 2, 5, 8, 11 of 12, axis 0"


def test_captions_say_the_margins_and_mark_what_flipped(monkeypatch):
    _, seen = _drawn(2, monkeypatch)
    captions = seen["panel"][0][2]
    assert [(caption.title, caption.detail, caption.wrong) for caption in captions] == [
        ("class 0 · without", "margin -0.2", None),
        ("class 0 · with the cue", "margin +1.5 (+1.8)", None),
        ("class 1 · without", "margin +0.8", None),
        ("class 1 · with the cue", "margin +2.5 (+1.8)", True),
    ]


def test_the_two_of_a_sample_share_a_scale(monkeypatch):
    values = torch.ones(4, 1, 8, 8)
    values[1] = 4
    values[2] = 9
    _, seen = _drawn(2, monkeypatch, values)
    assert seen["render"][1]["scale"].tolist() == pytest.approx([4, 4, 9, 9])


def test_it_is_the_same_picture_again():
    assert np.array_equal(_drawn(3)[0], _drawn(3)[0])
