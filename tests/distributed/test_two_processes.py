"""Trainings of two processes, by DDP and by FSDP2: they find what one finds, agree, and end together."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.distributed import scenarios
from tests.distributed.launch import launch

Ranks = Callable[[str], list[Any]]

pytestmark = pytest.mark.timeout(500)
_ENGINES = pytest.mark.parametrize("engine", ["ddp", "fsdp2"])
_PROBES = pytest.mark.parametrize(("probe", "size"), [("all", 5), ("shared", 5), ("few", 1)])


@cache
def _alone(size: int) -> dict[str, Any]:
    """Return what one process finds."""
    with warnings.catch_warnings(), TemporaryDirectory() as root:
        warnings.simplefilter("ignore")
        return scenarios.found("one", Path(root), size)


def _assert_close(one: Any, other: Any) -> None:
    if isinstance(one, Tensor):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5, equal_nan=True)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            _assert_close(one[key], other[key])
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other)
        for first, second in zip(one, other, strict=True):
            _assert_close(first, second)
    elif isinstance(one, float):
        assert one == pytest.approx(other, rel=1e-4, abs=1e-5, nan_ok=True)
    else:
        assert one == other


@_ENGINES
@_PROBES
def test_rank_zero_finds_what_one_process_finds(ranks: Ranks, engine: str, probe: str, size: int) -> None:
    _assert_close(ranks(f"found_{engine}")[0][probe], _alone(size))


@_ENGINES
@_PROBES
def test_all_ranks_find_the_same_and_only_one_writes(ranks: Ranks, engine: str, probe: str, size: int) -> None:
    zero, one = (found[probe] for found in ranks(f"found_{engine}"))
    assert len(zero["metrics"]) > 20
    # Bit by bit, as representations tell; NaN is not equal to itself.
    for what in ("metrics", "similarities", "cascade", "effects", "groups", "pinned"):
        assert repr(zero[what]) == repr(one[what])
    assert len(zero["stages"]) == 9, "three callbacks at three moments: one has nothing to say at the end"
    assert one["stages"] == []
    # The function of an alarm that goes on is for rank zero, too.
    assert (zero["told"], one["told"]) == (1, 0)


@_ENGINES
def test_callbacks_that_are_explained_together_find_what_they_find_alone(ranks: Ranks, engine: str) -> None:
    """All ranks decide alike, also where one of them has another mind."""
    for found in ranks(f"together_{engine}"):
        for name in ("both", "reversed", "rank 0 alone asks"):
            assert repr(found[name]["SaliencyMonitor"]) == repr(found["monitor"]["SaliencyMonitor"])
            assert repr(found[name]["RandomizationTest"]) == repr(found["test"]["RandomizationTest"])
        assert [found[name]["counts"][2:] for name in ("both", "reversed", "shared")] == [[2, 2]] * 3
        assert found["rank 0 alone asks"]["counts"] == [1] * 6


def test_sharded_weights_are_drawn_as_those_of_one_process(ranks: Ranks, tmp_path: Path) -> None:
    """Permuted ones too, and those that no module initializes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        alone = scenarios.randomized("one", tmp_path)
    for found in ranks("randomized_fsdp2"):
        _assert_close(found, alone)


@_ENGINES
def test_ranks_keep_random_copies_together(ranks: Ranks, engine: str) -> None:
    zero, one = ranks(f"kept_{engine}")
    for kept, anew in (("kept", "anew"), ("kept shared", "anew shared")):
        # Of four states at first, and of the trained one alone from then on.
        assert zero[kept]["passes"] == [4, 1, 1, 1]
        assert zero[anew]["passes"] == [3, 3, 3, 3]
        _assert_close(zero[kept]["scores"], zero[anew]["scores"])
        assert repr(zero[kept]["last"]) == repr(one[kept]["last"]), "bit by bit"
    # All of them see that a part of the copies is made of the trained weights.
    assert zero["raw"]["passes"][1:] == [4, 3, 3]


@cache
def _texts_alone(size: int) -> dict[str, Any]:
    with warnings.catch_warnings(), TemporaryDirectory() as root:
        warnings.simplefilter("ignore")
        return scenarios.found_in_texts("one", Path(root), size)


@_PROBES
def test_ranks_find_in_texts_what_one_process_finds(ranks: Ranks, probe: str, size: int) -> None:
    zero, one = (found[probe] for found in ranks("texts_ddp"))
    _assert_close(zero, _texts_alone(size))
    for what in ("metrics", "similarities", "effects"):
        assert repr(zero[what]) == repr(one[what])
    assert zero["maps"]
    assert one["maps"] == [], "only one rank writes"


@cache
def _streamed_alone() -> dict[str, Any]:
    with warnings.catch_warnings(), TemporaryDirectory() as root:
        warnings.simplefilter("ignore")
        return scenarios.streamed("one", Path(root))


@_ENGINES
@pytest.mark.parametrize("probe", ["all", "shared", "broken"])
def test_ranks_keep_of_a_large_probe_what_one_process_keeps(ranks: Ranks, engine: str, probe: str) -> None:
    zero, one = (found[probe] for found in ranks(f"streamed_{engine}"))
    alone = _streamed_alone()
    assert [len(positions) for positions in alone["positions"]] == [37, 37]
    assert [int((effects != 0).sum()) for effects in alone["effects"]] == [34, 34], "of other classes"
    _assert_close(zero, alone)
    assert repr(zero["metrics"]) == repr(one["metrics"]), "bit by bit"
    assert "cue/patch/lower_bound" in zero["metrics"]
    assert one["positions"] == [], "only one rank writes"


