"""The values of each group of samples."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.scores import by_group


def test_groups_come_in_the_order_in_which_they_occur():
    found = by_group(torch.tensor([1.0, 2.0, 3.0, torch.nan]), ["water", "land", "water", "land"])
    assert list(found) == ["water", "land"]
    torch.testing.assert_close(found["water"], torch.tensor([1.0, 3.0]))
    torch.testing.assert_close(found["land"], torch.tensor([2.0, torch.nan]), equal_nan=True)


@given(st.lists(st.sampled_from("abc")))
def test_every_value_is_in_its_group_once(names):
    found = by_group(torch.arange(len(names)), names)
    assert {name: chosen.tolist() for name, chosen in found.items()} == {
        name: [position for position, other in enumerate(names) if other == name] for name in names
    }


@pytest.mark.parametrize("values", [torch.zeros(3), torch.zeros(2, 2), torch.tensor(1.0)])
def test_one_name_a_value(values):
    with pytest.raises(ConfigurationError, match=r"2 group names for values of shape"):
        by_group(values, ["a", "b"])
