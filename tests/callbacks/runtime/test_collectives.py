"""How processes speak through a Trainer, as far as one process can tell; tests/distributed/ has two."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from saliency_callbacks.callbacks.runtime.collectives import Collectives, TrainerCollectives, check_strategy
from saliency_callbacks.errors import ConfigurationError


def _strategy(name="SingleDeviceStrategy", base=None, **facts):
    bases = () if base is None else (type(base, (), {}),)
    return type(name, bases, facts)()


def _pair(strategy):
    return TrainerCollectives(SimpleNamespace(world_size=2, global_rank=1, strategy=strategy))


@pytest.mark.parametrize("name", [name for name in vars(Collectives) if not name.startswith("_")])
def test_a_trainer_offers_what_ranks_ask_for(name):
    assert hasattr(TrainerCollectives, name)


def test_which_of_how_many():
    pair = _pair(_strategy())
    assert (pair.size, pair.number) == (2, 1)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({}, False),
        ({"distributed_sampler_kwargs": {"num_replicas": 2, "rank": 1}}, True),
        # Tensor parallelism: the processes of a group must all run the same samples.
        ({"distributed_sampler_kwargs": {"num_replicas": 1, "rank": 0}}, False),
    ],
)
def test_only_ranks_with_a_sampler_each_have_data_of_their_own(facts, expected):
    assert _pair(_strategy(**facts)).has_own_data == expected


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        (_strategy("ModelParallelStrategy"), True),
        (_strategy("Mine", "ModelParallelStrategy"), True),
        (_strategy("DDPStrategy"), False),
    ],
)
def test_only_a_model_parallel_strategy_has_sharded_weights(strategy, expected):
    assert _pair(strategy).has_sharded_weights == expected


def test_the_strategy_is_asked_where_there_is_no_process_group():
    strategy = _strategy()
    strategy.reduce_boolean_decision = lambda decision: not decision
    strategy.broadcast = lambda value: ("of rank zero", value)
    pair = _pair(strategy)
    assert [pair.do_all(decision) for decision in (True, False)] == [False, True]
    assert pair.from_zero(3) == ("of rank zero", 3)


@pytest.mark.parametrize("name", ["DeepSpeedStrategy", "FSDPStrategy", "XLAFSDPStrategy"])
@pytest.mark.parametrize("is_derived", [False, True])
def test_a_strategy_that_hides_the_weights_is_refused(name, is_derived):
    strategy = _strategy("Mine", name) if is_derived else _strategy(name)
    with pytest.raises(ConfigurationError, match=f"a model cannot be explained under {name}.*ModelParallelStrategy"):
        check_strategy(SimpleNamespace(strategy=strategy))


def test_any_other_strategy_will_do():
    check_strategy(SimpleNamespace(strategy=_strategy("DDPStrategy")))
