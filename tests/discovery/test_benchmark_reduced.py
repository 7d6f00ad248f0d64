"""The discovery on small networks that learned images with a cue, or without: a few runs of the benchmark, with fewer
classes. That a clean network accuses nobody holds for these runs; ``docs/evidence/discovery.md`` has the rates.
"""

from __future__ import annotations

import pytest

from benchmarks.discovery import experiments
from benchmarks.discovery.experiments import Experiment
from benchmarks.discovery.records import Record
from benchmarks.discovery.trial import run

_CLASSES = 6

pytestmark = pytest.mark.filterwarnings(
    "ignore:with only 6 classes, one class may naturally differ:saliency_callbacks.errors.SaliencyWarning"
)


@pytest.fixture(autouse=True)
def _own_random_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the series that is published."""
    monkeypatch.setattr(experiments, "_SERIES", "reduced")


def _last(data: str, *cues: str, q: float = 0.5, r: float = 0.05) -> Record:
    records = run(Experiment("reduced", data, 1, cues, q, r, n_classes=_CLASSES), 0)
    return records[-1]


@pytest.mark.parametrize(
    ("data", "cue", "kind", "is_used", "least_iou"),
    [
        ("letters", "patch", "copies", True, 0.95),
        # This network hardly uses the sticker: its effect is at the threshold.
        ("digits", "sticker", "copies", False, 0.45),
        ("scenes", "text", "places", True, 0.4),
        ("scenes", "border", "places", True, 0.95),
    ],
)
def test_a_mark_is_found_where_it_is(data: str, cue: str, kind: str, is_used: bool, least_iou: float) -> None:
    found = _last(data, cue)
    assert (found.is_found, found.rank, found.kind) == (True, 1, kind)
    assert found.is_used is is_used
    assert found.effect == pytest.approx(found.true_effect, abs=0.25)
    assert found.iou >= least_iou
    assert found.false_accusations == 0


def test_a_tint_is_named_and_used() -> None:
    found = _last("scenes", "tint", q=0.9, r=0.01)
    assert (found.is_found, found.is_used, found.rank, found.kind) == (True, True, 1, "properties")
    assert found.effect == pytest.approx(found.true_effect, abs=0.5)


@pytest.mark.parametrize("data", ["digits", "letters"])
def test_images_without_a_cue_accuse_no_class(data: str) -> None:
    found = _last(data)
    assert found.n_used == 0


def test_a_patch_that_every_class_has_accuses_no_class() -> None:
    found = _last("letters", "patch", q=0.1, r=0.1)
    assert found.n_used == 0