@cache
def _discovered_alone() -> dict[str, Any]:
    with warnings.catch_warnings(), TemporaryDirectory() as root:
        warnings.simplefilter("ignore")
        return scenarios.discovered("one", Path(root))


@_ENGINES
@pytest.mark.parametrize("probe", ["all", "shared"])
def test_ranks_search_together_and_find_what_one_process_finds(ranks: Ranks, engine: str, probe: str) -> None:
    zero, one = (found[probe] for found in ranks(f"discovered_{engine}"))
    alone = _discovered_alone()
    assert len(alone["suspicions"]) == 1
    assert alone["metrics"]["shortcuts/n_used"] == 1
    _assert_close(zero, alone)
    for what in ("metrics", "suspicions", "effects", "gradients"):
        assert repr(zero[what]) == repr(one[what]), "bit by bit"
    assert all(map(torch.equal, zero["gradients"], one["gradients"]))
    assert (zero["told"], one["told"]) == (1, 0)
    assert one["stages"] == []


@_ENGINES
def test_ranks_agree_that_a_search_is_late(ranks: Ranks, engine: str) -> None:
    for found in ranks(f"discovered_{engine}"):
        assert found["late"]["suspicions"] == []


@_ENGINES
def test_groups_are_counted_once(ranks: Ranks, engine: str) -> None:
    for found in ranks(f"found_{engine}"):
        # 37 samples, without and with the cue: none of those that a distributed sampler repeats.
        assert found["all"]["groups"][1].sum() == 2 * 37


@pytest.mark.parametrize(
    ("engine", "strategy"), [("ddp", "ddp"), ("ddp", "unused"), ("ddp", "static"), ("fsdp2", "fsdp2")]
)
def test_training_is_bit_identical_on_every_rank(ranks: Ranks, engine: str, strategy: str) -> None:
    for found in ranks(f"identity_{engine}"):
        is_same = found[strategy]
        assert is_same["observed"]
        if "failing" in is_same:
            assert is_same["failing"]
            assert not is_same["another training"]


@_ENGINES
def test_a_resumed_training_goes_on_as_if_it_had_not_ended(ranks: Ranks, engine: str) -> None:
    found = ranks(f"resumed_{engine}")
    for one in found:
        whole, resumed = one["metrics"]
        assert "saliency/gradient/drift_initial" in whole
        _assert_close(resumed, whole)
        assert one["observations"] == [4, 4]
        assert not any(map(math.isnan, one["best"]))
    assert found[0]["best"] == found[1]["best"]
    # One directory a run, which rank zero writes.
    assert found[0]["indices"] == [
        f"{engine}-{name}/version_0/saliency/index.json" for name in ("first", "second", "whole")
    ]


@pytest.mark.parametrize("probe", ["all", "shared"])
def test_all_ranks_compute_as_rank_zero_has_measured(ranks: Ranks, probe: str) -> None:
    zero, one = (found[probe] for found in ranks("fast_ddp"))
    assert zero["arithmetics"] == one["arithmetics"] == ["bfloat16, channels last"] * 3
    assert len(zero["tried"]) == 4
    assert one["tried"] == ["bfloat16, channels last"], "it measures nothing"
    assert zero["written"] == ["bfloat16, channels last"]
    assert repr(zero["metrics"]) == repr(one["metrics"]), "bit by bit"


def test_sharded_weights_compute_as_they_are_trained(ranks: Ranks) -> None:
    for found in ranks("fast_fsdp2"):
        assert found["all"]["arithmetics"] == ["unchanged"] * 3
        assert found["all"]["tried"] == ["unchanged"]


def test_what_fails_on_one_rank_fails_on_all(ranks: Ranks) -> None:
    zero, one = ranks("one_fails")
    for name in ("passes", "passes of a part", "randomization"):
        assert zero[name] == ("RuntimeError", "ValueError on rank 1: cannot be explained here")
        assert one[name] == ("ValueError", "cannot be explained here")
    assert zero["target"] == ("RuntimeError", "ValueError on rank 1: only here")
    assert zero["sink"] == ("OSError", "disk full")
    assert one["sink"] == ("RuntimeError", "OSError on rank 0: disk full")


def test_what_is_skipped_is_told_by_rank_zero(ranks: Ranks) -> None:
    zero, one = ranks("one_fails")
    status, told = zero["passes, warned"]
    assert status == "went on"
    assert "is skipped (RuntimeError: ValueError on rank 1: cannot be explained here)" in told
    assert one["passes, warned"] == ("went on", "")
    assert zero["observed"] == one["observed"] == ("", "0")


def test_a_wrong_setting_on_one_rank_is_an_error_on_all(ranks: Ranks) -> None:
    zero, one = ranks("one_fails")
    assert zero["wrong setting"][0] == one["wrong setting"][0] == "TargetError"
    assert zero["wrong setting"][1].startswith("on rank 1: target [99] is out of range")


def test_ranks_with_datasets_of_their_own_explain_that_of_rank_zero(ranks: Ranks) -> None:
    zero, one = ranks("different_data")
    assert zero["fingerprint"] == one["fingerprint"]
    assert repr(zero["metrics"]) == repr(one["metrics"])
    # And the groups are those of both: 20 and 31 samples.
    assert zero["count"] == one["count"] == 2 * (20 + 31)


@pytest.mark.usefixtures("_fsdp2")
def test_a_rank_that_fails_inside_a_collective_takes_all_down_soon(tmp_path: Path) -> None:
    status, output = launch(tmp_path, ["come_apart"], timeout=120)
    assert status == 1, output
    assert "RankError: rank 1 (ValueError: cannot be explained here)" in (tmp_path / "apart.1.txt").read_text()
    assert "RankError" in (tmp_path / "apart.0.txt").read_text()
