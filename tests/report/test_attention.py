import torch

from saliency_callbacks.report.attention import rank_samples
from saliency_callbacks.report.monitors import read_monitor, with_maps
from saliency_callbacks.report.runs import read_run


def ranked(directory):
    found = rank_samples(read_monitor(read_run(directory).archives[0], with_maps(256)))
    return {item["sample"]: [reason["text"] for reason in item["reasons"]] for item in found}


def test_a_lost_sample_comes_before_one_that_flipped_to_its_label(tmp_path, write_run):
    write_run(tmp_path, predictions=[[0, 0, 1], [0, 0, 1], [0, 1, 0], [0, 1, 0]])
    assert ranked(tmp_path) == {
        2: ["Predicted as cat (80% confidence) but labeled dog; it was correct before."],
        1: ["The prediction changed from cat to dog at epoch 2."],
    }


def test_nothing_to_say(tmp_path, write_run):
    assert ranked(write_run(tmp_path)) == {}


def test_the_map_that_moved_most_is_named_with_its_epoch(tmp_path, write_run):
    values = torch.tensor([0.1, 0.9, 0.1])
    write_run(tmp_path, sample_scores={"saliency/gradient/drift_previous": values})
    assert ranked(tmp_path) == {1: ["Its gradient map changed most at epoch 1: drift 0.90, against a median of 0.10."]}


def test_a_mask_is_missed_where_no_map_shows_more_of_it_than_chance_would(tmp_path, write_run):
    scores = {
        # Small masks, which hold little of any map: mass alone says nothing.
        "saliency/gradient/region_mass": torch.tensor([0.02, 0.14, 0.02]),
        "saliency/gradient/region_lift": torch.tensor([0.4, 2.3, float("nan")]),
        "saliency/grad_cam/region_lift": torch.tensor([0.6, 0.3, float("nan")]),
    }
    write_run(tmp_path, sample_scores=scores)
    assert ranked(tmp_path) == {
        0: ["Its grad_cam map puts less on the mask than chance would at epoch 3 (lift 0.60; no method does better)."]
    }


def test_maps_that_show_nothing(tmp_path, write_run):
    write_run(tmp_path, strength=0.0)
    assert ranked(tmp_path)[0] == ["Its gradient map is empty at epoch 3."]
