import math
import operator

import numpy as np
import pytest

from saliency_callbacks.callbacks.runtime.arguments import (
    checked_appearance,
    checked_choice,
    checked_namespace,
    checked_normalization,
    checked_real,
    checked_sinks,
    checked_target,
    is_auto,
)
from saliency_callbacks.callbacks.saliency.appearance import Appearance
from saliency_callbacks.errors import ConfigurationError, TargetError
from saliency_callbacks.sinks import MemorySink


@pytest.mark.parametrize("target", [None, 3, "label", "initial_prediction", "predicted", operator.itemgetter(0)])
def test_a_target_that_needs_no_import_stays(target):
    assert checked_target(target) is target


@pytest.mark.parametrize("path", ["operator.neg", "operator:neg"])
def test_a_dotted_target_is_imported(path):
    assert checked_target(path) is operator.neg


def test_an_unknown_target():
    with pytest.raises(TargetError, match="'lable' is unknown; did you mean 'label'"):
        checked_target("lable")


@pytest.mark.parametrize("namespace", ["", "a b", "a/b", "..", "a.b"])
def test_a_namespace_names_a_directory(namespace):
    with pytest.raises(ConfigurationError, match="namespace="):
        checked_namespace(namespace)


def test_a_namespace():
    assert checked_namespace("saliency-2_b") == "saliency-2_b"


def test_a_choice():
    assert checked_choice("size", "small", ("small", "large")) == "small"
    with pytest.raises(ConfigurationError, match="size='smal' is unknown; did you mean 'small'"):
        checked_choice("size", "smal", ("small", "large"))


@pytest.mark.parametrize(
    "look",
    [Appearance(style="x"), Appearance(color_scale="x"), Appearance(colormap="x"), Appearance(alpha=-0.1)],
    ids=["style", "color_scale", "colormap", "alpha"],
)
def test_an_appearance_that_cannot_be_drawn(look):
    with pytest.raises(ConfigurationError):
        checked_appearance(look)


def test_an_appearance():
    look = Appearance("heatmap", "per_map", "viridis", 0.5)
    assert checked_appearance(look) is look


@pytest.mark.parametrize("given", [None, ((0.5,), (0.25,))])
def test_a_normalization_stays(given):
    assert checked_normalization(given) == given


def test_a_normalization_may_be_arrays():
    assert checked_normalization(np.array([[0.5, 0.25], [1, 2]])) == ((0.5, 0.25), (1.0, 2.0))


@pytest.mark.parametrize("given", [0.5, [0.5, 0.5], [[0.5]], [[0.5, 0.5], [1.0]], [[], []], "ab"])
def test_a_normalization_is_a_mean_and_a_deviation(given):
    with pytest.raises(ConfigurationError, match=r"expected \(mean, std\)"):
        checked_normalization(given)


def test_sinks():
    sink = MemorySink()
    assert checked_sinks([sink]) == (sink,)
    assert checked_sinks(sink) == (sink,)
    assert checked_sinks(()) == ()
    for wrong in ([MemorySink], ["disk"], 3):
        with pytest.raises(ConfigurationError, match="expected objects with write"):
            checked_sinks(wrong)


def test_auto_is_a_word():
    assert is_auto("auto")
    assert not is_auto("net.auto")
    assert not is_auto(["auto"])


@pytest.mark.parametrize("value", [0.25, -3, 0, 7.5])
def test_a_real_number(value):
    found = checked_real("threshold", value)
    assert found == value
    assert type(found) is float


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "0.5", None, True, [0.5], 1j])
def test_no_real_number(value):
    with pytest.raises(ConfigurationError, match=r"threshold=.*; expected a finite number$"):
        checked_real("threshold", value)


@pytest.mark.parametrize("value", [0, 1, -0.1, 1.1, math.nan])
def test_the_ends_are_outside(value):
    with pytest.raises(ConfigurationError, match=r"confidence=.*; expected a finite number between 0 and 1"):
        checked_real("confidence", value, above=0, below=1)
    assert checked_real("confidence", 0.5, above=0, below=1) == 0.5
