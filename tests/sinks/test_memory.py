import pytest

from saliency_callbacks.errors import SaliencyError
from saliency_callbacks.sinks import MemorySink
from saliency_callbacks.types import Sink


def test_is_a_sink():
    assert isinstance(MemorySink(), Sink)


def test_keeps_snapshots_and_pictures_in_order(make_snapshot, picture):
    sink = MemorySink()
    first, second = make_snapshot(step=1), make_snapshot(step=2)
    sink.write(first, {"saliency/gradient": picture})
    sink.write(second, {})
    assert sink.snapshots == [first, second]
    assert sink.latest is second
    assert [list(pictures) for pictures in sink.pictures] == [["saliency/gradient"], []]


def test_pictures_are_copies(make_snapshot, picture):
    sink, original = MemorySink(), picture.copy()
    sink.write(make_snapshot(), {"tag": picture})
    picture[:] = 0
    assert (sink.pictures[0]["tag"] == original).all()


def test_latest_of_an_empty_sink_says_what_to_do():
    with pytest.raises(SaliencyError, match=r"holds no snapshots.*Write an observation first"):
        _ = MemorySink().latest
