"""Out of memory: fewer rows at once, nothing left of the failed try, and what is found is the same."""

import gc
import pickle
import warnings
import weakref
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from saliency_callbacks import randomization_test
from saliency_callbacks.capture.oom import BackOff, is_out_of_memory
from saliency_callbacks.engine.logits import run_logits
from saliency_callbacks.engine.run import run_engine
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.errors import SaliencyWarning
from saliency_callbacks.methods import GradCAM, Gradient, IntegratedGradients
from saliency_callbacks.randomization.run import run_test, with_primary

# More than any address space has: the allocator itself refuses.
_TOO_MUCH = 2**56
METHODS = (Gradient(), GradCAM(), IntegratedGradients(n_steps=3))


class Greedy(nn.Module):
    """A small network that needs too much memory for more than ``fits`` rows."""

    def __init__(self, fits, error=None):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Conv2d(3, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 4)
        )
        self.fits, self.error = fits, error
        # Beside the model: what a forward leaves in the model's own lists is put back.
        self.kept = SimpleNamespace(log=[])

    @property
    def log(self):
        return self.kept.log

    def forward(self, images):
        found = self.net(images)
        if len(images) > self.fits:
            self.log.append(weakref.ref(found))
            if self.error is not None:
                raise self.error
            torch.empty(_TOO_MUCH, dtype=torch.uint8)
        assert all(one() is None for one in self.log), "the graph of a failed try is still there"
        return found


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Greedy(fits=2)


@pytest.fixture
def images():
    return torch.rand(7, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def engine(model, images, settings):
    return run_engine(model, images, settings, [1])


def test_what_counts_as_out_of_memory():
    with pytest.raises(RuntimeError) as cpu:
        torch.empty(_TOO_MUCH, dtype=torch.uint8)
    with pytest.raises(MemoryError) as python:
        bytearray(2**62)
    errors = [cpu.value, python.value, torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")]
    errors.append(RuntimeError("[enforce fail] not enough memory: you tried to allocate 8 bytes."))
    errors.append(RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"))
    assert all(map(is_out_of_memory, errors))
    assert not any(
        map(is_out_of_memory, [RuntimeError("shapes differ"), OSError("out of memory"), KeyboardInterrupt()])
    )


def test_the_maps_are_those_of_the_smaller_batch(model, images):
    expected = engine(model, images, Settings(METHODS, internal_batch_size=1)).attributions[0]
    settings = Settings(METHODS, back_off=BackOff())
    with pytest.warns(SaliencyWarning, match="from now on, internal_batch_size=1 is used"):
        found = engine(model, images, settings).attributions[0]
    for name, attribution in expected.items():
        torch.testing.assert_close(found[name].values, attribution.values)
        assert torch.equal(found[name].target, attribution.target)


def test_the_failed_try_is_freed_before_the_next_even_if_an_error_is_kept_in_a_cycle(images):
    class Keeps(Greedy):
        def forward(self, images):
            try:
                return super().forward(images)
            except RuntimeError as error:
                kept = error
                raise kept from None

    with pytest.warns(SaliencyWarning):
        engine(Keeps(fits=1), images, Settings(METHODS, back_off=BackOff()))


def test_the_size_is_kept_and_told_once(model, images):
    settings = Settings(METHODS, internal_batch_size=6, back_off=BackOff())
    with pytest.warns(SaliencyWarning, match="out of memory") as seen:
        engine(model, images, settings)
    assert len(seen) == 1
    assert settings.back_off.most_rows == 1
    model.log.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        engine(model, images, settings)
        run_logits(model, images, settings)
    assert model.log == [], "nothing failed again"


def test_scores_alone_back_off_too(model, images):
    with pytest.warns(SaliencyWarning):
        found = run_logits(model, images, Settings((), back_off=BackOff()))
    torch.testing.assert_close(found, run_logits(model, images, Settings((), internal_batch_size=1)))


def test_a_randomization_loses_no_draw(model, images):
    found = [
        run_test(
            model, images, settings, "predicted", order="full", n_draws=2, redraw="reinitialize",
            similarities=with_primary("spearman"),
        )
        for settings in (Settings(METHODS, internal_batch_size=1),)
    ]  # fmt: skip
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.warns(SaliencyWarning) as seen:
        found.append(
            run_test(
                model, images, Settings(METHODS, back_off=BackOff()), "predicted", order="full", n_draws=2,
                redraw="reinitialize", similarities=with_primary("spearman"),
            )
        )  # fmt: skip
    assert len(seen) == 1
    assert found[0].n_draws == found[1].n_draws == 2
    for name, values in found[0].values["spearman"].items():
        torch.testing.assert_close(found[1].values["spearman"][name], values, equal_nan=True)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_where_a_single_row_does_not_fit_the_error_itself_is_raised(images):
    error = torch.OutOfMemoryError("CUDA out of memory")
    settings = Settings(METHODS, back_off=BackOff())
    with pytest.raises(torch.OutOfMemoryError) as raised:
        engine(Greedy(0, error), images, settings)
    assert raised.value is error
    assert settings.back_off.most_rows is None, "the next time the memory may be there"


def test_any_other_error_is_raised_at_once(images):
    model = Greedy(0, RuntimeError("shapes differ"))
    with pytest.raises(RuntimeError, match="shapes differ"):
        engine(model, images, Settings(METHODS, back_off=BackOff()))
    assert len(model.log) == 1


def test_one_of_several_processes_does_not_back_off_alone(model, images, monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    with pytest.raises(RuntimeError, match="allocate"):
        engine(model, images, Settings(METHODS, back_off=BackOff()))
    assert len(model.log) == 1


def test_without_a_trainer_the_error_is_raised(model, images):
    with pytest.raises(RuntimeError, match="allocate"):
        randomization_test(model, images)


def test_it_travels_with_a_copy_of_the_callback():
    back_off = BackOff()
    back_off.most_rows = 3
    assert pickle.loads(pickle.dumps(back_off)).most_rows == 3


def test_nothing_is_kept_of_a_failed_try_without_a_collection(model, images, monkeypatch):
    """The handler has ended before the next try, so that the garbage collector finds nothing to do."""
    monkeypatch.setattr(gc, "collect", lambda: 0)
    gc.disable()
    try:
        with pytest.warns(SaliencyWarning):
            engine(model, images, Settings((Gradient(),), back_off=BackOff()))
    finally:
        gc.enable()
