import pytest

from saliency_callbacks.types import Cell, Snapshot, Table


@pytest.mark.parametrize(
    ("stage", "epoch", "moment"),
    [
        ("initial", 0, "start"),
        ("fit", 0, "epoch 0"),
        ("fit", 12, "epoch 12"),
        ("validate", 0, "validation"),
        ("validate", 12, "validation"),
    ],
)
def test_the_moment_of_a_snapshot(stage, epoch, moment):
    assert Snapshot(epoch=epoch, step=3, stage=stage, attributions={}).moment == moment


def test_texts_and_tables_are_markdown_under_their_tags():
    table = Table(("word",), ((Cell("a|b", "name"),),))
    snapshot = Snapshot(0, 3, "fit", {}, texts={"alarm": "**look**"}, tables={"words": table})
    assert snapshot.markdown == {"alarm": "**look**", "words": "| word |\n|---|\n| `a¦b` |"}
