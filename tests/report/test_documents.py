import pytest

from saliency_callbacks.report.documents import documents_of
from saliency_callbacks.report.facts import facts_of
from saliency_callbacks.report.runs import read_run
from saliency_callbacks.sinks import DiskSink
from saliency_callbacks.types import Cell, Snapshot, Table


def test_the_newest_table_of_a_tag_and_the_facts(tmp_path, write_randomization):
    archives = read_run(write_randomization(tmp_path, {"gradient": "depends on the weights"})).archives
    (document,) = documents_of(archives)
    assert (document["tag"], document["moment"]) == ("randomization/verdicts", "the end")
    assert document["blocks"][0]["table"]["rows"][0][1] == [["text", "depends on the weights"]]
    assert ["verdicts · gradient", "depends on the weights"] in facts_of(archives[0])["rows"]


def test_a_table_among_the_texts_of_version_0_1_is_shown_as_one(tmp_path):
    text = "| class | n |\n|---|---|\n| `<b>` | 3 |\n| *all* | 3 |\n\nworst group 25.0%"
    table = Table(
        ("class", "n"), ((Cell("<b>", "name"), Cell("3")), (Cell("all", "emphasis"), Cell("3"))), "worst group 25.0%"
    )
    assert table.markdown() == text
    facts = {"epoch": 0, "step": 9, "stage": "fit", "attributions": {}}
    DiskSink(tmp_path / "then").write(Snapshot(**facts, texts={"cue/x/groups": text}), {})
    DiskSink(tmp_path / "now").write(Snapshot(**facts, tables={"cue/x/groups": table}), {})
    then, now = (documents_of(read_run(tmp_path / name).archives) for name in ("then", "now"))
    assert then == now
    assert [*now[0]["blocks"][0]] == ["table"]


def test_a_name_is_shown_as_it_is(tmp_path):
    table = Table(("word",), ((Cell("**a**|`b`", "name"),), (Cell("**c**"),)))
    DiskSink(tmp_path).write(Snapshot(0, 9, "fit", {}, tables={"tokens/a/top_tokens": table}), {})
    (document,) = documents_of(read_run(tmp_path).archives)
    assert document["blocks"][0]["table"]["rows"] == [[[["code", "**a**|`b`"]]], [[["text", "**c**"]]]]


def test_the_newest_table_of_a_tag_wins_over_an_older_text(tmp_path):
    sink = DiskSink(tmp_path)
    sink.write(Snapshot(0, 9, "fit", {}, texts={"cue/x/groups": "| a |\n|---|\n| 1 |"}), {})
    sink.write(Snapshot(1, 19, "fit", {}, tables={"cue/x/groups": Table(("a",), ((Cell("2"),),))}), {})
    (document,) = documents_of(read_run(tmp_path).archives)
    assert document["moment"] == "epoch 1"
    assert document["blocks"][0]["table"]["rows"] == [[[["text", "2"]]]]


def test_columns_of_numbers_are_told_from_others_and_written_with_minus_signs_and_dashes(tmp_path):
    columns = ("class", "score", "effect", "share", "word")
    rows = [
        ("1", "a", "0.50 ± 0.10", "40%", "nan"),
        ("2", "b", "nan ± nan", "nan", "x"),
        ("3", "", "0.2 ± nan", "−1", ""),
        ("4", "a-b", "-0.13 (-0.5 to 0.2)", "-1.5%", ""),
    ]
    cells = tuple((Cell(name, "name"), *map(Cell, rest)) for name, *rest in rows)
    DiskSink(tmp_path).write(Snapshot(0, 9, "fit", {}, tables={"t": Table(columns, cells)}), {})
    (document,) = documents_of(read_run(tmp_path).archives)
    table = document["blocks"][0]["table"]
    assert table["numeric"] == [False, False, True, True, False]
    texts = [["".join(text for _, text in cell) for cell in row] for row in table["rows"]]
    assert [row[2:4] for row in texts[:3]] == [["0.50 ± 0.10", "40%"], ["–", "–"], ["0.2", "−1"]]
    assert texts[3][1:4] == ["a-b", "−0.13 (−0.5 to 0.2)", "−1.5%"]


def _write_test(root, name, scores, **facts):
    found = {f"{name}/gradient/{score}": value for score, value in scores.items()}
    snapshot = Snapshot(
        2,
        step=9,
        stage="fit",
        attributions={},
        scores=found,
        metadata={"methods": {"gradient": "Gradient()"}, **facts},
    )
    DiskSink(root / name).write(snapshot, {})


def _cells(table):
    return [cell[0][1] for cell in table["table"]["rows"][0]]


_RANDOMIZED = {"similarity": 0.5, "floor": -0.001, "calibrated": 0.1}
_FAITHFUL = {"deletion_gain": 0.7, "deletion_gain_lower": 0.5, "deletion_gain_upper": 0.9, "insertion_gain": -0.001}


def test_how_far_each_method_can_be_trusted_is_one_table(tmp_path):
    _write_test(tmp_path, "randomization", _RANDOMIZED, verdicts={"gradient": "depends on the weights"})
    _write_test(tmp_path, "faithfulness", {**_FAITHFUL, "stability": float("nan")})
    (document,) = documents_of(read_run(tmp_path).archives)
    assert (document["title"], document["moment"]) == ("How far each method can be trusted", "epoch 2")
    table, caution = document["blocks"]
    assert [head[0][1] for head in table["table"]["head"]][1:4] == ["similarity", "floor", "verdict"]
    verdict = "depends on the weights"
    assert _cells(table) == ["gradient", "0.50", "0.00", verdict, "0.70 (0.50 to 0.90)", "0.00", "–"]
    assert table["table"]["numeric"] == [False, True, True, False, True, True, True]
    assert "are of the test randomization" in caution["paragraph"][0][1]
    assert "None of this shows that a map is right" in caution["paragraph"][0][1]
    (alone,) = (one for one in read_run(tmp_path).archives if one.name == "randomization")
    assert documents_of([alone]) == []


