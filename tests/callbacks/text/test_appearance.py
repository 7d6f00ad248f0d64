"""How text inputs are shown: what can be asked for."""

from __future__ import annotations

import pytest

from saliency_callbacks.callbacks.text.appearance import TextAppearance
from saliency_callbacks.errors import ConfigurationError


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("merge", "mean", "merge='mean' is unknown"),
        ("color_scale", "sharde", "color_scale='sharde' is unknown; did you mean 'shared'"),
        ("bars", -1, "bars=-1; expected a whole number of at least 0"),
        ("bars", "first", "bars='first'"),
        ("top", -1, "top=-1; expected a whole number of at least 0"),
        ("top", None, "top=None"),
    ],
)
def test_what_cannot_be_shown(name, value, message):
    with pytest.raises(ConfigurationError, match=message):
        TextAppearance(**{name: value})


def test_neither_bars_nor_a_table():
    look = TextAppearance(bars=None, top=0)
    assert (look.bars, look.top) == (None, 0)


@pytest.mark.parametrize(("color_scale", "is_shared"), [("shared", True), ("per_map", False)])
def test_a_shared_scale(color_scale, is_shared):
    assert TextAppearance(color_scale=color_scale).is_shared == is_shared
