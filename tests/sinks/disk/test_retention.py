import pytest
from hypothesis import given
from hypothesis import strategies as st

from saliency_callbacks.sinks.disk.retention import Retention


@given(
    count=st.integers(0, 60),
    last=st.integers(1, 20),
    every=st.none() | st.integers(1, 20),
    has_start=st.booleans(),
)
def test_what_stays_is_bounded_and_never_comes_back(count, last, every, has_start):
    retention = Retention(last=last, every=every)
    gone_before: set[int] = set()
    for length in range(1, count + 1):
        stages = ["fit"] * length
        if has_start:
            stages[0] = "initial"
        gone = set(retention.superseded(stages))
        counted = length - has_start
        assert gone >= gone_before, "what was removed once needs not be had again"
        assert length - 1 not in gone, "the newest stays"
        assert not (has_start and 0 in gone), "the one before the training stays"
        bound = last if every is None else last + -(-counted // every)
        assert counted - len(gone) <= bound
        gone_before = gone


@pytest.mark.parametrize("stage", ["initial", "final"])
def test_start_and_last_word_are_not_counted(stage):
    assert Retention(last=1).superseded(["fit", stage, "fit"]) == [0]
