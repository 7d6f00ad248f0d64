import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from saliency_callbacks.config.checks import checked_choice, checked_flag, checked_integer, checked_real
from saliency_callbacks.errors import ConfigurationError, MethodError


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3), torch.tensor(3)])
def test_a_whole_number(value):
    found = checked_integer("size", value, 3)
    assert found == 3
    assert type(found) is int


@pytest.mark.parametrize("value", [2, -3, 3.0, "3", True, None, [3], np.float32(3), np.bool_(True), math.inf])
def test_no_whole_number(value):
    with pytest.raises(ConfigurationError, match=r"^size=.*; expected a whole number of at least 3$"):
        checked_integer("size", value, 3)


@pytest.mark.parametrize("value", [-1, 8])
def test_a_whole_number_outside_its_range(value):
    with pytest.raises(ConfigurationError, match=rf"^seed={value}; expected a whole number from 0 to 7$"):
        checked_integer("seed", value, 0, 7)
    assert [checked_integer("seed", inside, 0, 7) for inside in (0, 7)] == [0, 7]


@pytest.mark.parametrize("value", [0.25, -3, np.float32(7.5), np.int32(4), Fraction(1, 2)])
def test_a_finite_number(value):
    found = checked_real("threshold", value)
    assert found == value
    assert type(found) is float


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "0.5", None, True, [0.5], 1j])
def test_no_finite_number(value):
    with pytest.raises(ConfigurationError, match=r"^threshold=.*; expected a finite number$"):
        checked_real("threshold", value)


@pytest.mark.parametrize(
    ("limits", "inside", "outside", "expected"),
    [
        ({"above": 0}, [0.1, 1e9], [0, -1], "above 0"),
        ({"below": 1}, [-5, 0.9], [1, 2], "below 1"),
        ({"above": 0, "below": 1}, [0.5], [0, 1], "between 0 and 1"),
        ({"at_least": 0}, [0, 5], [-0.1], "of at least 0"),
        ({"at_most": 1}, [1, -5], [1.1], "of at most 1"),
        ({"at_least": -1, "at_most": 1}, [-1, 0, 1], [-1.1, 1.1], "from -1 to 1"),
        ({"above": 0, "at_most": 1}, [0.1, 1], [0, 1.1], "above 0 and of at most 1"),
    ],
)
def test_limits(limits, inside, outside, expected):
    for value in inside:
        assert checked_real("share", value, **limits) == value
    for value in outside:
        with pytest.raises(ConfigurationError, match=rf"^share={value}; expected a finite number {expected}$"):
            checked_real("share", value, **limits)


def test_a_choice():
    assert checked_choice("size", "small", ("small", "large")) == "small"
    with pytest.raises(ConfigurationError, match=r"^size='smal' is unknown; did you mean 'small'\? Expected one of"):
        checked_choice("size", "smal", ("small", "large"))


@pytest.mark.parametrize("value", [None, 3, ["small"], np.array(["small", "large"])])
def test_no_choice(value):
    with pytest.raises(ConfigurationError, match=r"(?s)^size=.* is unknown; .*Expected one of \['small', 'large'\]"):
        checked_choice("size", value, ("small", "large"))


def test_a_flag():
    assert checked_flag("stratify", True) is True
    assert checked_flag("stratify", False) is False


@pytest.mark.parametrize("value", [0, 1, None, "yes", np.bool_(True)])
def test_no_flag(value):
    with pytest.raises(ConfigurationError, match=r"^stratify=.*; expected True or False$"):
        checked_flag("stratify", value)


@pytest.mark.parametrize(
    "check",
    [
        lambda **settings: checked_integer("other_argument", "x", 1, **settings),
        lambda **settings: checked_real("other_argument", "x", **settings),
        lambda **settings: checked_choice("other_argument", "x", ("small", "large"), **settings),
        lambda **settings: checked_flag("other_argument", "x", **settings),
    ],
)
def test_the_message_names_the_argument_and_the_error_is_the_one_asked_for(check):
    with pytest.raises(MethodError, match=r"^other_argument='x'"):
        check(error=MethodError)


def test_what_was_expected_in_the_words_of_the_caller():
    with pytest.raises(ConfigurationError, match=r"^rows=0; expected a positive number of rows$"):
        checked_integer("rows", 0, 1, expected="a positive number of rows")
    with pytest.raises(ConfigurationError, match=r"^share=0; expected a share$"):
        checked_real("share", 0, above=0, expected="a share")
