import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from scipy.stats import spearmanr

from saliency_callbacks.callbacks.saliency.history import Frame, MethodHistory
from saliency_callbacks.callbacks.saliency.scoring import MAX_CLASSES, score
from saliency_callbacks.probe import freeze
from saliency_callbacks.scores import ranks
from saliency_callbacks.targets.link import LOGITS, Predictions
from saliency_callbacks.targets.resolution import resolve_target
from saliency_callbacks.targets.selectors import Labels
from saliency_callbacks.types import Attribution
from tests.score_tags import MAP_TAGS


def _attribution(values: torch.Tensor) -> Attribution:
    magnitude = values.abs().amax(1)
    n = len(values)
    return Attribution("m", values, magnitude, magnitude, torch.zeros(n, dtype=torch.long), torch.zeros(n))


def _after(history: MethodHistory, values: torch.Tensor) -> MethodHistory:
    return history.added(ranks(_attribution(values)), torch.ones(len(values)), Frame.of("", values.sum(1)))


@pytest.mark.parametrize(
    ("logits", "labels", "prediction", "confidence"),
    [
        ([[0.0, 2.0, 1.0]], [0], [1], [0.66524]),
        ([[0.0, 2.0, 1.0]], None, [1], [0.66524]),
        ([[2.0]], [1], [1], [0.88080]),
        ([[-2.0]], [1], [0], [0.88080]),
    ],
)
def test_predictions(logits, labels, prediction, confidence):
    found = LOGITS.predictions(torch.tensor(logits), None if labels is None else torch.tensor(labels))
    assert found[0].tolist() == prediction
    assert found[1].tolist() == pytest.approx(confidence, abs=1e-4)


def test_a_regression_predicts_no_class():
    assert LOGITS.predictions(torch.tensor([[2.0]]), None) == Predictions()
    assert LOGITS.predictions(None, torch.tensor([1])) == Predictions()


def test_the_target_by_default_is_the_label_else_the_pinned_class():
    labeled, unlabeled = freeze(torch.zeros(2, 1, 3, 3), [1, 0]), freeze(torch.zeros(2, 1, 3, 3))
    pinned = torch.tensor([4, 5])
    found = resolve_target(None, labeled, pinned)
    assert isinstance(found, Labels)
    assert found.classes.tolist() == [1, 0]
    assert resolve_target(None, unlabeled, None) == "predicted"
    assert resolve_target(None, unlabeled, pinned) is pinned
    assert resolve_target("initial_prediction", labeled, pinned) is pinned
    assert resolve_target("predicted", labeled, pinned) == "predicted"
    assert resolve_target(3, labeled, pinned) == 3
    assert resolve_target(torch.sum, labeled, pinned) is torch.sum


def test_drift_is_of_the_channel_sum_with_the_first_and_the_last():
    first, second, third = torch.randn(3, 4, 2, 5, 5, generator=torch.Generator().manual_seed(0))
    history = _after(_after(MethodHistory(), first), second)
    probe = freeze(torch.zeros(4, 2, 5, 5), [0, 1, 1, 0])
    found = score(
        {"m": _attribution(third)},
        {"m": history},
        probe,
        Predictions(torch.tensor([0, 1, 0, 0]), correct=torch.tensor([1.0, 1, 1, 0])),
        "n",
    )
    for tag, reference in (("drift_initial", first), ("drift_previous", second)):
        signed = [(one.sum(0).flatten(), other.sum(0).flatten()) for one, other in zip(third, reference, strict=True)]
        expected = [1 - spearmanr(*pair).statistic for pair in signed]
        assert found.sample_scores[f"n/m/{tag}"].tolist() == pytest.approx(expected, abs=1e-5)
        assert found.scores[f"n/m/{tag}"] == pytest.approx(sum(expected) / 4, abs=1e-5)
    assert found.scores["n/probe_accuracy"] == 0.75
    assert "n/probe_confidence" not in found.scores


def test_a_first_observation_has_no_drift():
    probe = freeze(torch.zeros(1, 1, 3, 3))
    found = score({"m": _attribution(torch.rand(1, 1, 3, 3))}, {}, probe, Predictions(), "n")
    assert set(found.scores) == {f"n/m/{tag}" for tag in MAP_TAGS}


def test_masks_give_localization():
    masks = torch.zeros(1, 4, 4, dtype=torch.bool)
    masks[:, :2] = True
    values = torch.ones(1, 1, 4, 4)
    values[:, :, :2] = 3
    probe = freeze(torch.zeros(1, 1, 4, 4), masks=masks)
    found = score({"m": _attribution(values)}, {}, probe, Predictions(), "n")
    assert found.scores["n/m/region_mass"] == pytest.approx(0.75)
    assert found.scores["n/m/region_lift"] == pytest.approx(1.5)


_REGION_SCORES = ("mass", "lift", "rank_accuracy", "pointing_game", "auc")


