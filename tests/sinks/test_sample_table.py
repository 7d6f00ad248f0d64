import math

import torch

from saliency_callbacks.sinks.sample_table import sample_table
from saliency_callbacks.types import ProbeView

NAMES = ("cat", "dog")


def scored(make_snapshot, **changes):
    scores = {
        "saliency/gradient/gini": torch.tensor([0.5, math.nan]),
        "saliency/probe_accuracy": torch.tensor([1.0, 0.0]),
    }
    probe = ProbeView(fingerprint="f", ids=("val/0", "val/7"), class_names=NAMES)
    return make_snapshot(**{"sample_scores": scores, "probe": probe, **changes})


def test_one_row_a_sample(make_snapshot):
    table = sample_table(scored(make_snapshot))
    assert table.name == "saliency/samples"
    assert table.columns == (
        *("moment", "epoch", "step", "sample", "label", "prediction", "confidence"),
        "saliency/gradient/drift_initial",
        "saliency/gradient/drift_previous",
        "saliency/gradient/gini",
        "saliency/probe_accuracy",
    )
    assert table.rows == (
        ("epoch 1", 1, 10, "val/0", "dog", "dog", 0.75, None, None, 0.5, 1.0),
        ("epoch 1", 1, 10, "val/7", "cat", "dog", 0.5, None, None, None, 0.0),
    )


def test_the_first_observation_has_the_columns_of_the_others(make_snapshot):
    first = scored(make_snapshot, stage="initial")
    drift = {f"saliency/gradient/drift_{which}": torch.ones(2) for which in ("initial", "previous")}
    later = scored(make_snapshot, sample_scores={**first.sample_scores, **drift})
    assert sample_table(first).columns == sample_table(later).columns


def test_classes_without_names_are_numbers_and_those_beyond_the_names_too(make_snapshot):
    position = sample_table(scored(make_snapshot)).columns.index("label")
    for changes, expected in [
        ({"probe": None}, [1, 0]),
        ({"labels": torch.tensor([1, 5])}, ["dog", "5"]),
        ({"labels": None}, [None, None]),
    ]:
        assert [row[position] for row in sample_table(scored(make_snapshot, **changes)).rows] == expected


def test_an_observation_without_scores_of_its_samples_has_no_table(make_snapshot):
    assert sample_table(make_snapshot()) is None
    assert sample_table(scored(make_snapshot, ids=())) is None
    assert sample_table(scored(make_snapshot, ids=("only one",))) is None


def test_a_table_is_named_after_what_its_tags_share(make_snapshot):
    scores = {"cue/patch/effect": torch.ones(2), "cue/patch/mass": torch.ones(2)}
    table = sample_table(make_snapshot(attributions={}, sample_scores=scores))
    assert table.name == "cue/patch/samples"
    assert table.columns[7:] == ("cue/patch/effect", "cue/patch/mass")


def test_rows_under_other_columns(make_snapshot):
    table = sample_table(scored(make_snapshot))
    assert table.under(("sample", "absent")) == [["val/0", None], ["val/7", None]]
