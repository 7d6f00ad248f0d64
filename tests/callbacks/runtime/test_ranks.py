"""What ranks do together, as far as one process can tell; tests/distributed/ has two."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from saliency_callbacks.callbacks.runtime.ranks import ALONE, Ranks, share_of
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.errors import ExternalMethodError, RankError, TargetError
from saliency_callbacks.methods import CaptumMethod, ExternalMethod, GradCamMethod
from saliency_callbacks.methods.resolution import resolve_methods


@given(st.integers(1, 40), st.integers(1, 9))
def test_each_sample_is_the_own_of_one_rank_and_all_run_equally_many(n_samples, size):
    shares = [share_of(n_samples, size, rank) for rank in range(size)]
    assert [number for share in shares for number in share.own] == list(range(n_samples))
    assert len({len(share.rows) for share in shares}) == 1
    # No more than need be.
    assert (len(shares[0].rows) - 1) * size < n_samples
    for share in shares:
        assert set(share.own) <= set(share.rows) <= set(range(n_samples))
        values = torch.tensor(list(share.rows))
        assert share.kept(values).tolist() == list(share.own)


class _Other:
    """Another process: rank one for rank zero, or the other way round.

    Args:
        number: Which of the two asks.
        votes: What the other one says to each decision, in turn.
        reports: What it sends wherever everybody tells something.
        has_sharded_weights: Whether each of the two has a part of the weights only.
        has_own_data: Whether each of them trains on data of its own.
    """

    size = 2

    def __init__(self, number=0, votes=(), reports=(), *, has_sharded_weights=False, has_own_data=True):
        self.number, self.votes, self.reports = number, list(votes), reports
        self.has_sharded_weights, self.has_own_data = has_sharded_weights, has_own_data

    def do_all(self, decision, *, patience=None):
        return decision and self.votes.pop(0)

    def from_all(self, value):
        return [value, *self.reports]


def _pair(votes, reports=()):
    """Return rank zero of two, and what the other one answers."""
    return Ranks(_Other(votes=votes, reports=reports), shards_probe=True)


def test_one_that_is_alone_asks_nobody():
    with ALONE.together():
        pass
    with pytest.raises(KeyError, match="mine"), ALONE.together():
        raise KeyError("mine")
    assert (ALONE.from_zero(3), ALONE.from_all(3), ALONE.shards, ALONE.shards_probe) == (3, [3], False, False)


def test_errors_of_ours_keep_their_type_and_others_their_name():
    pair = _pair([False, False], [(1, "TargetError", "no such class")])
    with pytest.raises(TargetError, match=r"^on rank 1: no such class$"), pair.together():
        pass
    pair = _pair([False], [(1, "OSError", "disk full")])
    with pytest.raises(RuntimeError, match=r"^OSError on rank 1: disk full$"), pair.together():
        pass


def test_the_first_rank_that_fails_is_named_however_often_it_is_agreed_upon():
    pair = _pair([False, False], [(1, "OSError", "disk full")])
    with pytest.raises(RuntimeError, match=r"^OSError on rank 1: disk full$"), pair.together(), pair.together():
        pass
    pair = _pair([], [(1, "OSError", "disk full")])
    mine = ValueError("mine")
    with pytest.raises(ValueError, match="mine") as caught, pair.together():
        raise mine
    assert caught.value is mine


def test_ranks_that_cannot_agree_are_out_of_sync():
    class Gone(_Other):
        def do_all(self, decision, *, patience=None):
            assert patience is not None
            raise RuntimeError("timed out")

    pair = Ranks(Gone(has_sharded_weights=True), shards_probe=True)
    mine = ValueError("mine")
    with pytest.raises(RankError, match=r"rank 0 \(ValueError: mine\) and the other ranks") as caught, pair.together():
        raise mine
    assert caught.value.__cause__ is mine
    # Which is not agreed upon in turn.
    with pytest.raises(RankError), pair.together():
        raise caught.value


def test_ranks_that_must_run_the_same_share_nothing():
    tensor_parallel = Ranks(_Other(1, has_own_data=False), shards_probe=True)
    assert not tensor_parallel.shards_probe
    assert tensor_parallel.settings(Settings(methods=()), 4).samples is None


def test_the_parts_of_two_ranks_are_the_whole():
    """Both ranks of two, one after the other, in one process."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 5))
    images = torch.randn(5, 2, 6, 6)
    external = [CaptumMethod("DeepLift"), GradCamMethod("LayerCAM")]
    methods = resolve_methods(["gradient", "grad_cam", "integrated_gradients", "smooth_grad", *external])
    settings = Settings(methods=methods, internal_batch_size=2)
    whole = ALONE.explain(model, images, settings, ["predicted"])
    sent: list[list[torch.Tensor]] = [[], []]

    class Sharing(_Other):
        def do_all(self, decision, *, patience=None):
            return decision

        def gathered(self, values):
            sent[self.number].append(values)
            # Of rank zero, what it sends itself stands for what it does not have yet.
            return [sent[0][len(sent[self.number]) - 1], values]

    for number in (0, 1):
        rank = Ranks(Sharing(number), shards_probe=True)
        found = rank.explain(model, images, settings, ["predicted"])
    for name, one in whole.attributions[0].items():
        other = found.attributions[0][name]
        for what in ("values", "magnitude", "heatmap", "target", "score"):
            torch.testing.assert_close(getattr(other, what), getattr(one, what))
    torch.testing.assert_close(found.logits, whole.logits)
    assert {len(values) for values in sent[0]} == {3}


def test_what_failed_on_another_rank_is_left_out_on_all():
    class Failing(_Other):
        def gathered(self, values):
            return [values, values]

    own = ExternalMethod("own", lambda model, inputs, *_: inputs)
    rank = Ranks(Failing(votes=[True] * 9, reports=[("gradient",)]), shards_probe=True)
    settings = Settings(methods=resolve_methods(["gradient", own]), leaves_out_failing=True)
    model = nn.Sequential(nn.Flatten(), nn.Linear(8, 2))
    assert list(rank.explain(model, torch.rand(4, 2, 2, 2), settings, [0]).maps[0]) == ["gradient"]


def test_where_each_rank_has_lost_another_method_all_are_told():
    rank = Ranks(_Other(reports=[("gradient",)]), shards_probe=True)
    assert rank.methods_everywhere(["own", "gradient"]) == ("gradient",)
    assert rank.known_everywhere(["own"]) == ()
    with pytest.raises(ExternalMethodError, match=r"rank 0: own; rank 1: gradient\)"):
        rank.methods_everywhere(["own"])
    assert ALONE.methods_everywhere(["own"]) == ("own",)
