"""The fastest way to compute whose maps stay what they are, by a clock that the model itself moves on."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

from saliency_callbacks.capture.isolation.arithmetic import UNCHANGED, Arithmetic
from saliency_callbacks.engine.fastest import Choice, Measured, fastest
from saliency_callbacks.engine.logits import run_logits
from saliency_callbacks.engine.run import run_engine
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.errors import SaliencyWarning
from saliency_callbacks.functional.similarity import spearman
from saliency_callbacks.methods import Gradient, IntegratedGradients, SmoothGrad
from tests.engine.priced import PRICES, Clock, Priced

METHODS = (Gradient(), IntegratedGradients(8), SmoothGrad(4))
TARGET = torch.arange(5)


def images(n=5):
    return torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def choice(clock, model, methods=METHODS, target=TARGET, **settings):
    found = fastest(model.eval(), images(), Settings(methods, **settings), target, clock)
    assert found is not None
    return found


def priced(prices=PRICES, **changes):
    clock = Clock()
    return clock, Priced(clock, prices, **changes)


def is_on_a_path(rows):
    """Whether they are of integrated gradients, and not of a chunk."""
    return bool((rows.flatten(1).mean(1) < 0.3).any())


def test_the_fastest_is_taken():
    clock, model = priced()
    found = choice(clock, model)
    assert found.arithmetic == Arithmetic("bfloat16", is_channels_last=True)
    assert found.taken.speedup == pytest.approx(2.5)
    assert 0.99 <= found.taken.correlation < 1
    assert [one.arithmetic.name for one in found.trials] == ["bfloat16, channels last", "bfloat16", "channels last"]


def test_a_fast_one_that_changes_maps_is_refused():
    clock, model = priced(rough=("bfloat16", "bfloat16, channels last"))
    found = choice(clock, model)
    assert found.arithmetic == Arithmetic(is_channels_last=True)
    refused, unseen, taken = found.trials
    assert refused.correlation < 0.9
    assert unseen.correlation is None, "it rounds like the first"
    assert taken.correlation > 0.9999


def test_a_single_map_is_enough_to_refuse():
    """Of one method of one sample."""

    class Uneven(Priced):
        def forward(self, rows):
            # A little of the mirrored image, of the first sample alone, where its gradient is asked for.
            if torch.is_autocast_enabled("cpu"):
                is_first = (rows == images()[0]).flatten(1).all(1)
                rows = torch.where(is_first[:, None, None, None], rows.lerp(rows.flip(-1), 0.2), rows)
            return super().forward(rows)

    clock = Clock()
    found = choice(clock, Uneven(clock))
    assert 0.9 < found.trials[0].correlation < 0.99, "their mean would be enough"
    assert found.arithmetic == Arithmetic(is_channels_last=True)


def test_nothing_is_taken_that_is_not_clearly_faster():
    clock, model = priced(dict.fromkeys(PRICES, 0.92) | {"unchanged": 1.0})
    found = choice(clock, model)
    assert found.taken is None
    assert found.arithmetic == UNCHANGED
    assert {one.correlation for one in found.trials} == {None}, "there is nothing to compare"


def test_a_slow_one_is_given_up_at_once():
    clock, model = priced(PRICES | {"bfloat16": 15.5, "bfloat16, channels last": 1.6})
    found = choice(clock, model)
    assert found.arithmetic == Arithmetic(is_channels_last=True)
    assert model.runs["bfloat16"] == 1, "not even a second time"
    assert model.runs["bfloat16, channels last"] == 2, "once to warm up, and once"
    assert [one.speedup for one in found.trials[1:]] == [0, 0]


def test_a_first_run_may_take_its_time():
    """It loads kernels."""

    class Loading(Priced):
        def forward(self, rows):
            if torch.is_autocast_enabled("cpu") and not self.runs["bfloat16, channels last"]:
                clock.now += 1.2
            return super().forward(rows)

    clock = Clock()
    assert choice(clock, Loading(clock)).taken.speedup == pytest.approx(2.5)


def test_one_that_fails_is_out_without_a_word():
    clock, model = priced(failing=("bfloat16", "bfloat16, channels last", "channels last"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert choice(clock, model).arithmetic == UNCHANGED


def test_without_a_map_of_the_model_as_it_is_there_is_no_choice():
    clock, model = priced(failing=("unchanged",))
    assert fastest(model.eval(), images(), Settings(METHODS), TARGET, clock) is None


def test_what_goes_on_for_longer_is_not_taken():
    """Where rounding keeps a method from being done, each point is faster and the whole slower."""

    class Restless(Priced):
        def forward(self, rows):
            scores = super().forward(rows)
            # A ripple turns no gradient, but makes the steps of a path uneven.
            return scores + (scores * 400).sin() / 450 if torch.is_autocast_enabled("cpu") else scores

    clock = Clock()
    found = choice(clock, Restless(clock), (IntegratedGradients("auto", tolerance=1e-3),), internal_batch_size=5)
    assert found.trials[0].correlation >= 0.99
    assert found.trials[0].is_slower_in_all
    assert found.arithmetic == Arithmetic(is_channels_last=True)


def test_one_that_fails_in_the_methods_alone_settles_nothing():
    class Fails(Priced):
        def forward(self, rows):
            found = super().forward(rows)
            if torch.is_grad_enabled() and self.last == "bfloat16, channels last" and is_on_a_path(rows):
                raise RuntimeError("as if out of memory")
            return found

    clock = Clock()
    found = choice(clock, Fails(clock))
    assert found.arithmetic == Arithmetic("bfloat16")
    assert found.trials[-1] == Measured(Arithmetic("bfloat16", is_channels_last=True), 0.0)


@pytest.mark.parametrize(("cold", "taken"), [("unchanged", "unchanged"), ("bfloat16", "bfloat16")])
def test_a_cold_run_of_the_methods_does_not_decide(cold, taken):
    """Neither for what is slower, nor against what is faster."""

    class Cold(Priced):
        def forward(self, rows):
            found = super().forward(rows)
            if torch.is_grad_enabled() and is_on_a_path(rows):
                # Slower on the whole, where nothing but the path is.
                clock.now += 10 if taken == "unchanged" and self.last != "unchanged" else 0
                clock.now += 1000 if times["cold"] and self.last == cold else 0
                times["cold"] = times["cold"] and self.last != cold
            return found

    clock, times = Clock(), {"cold": True}
    found = choice(clock, Cold(clock, PRICES | {"bfloat16": 0.3}))
    assert not times["cold"]
    assert found.arithmetic.name == taken


def test_maps_without_ranks_leave_it_open():
    """As those of a head that starts at zero; once it has learned something, there are ranks."""
    clock, model = priced()
    weight = model[-1].weight.detach().clone()
    nn.init.zeros_(model[-1].weight)
    with pytest.warns(SaliencyWarning, match="to a later observation: all maps are still constant or not finite"):
        assert fastest(model.eval(), images(), Settings(METHODS), TARGET, clock) is None
    model[-1].weight.data.copy_(weight)
    assert choice(clock, model).taken is not None


def test_a_few_samples_are_enough():
    clock, model = priced()
    seen = []
    model.register_forward_pre_hook(lambda module, given: seen.append(len(given[0])))
    fastest(model.eval(), images(50), Settings(METHODS, internal_batch_size=8), torch.arange(50) % 10, clock)
    assert max(seen) == 8
    assert sum(seen) < 1200


def test_a_callable_target_sees_all_samples():
    clock, model = priced()
    seen = []

    def target(output):
        seen.append(len(output))
        assert len(output) == 40
        return output[:, 0]

    found = fastest(model.eval(), images(40), Settings(METHODS), target, clock)
    assert found.taken is not None
    assert set(seen) == {40}


def test_no_trace_is_left():
    clock, model = priced()
    model.train()
    tensors = [*model.parameters(), *model.buffers()]
    before = [(one, one.detach().clone(), one.stride(), one.data_ptr(), one._version) for one in tensors]
    state = torch.get_rng_state()
    assert fastest(model, images(), Settings(METHODS), TARGET, clock).taken is not None
    for now, (tensor, content, strides, place, version) in zip(
        [*model.parameters(), *model.buffers()], before, strict=True
    ):
        assert now is tensor
        assert (now.stride(), now.data_ptr(), now._version) == (strides, place, version)
        assert torch.equal(now, content)
        assert now.grad is None
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.is_autocast_enabled("cpu")


def test_an_interrupt_in_the_middle_leaves_no_trace():
    model = Priced(Clock())
    tensors = [*model.parameters(), *model.buffers()]

    class Interrupted(Clock):
        def __call__(self):
            if model.runs["bfloat16, channels last"]:
                raise KeyboardInterrupt
            return 0.0

    with pytest.raises(KeyboardInterrupt):
        fastest(model.train(), images(), Settings(METHODS), TARGET, Interrupted())
    assert all(one is other for one, other in zip([*model.parameters(), *model.buffers()], tensors, strict=True))
    assert model.training


@pytest.mark.parametrize("name", ["channels last", "bfloat16", "bfloat16, channels last"])
def test_maps_in_it_are_those_of_float32(name):
    _, model = priced()
    fast = Settings(METHODS, arithmetic=Arithmetic.named(name), internal_batch_size=3)
    found = run_engine(model.eval(), images(), fast, [TARGET]).attributions[0]
    exact = run_engine(model, images(), Settings(METHODS), [TARGET]).attributions[0]
    assert model.runs[name] > 0
    for method, one in found.items():
        assert one.values.dtype == torch.float32
        maps = one.values[:, 0].flatten(1), exact[method].values[:, 0].flatten(1)
        assert spearman(*maps).min() >= 0.99
    change = exact["integrated_gradients"].values.flatten(1).sum(1)
    assert (found["integrated_gradients"].extras["convergence_delta"].abs() < 0.05 * change.abs() + 0.05).all()


def test_class_scores_are_those_of_the_model_as_it_is():
    _, model = priced()
    exact = run_logits(model.eval(), images(), Settings(()))
    found = run_logits(model, images(), Settings((), arithmetic=Arithmetic("bfloat16", is_channels_last=True)))
    assert torch.equal(found, exact)


def test_nothing_to_try_is_no_choice_to_make():
    assert choice(Clock(), nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).double().eval(), (Gradient(),)) == Choice()
