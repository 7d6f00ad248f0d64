"""What every callback checks of itself, and what of it goes through a checkpoint or a pickle."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

from saliency_callbacks import CueAlarm, RandomizationTest, SaliencyMonitor, Storage, TokenSaliencyMonitor
from saliency_callbacks.callbacks.base import ObservingCallback
from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.probe import PatchCue
from saliency_callbacks.sinks import MemorySink
from tests.callbacks.plain_host import PlainHost

_CALLBACKS = {
    SaliencyMonitor: {"methods": "gradient"},
    TokenSaliencyMonitor: {"methods": "gradient_norm"},
    CueAlarm: {"cue": PatchCue((0, 0, 2, 2), name="patch"), "suspect_class": 0},
    RandomizationTest: {"methods": "gradient"},
}


def _made(kind, **changes):
    return kind(**{**_CALLBACKS[kind], **changes})


@pytest.mark.parametrize("kind", _CALLBACKS)
@pytest.mark.parametrize("value", [0, -1, 1.0, "1", True, None])
def test_an_interval_is_a_positive_whole_number(kind, value):
    with pytest.raises(ConfigurationError, match=r"^every_n_epochs=.*at least 1"):
        _made(kind, every_n_epochs=value)


@pytest.mark.parametrize("kind", _CALLBACKS)
def test_a_valid_interval(kind):
    assert _made(kind, every_n_epochs=3).every_n_epochs == 3


@pytest.mark.parametrize("kind", _CALLBACKS)
def test_there_are_two_ways_to_take_an_error(kind):
    assert [_made(kind, on_error=way).on_error for way in ("warn", "raise")] == ["warn", "raise"]
    with pytest.raises(ConfigurationError, match=r"on_error='rais' is unknown; did you mean 'raise'"):
        _made(kind, on_error="rais")


@pytest.mark.parametrize("kind", _CALLBACKS)
def test_two_callbacks_in_one_run_have_states_of_their_own(kind):
    first, second = _made(kind), _made(kind, namespace="other")
    assert first.identity != second.identity
    assert first.state_key != second.state_key
    assert kind.__name__ in first.state_key


@pytest.mark.parametrize("kind", _CALLBACKS)
def test_a_state_goes_through_a_checkpoint(kind):
    callback, resumed = _made(kind), _made(kind)
    callback.state.n_observations, callback.state.indices = 3, (2, 1)
    resumed.load_state_dict(callback.state_dict())
    assert resumed.state == callback.state
    assert type(resumed.state) is kind.state_type


@pytest.mark.parametrize("kind", _CALLBACKS)
def test_a_callback_is_copied_and_pickled_without_its_sinks(kind):
    callback = _made(kind, storage=Storage(keep_maps=3))
    callback._writer = callback._current_run = object()
    for other in (copy.copy(callback), pickle.loads(pickle.dumps(callback))):
        assert (other._writer, other._current_run) == (None, None)
        assert other.storage == Storage(keep_maps=3)
        assert other.state == callback.state


class _Fails(ObservingCallback):
    """Fails wherever it is asked to observe."""

    state_type = SaliencyMonitor.state_type

    def __init__(self, error, on_error="warn"):
        self.error = error
        super().__init__(
            probe=2,
            every_n_epochs=1,
            reading=None,
            compute=None,
            storage=Storage(save_maps=False),
            sinks=(MemorySink(),),
            on_error=on_error,
            namespace="fails",
        )

    def _check_model(self, model):
        pass

    def _accept_probe(self, probe, host):
        pass

    def _observe(self, model, moment, host):
        raise self.error


def _host():
    return PlainHost(val=[[(torch.rand(4, 1, 2, 2), torch.tensor([0, 1, 0, 1]))]])


def test_a_failure_is_a_warning_and_changes_no_state():
    callback = _Fails(ValueError("no"))
    with pytest.warns(match=r"the observation of epoch 0 is skipped \(ValueError: no\); training continues"):
        assert callback.observe(_host(), "fit", 1, is_early=False) is None
    assert (callback.state.n_observations, callback.state.last_observed) == (0, None)
    with pytest.raises(ValueError, match="no"):
        _Fails(ValueError("no"), "raise").observe(_host(), "fit", 1, is_early=False)


def test_a_wrong_configuration_is_an_error_where_no_training_is_lost():
    callback = _Fails(ConfigurationError("wrong"))
    with pytest.raises(ConfigurationError, match="wrong"):
        callback.observe(_host(), "initial", 0, is_early=True)
    with pytest.warns(match=r"is skipped \(ConfigurationError: wrong\)"):
        assert callback.observe(_host(), "fit", 1, is_early=False) is None


def test_without_a_summary_of_its_own_there_is_none():
    callback = _Fails(ValueError("no"))
    assert callback.observe(_host(), "final", 1, is_early=False) is None


def test_there_is_nothing_to_observe_without_data():
    with pytest.warns(match="nothing is observed: there is no val dataloader to take"):
        assert _Fails(ValueError("no")).observe(PlainHost(), "fit", 1, is_early=False) is None
