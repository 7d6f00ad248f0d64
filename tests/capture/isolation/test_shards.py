"""Weights that are gathered for a call, and given up again."""

from __future__ import annotations

import pytest
from torch import nn

from saliency_callbacks.capture.isolation.shards import gathered


class FSDPModule(nn.Module):
    """Does nothing but keep count; sharded modules are known by the name of this class."""

    def __init__(self, inner: nn.Module, *, fails: bool = False) -> None:
        super().__init__()
        self.inner = inner
        self.fails = fails
        self.is_whole = False

    def unshard(self) -> None:
        if self.fails:
            raise RuntimeError("no memory")
        self.is_whole = True

    def reshard(self) -> None:
        self.is_whole = False


def test_all_around_a_part_are_whole_meanwhile() -> None:
    part, other = nn.Linear(2, 2), FSDPModule(nn.Linear(2, 2))
    inner = FSDPModule(part)
    outer = FSDPModule(nn.Sequential(inner, other))
    with gathered(outer, part):
        assert outer.is_whole
        assert inner.is_whole
        assert not other.is_whole
    assert not outer.is_whole
    assert not inner.is_whole


def test_what_was_gathered_is_given_up_where_the_next_fails() -> None:
    part = nn.Linear(2, 2)
    outer = FSDPModule(FSDPModule(part, fails=True))
    with pytest.raises(RuntimeError, match="no memory"), gathered(outer, part):
        pass
    assert not outer.is_whole
