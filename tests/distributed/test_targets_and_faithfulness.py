"""Two processes test how faithful maps are, and explain targets with names: they find what one finds, and agree."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.distributed import target_scenarios
from tests.distributed.test_two_processes import _assert_close

Ranks = Callable[[str], list[Any]]

pytestmark = pytest.mark.timeout(500)
_ENGINES = pytest.mark.parametrize("engine", ["ddp", "fsdp2"])


@cache
def _alone(case: str, size: int) -> dict[str, Any]:
    with warnings.catch_warnings(), TemporaryDirectory() as root:
        warnings.simplefilter("ignore")
        return target_scenarios.explained("one", Path(root), case, size)


@pytest.mark.parametrize(
    ("engine", "case"),
    [
        *(("ddp", case) for case in target_scenarios.CASES),
        *(("fsdp2", case) for case in ("contrast", "detection", "prompt")),
    ],
)
def test_two_ranks_find_what_one_process_finds(ranks: Ranks, engine: str, case: str) -> None:
    zero, one = ranks(f"explained_{engine}")
    asked = [(name, probe) for name, probe in zero if name == case]
    assert asked
    for key in asked:
        alone = _alone(case, 1 if key[1] == "few" else 5)
        assert len(alone["metrics"]) >= 20
        assert alone["curves"][0].isfinite().all(), "or nothing is compared"
        _assert_close({**zero[key], "written": alone["written"]}, alone)
        assert len(zero[key]["written"]) == len(alone["written"])
        _assert_close(zero[key]["written"], alone["written"])
        for what in ("metrics", "pins", "pinned", "curves"):
            assert repr(zero[key][what]) == repr(one[key][what]), "bit by bit"
        assert one[key]["written"] == [], "only one rank writes"


@_ENGINES
def test_an_interrupted_training_goes_on_with_its_pins(ranks: Ranks, engine: str) -> None:
    zero, one = ranks(f"interrupted_{engine}")
    assert repr(zero) == repr(one), "bit by bit"
    whole, interrupted, resumed = zero["metrics"]
    assert [*interrupted] == ["the machine is taken back"]
    assert "saliency/own/drift_initial" in whole
    _assert_close(resumed, whole)
    first = zero["pins"][0][0]
    assert first
    for pins in zero["pins"]:
        for each in pins:
            _assert_close(each, first)


@pytest.mark.parametrize("shares", [False, True])
def test_a_method_that_fails_on_one_rank_is_left_out_on_all_and_told_once(ranks: Ranks, shares: bool) -> None:
    zero, one = (found["one", shares] for found in ranks("parts_fail"))
    (told,) = zero["told"] + one["told"]
    assert "method 'own' failed (ValueError: not on this machine)" in told
    assert repr(zero["metrics"]) == repr(one["metrics"])
    for namespace, score in (("saliency", "gini"), ("faithfulness", "deletion_gain"), ("randomization", "similarity")):
        assert f"{namespace}/gradient/{score}" in zero["metrics"]
        assert f"{namespace}/own/{score}" not in zero["metrics"]


def test_a_method_that_fails_on_all_ranks_is_told_once_by_each(ranks: Ranks) -> None:
    for found in ranks("parts_fail"):
        assert len(found["all", False]["told"]) == 1
        assert "saliency/gradient/gini" in found["all", False]["metrics"]
        assert "saliency/own/gini" not in found["all", False]["metrics"]


def test_a_method_that_fails_on_noise_alone_has_no_stability(ranks: Ranks) -> None:
    zero, one = (found["noise", True] for found in ranks("parts_fail"))
    assert len(zero["told"] + one["told"]) == 1
    assert repr(zero["metrics"]) == repr(one["metrics"])
    assert "faithfulness/gradient/stability" in zero["metrics"]
    assert "faithfulness/own/deletion_gain" in zero["metrics"]
    assert "faithfulness/own/stability" not in zero["metrics"]


def test_a_tokenizer_that_fails_on_one_rank_leaves_no_other_waiting(ranks: Ranks) -> None:
    zero, one = (found["tokenizer"] for found in ranks("parts_fail"))
    assert one["told"] == []
    assert zero["told"]
    assert all("is skipped (TargetError: on rank 1: tokenizer fails" in told for told in zero["told"])
