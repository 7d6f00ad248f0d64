from saliency_callbacks.report.headlines import headlines_of
from saliency_callbacks.report.monitors import read_monitor, with_maps
from saliency_callbacks.report.runs import read_run


def headlines(directory):
    archives = read_run(directory).archives
    monitors = [monitor for archive in archives if (monitor := read_monitor(archive, with_maps(256)))]
    return {headline["title"]: headline for headline in headlines_of(archives, monitors)}


def test_an_alarm_says_when_and_why(tmp_path, write_alarm):
    found = headlines(write_alarm(tmp_path))["The alarm for cue patch fired at epoch 2"]
    assert (found["level"], found["step"]) == ("alarm", 29)
    assert found["text"] == "The model uses the cue 'patch'. It was on in 2 of 4 evaluations, still on at the end."


def test_a_silent_alarm_says_how_close_it_came(tmp_path, write_alarm):
    found = headlines(write_alarm(tmp_path, since=None))["The alarm for cue patch stayed silent"]
    assert found["level"] == "good"
    assert "the lower bound peaked at 0.10. Firing takes 2 in a row above 0.25. A silent" in found["text"]


def test_verdicts(tmp_path, write_randomization):
    verdicts = {"gradient": "depends on the weights", "layer_cam": "depends on the weights"}
    verdicts |= {"guided_backprop": "does not depend on the weights", "flat": "undecided: constant maps"}
    found = headlines(write_randomization(tmp_path, verdicts))
    assert found["2 methods depend on what the model learned"]["level"] == "good"
    assert found["Do not judge the model by guided_backprop"]["level"] == "caution"
    assert found["Randomization test of flat"]["text"] == "Undecided: constant maps."


def test_wrong_predictions_and_empty_maps(tmp_path, write_run):
    found = headlines(write_run(tmp_path, strength=0.0, predictions=[[0, 1, 1], [0, 1, 1], [1, 1, 1], [1, 0, 1]]))
    wrong = found["2 of 3 probe samples misclassified"]["text"]
    assert wrong == (
        "1 of 3 predictions are correct at epoch 3, compared with 3 at epoch 0; the best result was 3, at epoch 0."
    )
    text = found["Some gradient maps are empty"]["text"]
    assert "in 4 of 4 observations, the most at epoch 0 (3 of 3 samples)." in text


def test_of_several_monitors_each_is_named(tmp_path, write_run):
    found = headlines(write_run(write_run(tmp_path, strength=0.0), namespace="deep"))
    of_accuracy = [title for title in found if "classified" in title]
    assert of_accuracy == [
        "3 of 3 probe samples classified correctly (deep)",
        "3 of 3 probe samples classified correctly (saliency)",
    ]
    assert "Some gradient maps are empty (saliency)" in found