def test_numbers_of_several_tests_are_not_mixed(tmp_path):
    for name in ("faithfulness", "of_class_3"):
        _write_test(tmp_path, name, {**_FAITHFUL, "deletion_gain": len(name) / 100})
    for name in ("randomization", "randomization_of_class_3"):
        _write_test(tmp_path, name, _RANDOMIZED)
    documents = documents_of(read_run(tmp_path).archives)
    assert [one["title"].rpartition(": ")[2] for one in documents] == ["faithfulness", "of_class_3"]
    tables = [_cells(one["blocks"][0]) for one in documents]
    assert [row[1] for row in tables] == ["0.12 (0.50 to 0.90)", "0.10 (0.50 to 0.90)"]
    assert all(len(row) == 4 for row in tables)


def test_the_summary_of_a_test_is_not_shown_beside_the_table_of_methods(tmp_path):
    _write_test(tmp_path, "faithfulness", {**_FAITHFUL, "undefined": 0.0})
    table = Table(("method", "deletion gain", "undefined"), ((Cell("gradient", "name"), Cell("0.70"), Cell("0")),))
    tables = {"faithfulness/summary": table, "faithfulness/notes": table}
    metadata = {"methods": {"gradient": "Gradient()"}}
    scores = {f"faithfulness/gradient/{score}": value for score, value in _FAITHFUL.items()}
    end = Snapshot(2, 9, "final", {}, scores=scores, metadata=metadata, tables=tables)
    DiskSink(tmp_path / "faithfulness").write(end, {})
    archives = read_run(tmp_path).archives
    assert [one["tag"] for one in documents_of(archives)] == ["methods/faithfulness", "faithfulness/notes"]
    # What another callback calls a summary is not in the table.
    DiskSink(tmp_path / "other").write(Snapshot(2, 9, "final", {}, tables={"other/summary": table}), {})
    assert "other/summary" in [one["tag"] for one in documents_of(read_run(tmp_path).archives)]


def test_the_summary_of_a_test_without_scores_is_shown(tmp_path):
    tables = {"faithfulness/summary": Table(("method",), ((Cell("gradient", "name"),),))}
    DiskSink(tmp_path / "faithfulness").write(Snapshot(2, 9, "final", {}, tables=tables), {})
    assert [one["tag"] for one in documents_of(read_run(tmp_path).archives)] == ["faithfulness/summary"]


@pytest.mark.parametrize(("undefined", "told"), [(0.0, None), (1 / 3, "33.3%"), (1.0, "100%")])
def test_the_table_of_methods_tells_of_samples_without_a_gain(tmp_path, undefined, told):
    _write_test(tmp_path, "faithfulness", {**_FAITHFUL, "undefined": undefined})
    (document,) = documents_of(read_run(tmp_path).archives)
    table, note = document["blocks"]
    assert ("undefined" in str(table["table"]["head"])) == (told is not None)
    assert ("Undefined is" in note["paragraph"][0][1]) == (told is not None)
    if told is not None:
        assert _cells(table)[-1] == told
        assert table["table"]["numeric"][-1]


_COSTS = {"own": {"forwards": 65.5, "backwards": 0.0, "seconds": 0.1}}


def test_what_methods_cost_that_run_the_model_themselves_is_last_in_the_table(tmp_path):
    scores = {"faithfulness/gradient/deletion_gain": 0.5, "faithfulness/own/deletion_gain": 0.25}
    methods = {"methods": {"gradient": "Gradient()", "own": "ExternalMethod('own')"}}
    for name, costs in (("faithfulness", {"own": {"forwards": 3, "seconds": 1}}), ("saliency", _COSTS)):
        found = scores if name == "faithfulness" else {}
        snapshot = Snapshot(2, 9, "fit", {}, scores=found, metadata={**methods, "external": costs})
        DiskSink(tmp_path / name).write(snapshot, {})
    (document,) = documents_of(read_run(tmp_path).archives)
    table, note = document["blocks"]
    assert [head[0][1] for head in table["table"]["head"]][-3:] == ["stability", "forwards", "backwards"]
    cells = [[cell[0][1] for cell in row] for row in table["table"]["rows"]]
    # What the test itself has met counts; an earlier version did not count backwards.
    assert [(row[0], row[-2], row[-1]) for row in cells] == [("gradient", "–", "–"), ("own", "3", "–")]
    assert table["table"]["numeric"][-2:] == [True, True]
    assert note["paragraph"][0][1].endswith("the others share passes.")


def test_they_have_a_table_of_their_own_where_no_method_is_tested(tmp_path):
    sink = DiskSink(tmp_path / "saliency")
    sink.write(Snapshot(2, 9, "fit", {}, scores={}, metadata={"external": _COSTS}), {})
    sink.write(Snapshot(2, 9, "final", {}, scores={}, metadata={}), {})
    (document,) = documents_of(read_run(tmp_path).archives)
    assert (document["title"], document["moment"]) == ("What methods of other libraries cost", "epoch 2")
    assert _cells(document["blocks"][0]) == ["own", "65.5", "0"]