def _found(lit: list[float], labels: list[int] | None = None, **probe: Any) -> dict[str, float]:
    """Return the scores by class and group of maps that lie in the left half of the image to the given shares."""
    masks = torch.zeros(len(lit), 2, 4, dtype=torch.bool)
    masks[:, :, :2] = True
    values = torch.tensor(lit)[:, None, None, None] * masks[:, None] + (1 - torch.tensor(lit))[:, None, None, None] * (
        ~masks[:, None]
    )
    names = probe.pop("class_names", None)
    frozen = freeze(torch.zeros(len(lit), 1, 2, 4), labels, masks=masks, **probe)
    found = score({"m": _attribution(values)}, {}, frozen, Predictions(), "n", names)
    assert all(len(each) == len(lit) for each in found.sample_scores.values())
    assert not [tag for tag in found.sample_scores if "class_" in tag or "group_" in tag]
    partial = {tag: value for tag, value in found.scores.items() if "class_" in tag or "group_" in tag}
    masses = {tag.removeprefix("n/m/region_mass/"): value for tag, value in partial.items() if "/region_mass/" in tag}
    for name, mass in masses.items():
        assert partial[f"n/m/region_lift/{name}"] == pytest.approx(2 * mass, nan_ok=True)
    scores = {tag.split("/")[2] for tag in partial}
    assert scores == ({f"region_{name}" for name in _REGION_SCORES} if masses else set())
    assert len(partial) == len(_REGION_SCORES) * len(masses)
    return {name: pytest.approx(mass, nan_ok=True) for name, mass in masses.items()}


def test_region_scores_of_each_class_that_is_there():
    found = _found([0.2, 0.4, 0.9], [2, 0, 2])
    assert found == {"class_2": 0.55, "class_0": 0.4}


def test_region_scores_of_each_group():
    found = _found([0.2, 0.4, 0.9], groups=["bird on water", "bird on land", "bird on water"])
    assert found == {"group_bird_on_water": 0.55, "group_bird_on_land": 0.4}


def test_classes_and_groups_side_by_side():
    found = _found([0.2, 0.4], [1, 1], groups=["a", "b"])
    assert found == {"class_1": 0.3, "group_a": 0.2, "group_b": 0.4}


def test_a_map_without_a_score_does_not_count():
    assert _found([0.2, math.nan, math.nan], [0, 0, 1]) == {"class_0": 0.2, "class_1": math.nan}


def test_neither_labels_nor_groups():
    assert _found([0.2, 0.4]) == {}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["cat", "dog"], {"class_cat", "class_dog", "class_2"}),
        (["big cat/lynx", "v1.0-x_y", "dog"], {"class_big_cat_lynx", "class_v1.0-x_y", "class_dog"}),
        (["crane", "crane", "dog"], {"class_crane_0", "class_crane_1", "class_dog"}),
        (["a b", "a/b", "a_b"], {"class_a_b_0", "class_a_b_1", "class_a_b_2"}),
        (["dog", "cat", "tern", "cat"], {"class_dog", "class_cat_1", "class_tern"}),
        (["crane", "crane", "crane_0"], {"class_crane_0_", "class_crane_1", "class_crane_0"}),
        (["2", "0"], {"class_2_0", "class_0", "class_2_2"}),
        (["", "猫", "犬"], {"class_0", "class_1", "class_2"}),
    ],
)
@pytest.mark.parametrize("source", ["monitor", "dataset"])
def test_the_name_of_a_class_in_a_tag_is_its_own(names, expected, source):
    probe = freeze(torch.zeros(3, 1, 2, 2), [0, 1, 2], masks=torch.ones(3, 2, 2))
    if source == "dataset":
        probe, given = replace(probe, class_names=tuple(names)), None
    else:
        probe, given = replace(probe, class_names=("other",) * 9), names
    found = score({"m": _attribution(torch.rand(3, 1, 2, 2))}, {}, probe, Predictions(), "n", given)
    tags = {tag.rpartition("/")[2] for tag in found.scores if "/region_mass/" in tag}
    assert tags == expected


def test_a_label_that_no_name_belongs_to():
    assert set(_found([0.2, 0.4], [-1, 7], class_names=["cat", "dog"])) == {"class_-1", "class_7"}


def test_groups_whose_names_look_the_same_in_a_tag_stay_apart():
    found = _found([0.2, 0.4, 0.8], groups=["a b", "a/b", "a b"])
    assert found == {"group_a_b_0": 0.5, "group_a_b_1": 0.4}


def test_more_classes_than_a_dashboard_bears_have_no_scores_of_their_own():
    assert MAX_CLASSES == 20
    few = _found([0.5] * 40, [*range(20)] * 2)
    assert len(few) == 20
    groups = ["a"] * 21
    assert _found([0.5] * 21, [*range(21)], groups=groups) == {"group_a": 0.5}
    assert len(_found([0.5] * 2, [400, 7], class_names=[f"n{index}" for index in range(1000)])) == 2


def test_without_masks_there_are_no_scores_by_class():
    probe = freeze(torch.zeros(2, 1, 3, 3), [0, 1], groups=["a", "b"])
    found = score({"m": _attribution(torch.rand(2, 1, 3, 3))}, {}, probe, Predictions(), "n")
    assert set(found.scores) == {f"n/m/{tag}" for tag in MAP_TAGS}
