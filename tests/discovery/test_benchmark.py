"""The benchmark of the discovery: what it plants, what it takes for a find, and what it counts."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.discovery.bounds import bounds, cases
from benchmarks.discovery.cues import CUES, make_cue
from benchmarks.discovery.experiments import BOUNDED, Experiment, in_order
from benchmarks.discovery.images import load
from benchmarks.discovery.records import Record, append, read, write_csv
from benchmarks.discovery.report import report
from benchmarks.discovery.spoiling import SPOILERS
from benchmarks.discovery.training import Plant, planted, probe_rows
from benchmarks.discovery.trial import is_about
from saliency_callbacks.discovery.changes import ShiftedProperty
from saliency_callbacks.discovery.suspicion import Suspicion

_RECORD = Record(
    row="patch",
    data="letters",
    cue="patch",
    q=0.5,
    r=0.05,
    number=0,
    seed=1,
    epoch=1,
    n_images=96,
    accuracy=0.5,
    planted_class=2,
    is_found=True,
    is_used=True,
    rank=1,
    kind="copies",
    what="the same pixels",
    iou=1.0,
    share=0.5,
    effect=0.8,
    lower_bound=0.7,
    control=0.1,
    true_effect=0.75,
    true_bound=0.7,
    n_suspicions=1,
    n_used=1,
    false_accusations=0,
    other_used="",
    seconds=2.0,
    pass_seconds=0.5,
)
_CLEAN = replace(
    _RECORD, row="clean", cue="", planted_class=-1, is_found=False, is_used=False, n_suspicions=0, n_used=0
)


@pytest.mark.parametrize("name", CUES)
def test_a_cue_changes_images_where_it_says(name: str) -> None:
    draws = torch.Generator().manual_seed(0)
    cue = make_cue(name, 3, 32, draws)
    images = 0.2 + 0.5 * torch.rand(6, 3, 32, 32, generator=draws)
    changed, masks = cue.insert(images, draws)
    differs = (changed != images).any(dim=1)
    assert float(changed.min()) >= 0
    assert float(changed.max()) <= 1
    if masks is None:
        assert cue.names
        assert cue.is_everywhere
        assert float(differs.double().mean()) > 0.9
    else:
        assert not (differs & ~masks).any() or name in {"text", "stamp"}, "all but the faint rim of letters"
        assert differs[masks].double().mean() > 0.9


def test_cues_are_planted_at_their_rates_in_one_class() -> None:
    data = planted(Experiment("test", "digits", 1, ("patch",), 0.9, 0.1), 0)
    (plant,) = data.plants
    own = data.labels == plant.class_index
    assert float(plant.bears[own].double().mean()) == pytest.approx(0.9, abs=0.1)
    assert float(plant.bears[~own].double().mean()) == pytest.approx(0.1, abs=0.05)
    assert plant.masks is not None
    inside = data.images[:, 0][plant.masks].view(len(data.labels), -1)
    assert torch.equal((inside == inside[plant.bears][0]).all(dim=1), plant.bears)


def test_two_runs_share_no_digit_and_repeat_exactly() -> None:
    (first, _), (second, _), (again, _) = (load("digits", "test", number) for number in (0, 1, 0))
    assert torch.equal(first, again)
    assert not {image.numpy().tobytes() for image in first} & {image.numpy().tobytes() for image in second}


@pytest.mark.parametrize("name", ["letters", "scenes"])
def test_every_run_draws_its_own_images(name: str) -> None:
    (first, labels), (second, _) = (load(name, "test", number) for number in (0, 1))
    assert labels.bincount().tolist() == [96] * (int(labels.max()) + 1)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("name", SPOILERS)
def test_a_spoiled_copy_is_no_exact_copy_and_still_alike(name: str) -> None:
    draws = torch.Generator().manual_seed(0)
    images = torch.rand(1, 3, 8, 8, generator=draws).repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
    images = images.expand(5, 3, 32, 32)
    spoiled = SPOILERS[name](images, draws)
    rms = (spoiled - images).square().mean(dim=(1, 2, 3)).sqrt()
    assert float(rms.mean()) > 0.015
    if name != "random crops":
        assert (rms < 0.1).all()


def test_the_probe_has_at_most_96_images_a_class() -> None:
    data = planted(Experiment("test", "digits", 1), 0)
    rows = probe_rows(data)
    counts = data.labels[rows].bincount()
    assert counts.tolist() == data.labels.bincount().clamp(max=96).tolist()
    assert len(rows.unique()) == len(rows)


def _suspicion(**given: Any) -> Suspicion:
    facts: dict[str, Any] = {
        "class_index": 2,
        "class_name": "2",
        "kind": "copies",
        "what": "the same pixels",
        "share": 0.5,
        "share_elsewhere": 0.0,
        "elsewhere": "0",
        "counts": (1, 2, 0, 2),
        "p_value": 0.0,
        "effect": 1.0,
        "lower_bound": 1.0,
        "control": 0.0,
        "control_bound": 1.0,
        "statistic": "effect",
        "is_used": True,
        "region": torch.ones(32, 32, dtype=torch.bool),
        "bearers": ("1",),
        "change": ShiftedProperty("brightness", 0.1),
    }
    return Suspicion(**{**facts, **given})


def _plant(name: str) -> Plant:
    cue = make_cue(name, 3, 32, torch.Generator().manual_seed(0))
    bears = torch.tensor([False, True])
    _, masks = cue.insert(torch.zeros(2, 3, 32, 32), torch.Generator().manual_seed(0))
    return Plant(name, cue, 2, bears, masks)


def test_a_find_is_of_the_class_and_overlaps_the_cue_in_its_first_bearer() -> None:
    plant = _plant("patch")
    assert is_about(_suspicion(), plant)
    assert not is_about(_suspicion(class_index=1), plant)
    assert not is_about(_suspicion(bearers=("0",)), plant), "that image does not bear it"
    assert plant.masks is not None
    assert not is_about(_suspicion(region=~plant.masks[1]), plant)


def test_a_find_of_a_property_names_it() -> None:
    plant = _plant("brightness")
    assert is_about(_suspicion(kind="properties", what="more brightness", region=None), plant)
    assert not is_about(_suspicion(kind="properties", what="less brightness", region=None), plant)
    assert not is_about(_suspicion(what="more brightness"), plant)


def test_a_frame_may_be_found_as_pixels_or_as_a_property() -> None:
    plant = _plant("border")
    assert is_about(_suspicion(kind="properties", what="a darker border", region=None), plant)
    assert is_about(_suspicion(region=torch.ones(32, 32, dtype=torch.bool)), plant)
    assert not is_about(_suspicion(kind="properties", what="more brightness", region=None), plant)


def test_a_run_that_is_repeated_replaces_the_recorded_one(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    append(path, [_RECORD, replace(_RECORD, epoch=4)])
    append(path, [replace(_RECORD, effect=2.0)])
    assert read(path) == [replace(_RECORD, effect=2.0), replace(_RECORD, epoch=4)]


def test_the_table_of_all_records_reads_back(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", [_RECORD, _CLEAN])
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["row"] for row in rows] == ["patch", "clean"]
    assert (rows[0]["is_found"], rows[0]["effect"], rows[1]["cue"]) == ("1", "0.8", "")


def test_bounds_are_met_only_by_enough_runs_without_a_failure() -> None:
    good = [replace(_RECORD, number=number) for number in range(10)]
    clean = [replace(_CLEAN, number=number) for number in range(100)]

    def met(records: list[Record], what: str) -> bool | None:
        (line,) = (line for line in bounds(cases(records)) if line.what.startswith(what))
        return line.is_met

    found, innocent = "patch, found", "clean and evenly"
    assert met(good, found) is True
    assert met(good[:9], found) is None
    assert met([*good, replace(_RECORD, number=10, is_found=False)], found) is False
    late = [replace(_RECORD, number=10, is_found=False), replace(_RECORD, number=10, epoch=4)]
    assert met([*good, *late], found) is False, "found at the second evaluation alone"
    assert met([*good, *late], "patch, used") is True
    assert met(clean, innocent) is True
    assert met(clean[:99], innocent) is None
    assert met([*clean, replace(_CLEAN, number=100, false_accusations=1)], innocent) is False


@pytest.mark.parametrize(("bias", "noise", "is_met"), [(0.1, 0.0, True), (0.0, 1.0, False)])
def test_effects_are_compared_with_those_of_the_true_cue(bias: float, noise: float, is_met: bool) -> None:
    effects = [0.1 * number for number in range(12)]
    records = [
        replace(_RECORD, number=number, effect=effect + bias, true_effect=effect + noise * (-1) ** number)
        for number, effect in enumerate(effects)
    ]
    (line,) = (line for line in bounds(cases(records)) if line.what.startswith("effect in the list"))
    assert line.is_met is is_met
    if is_met:
        assert line.reached == "r = 1.000, median bias +0.10, 12 searches"


def test_the_report_names_every_miss_and_every_accusation() -> None:
    missed = replace(_RECORD, number=1, is_found=False, is_used=False, rank=0, iou=-1.0)
    accused = replace(_CLEAN, false_accusations=1, other_used="3: copies, the same pixels, 0.60")
    page = report([_RECORD, missed, accused])
    assert "- patch, letters, run 1, q = 0.5, patch in class 2: not found" in page
    assert "- clean, letters, run 0, epoch 1: 3: copies, the same pixels, 0.60" in page
    assert "| clean and evenly planted, runs that accuse a class | 0 of at least 100 | 1 of 1 | **no** |" in page


def test_bounded_experiments_have_the_runs_that_their_bounds_need() -> None:
    counts: dict[str, int] = {}
    for experiment in BOUNDED:
        counts[experiment.row] = counts.get(experiment.row, 0) + experiment.n_runs
    assert counts.pop("clean") + counts.pop("planted evenly") >= 100
    assert all(count >= (5 if row.startswith("sticker, ") else 10) for row, count in counts.items())
    runs = in_order()
    assert len(runs) == len({(experiment, number) for experiment, number in runs})
