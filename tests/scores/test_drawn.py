from __future__ import annotations

from typing import Any

import pytest

from saliency_callbacks import Storage
from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.scores.drawn import drawn

_SCORES = {
    "saliency/grad_cam/drift_previous": 0.1,
    "saliency/grad_cam/drift_initial": 0.2,
    "saliency/grad_cam/entropy": 0.3,
    "saliency/grad_cam/region_lift": 2.0,
    "saliency/grad_cam/region_lift/class_cat": 2.5,
    "saliency/probe_accuracy": 0.9,
    "saliency/probe_confidence": 0.8,
    "randomization/gradient/similarity": 0.1,
    "randomization/gradient/similarity_std": 0.01,
    "randomization/gradient/floor": 0.05,
    "cue/patch/effect": 1.3,
    "cue/patch/contrast": 1.1,
    "cue/patch/lower_bound": 1.0,
    "cue/patch/threshold": 0.25,
    "cue/patch/alarm": 1.0,
    "shortcuts/n_found": 1.0,
}


def test_few_are_those_that_a_person_acts_on() -> None:
    hidden = {tag for tag in _SCORES if tag not in drawn(_SCORES, "few")}
    assert {tag.partition("/")[2] for tag in hidden} == {
        "grad_cam/entropy",
        "grad_cam/region_lift/class_cat",
        "probe_confidence",
        "gradient/similarity_std",
    }


def test_all_of_them() -> None:
    assert drawn(_SCORES, "all") == _SCORES


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["*/entropy"], {"saliency/grad_cam/entropy"}),
        (["cue/*/[ec]*", "saliency/probe_*"], {"cue/patch/effect", "cue/patch/contrast", "saliency/probe_accuracy",
                                               "saliency/probe_confidence"}),
        (["few", "*/entropy"], set(drawn(_SCORES, "few")) | {"saliency/grad_cam/entropy"}),
        (["entropy"], set()),
        ([], set()),
    ],
)  # fmt: skip
def test_patterns_are_of_whole_tags(patterns: list[str], expected: set[str]) -> None:
    assert drawn(_SCORES, Storage(scalars=patterns).scalars).keys() == expected


@pytest.mark.parametrize("value", ["most", "*/entropy", 3, None, [3], [""], {"few": 1}])
def test_what_is_no_selection(value: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"scalars=.*; expected 'few', 'all' or a list of patterns"):
        Storage(scalars=value)
