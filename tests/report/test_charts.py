import pytest

from saliency_callbacks.report.charts import charts_of, split_tag
from saliency_callbacks.report.runs import read_run


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("saliency/gradient/entropy", ("entropy", "gradient")),
        ("my/own/gradient/entropy", ("entropy", "gradient")),
        ("saliency/gradient/region_mass/class_a/b", ("region_mass · gradient", "class a/b")),
        ("saliency/gradient/region_mass/group_x", ("region_mass · gradient", "group x")),
        ("saliency/probe_accuracy", ("probe", "accuracy")),
        ("cue/patch/lower_bound", ("effect", "lower bound")),
        ("cue/gradient", ("gradient", "gradient")),
        ("plain", ("plain", "plain")),
    ],
)
def test_tags(tag, expected):
    assert split_tag(tag, ["gradient"]) == expected


def test_one_chart_a_metric_with_one_line_a_method(tmp_path, write_run):
    charts = {chart["key"]: chart for chart in charts_of(read_run(write_run(tmp_path)).archives[0])}
    assert set(charts) == {"drift_previous", "probe"}
    lines = {series["name"]: series["points"] for series in charts["drift_previous"]["series"]}
    assert lines["gradient"] == [[9, 0.0], [19, 0.1], [29, 0.2], [39, 0.3]]
    assert set(lines) == {"gradient", "grad_cam"}


def test_the_chart_of_an_alarm_has_its_threshold_and_when_it_went_on(tmp_path, write_alarm):
    (chart,) = charts_of(read_run(write_alarm(tmp_path)).archives[0])
    assert (chart["threshold"], chart["since"]) == (0.25, [29])
    assert [series["name"] for series in chart["series"]] == ["effect", "lower bound"]


def test_scores_that_are_not_finite_leave_a_gap(tmp_path, write_run):
    write_run(tmp_path, scores={"saliency/gradient/entropy": float("nan"), "saliency/gradient/gini": 0.5})
    assert [chart["key"] for chart in charts_of(read_run(tmp_path).archives[0])] == ["gini"]
