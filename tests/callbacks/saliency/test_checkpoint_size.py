"""What a monitor adds to a checkpoint, whatever the size of its maps."""

import io

import pytest
import torch

from saliency_callbacks import Appearance
from saliency_callbacks.callbacks.saliency.history import Frame, MethodHistory
from saliency_callbacks.callbacks.saliency.scales import frame_of, scale_of
from saliency_callbacks.callbacks.saliency.state import MonitorState
from saliency_callbacks.scores import drift, ranks
from saliency_callbacks.types import Attribution

_SAMPLES = 16
_METHODS = 4
_LIMIT = 4 * 2**20


def _attribution(*spatial: int, seed: int = 0, channels: int = 1, samples: int = _SAMPLES) -> Attribution:
    values = torch.randn(samples, channels, *spatial, generator=torch.Generator().manual_seed(seed))
    magnitude = values.abs().amax(dim=1)
    nothing = torch.zeros(samples)
    return Attribution("m", values, magnitude, magnitude, nothing.long(), nothing)


def _observed(history: MethodHistory, attribution: Attribution) -> MethodHistory:
    frame = frame_of(attribution, Appearance(), "epoch 0", torch.zeros(len(attribution.values), dtype=torch.bool))
    scale = scale_of(attribution, Appearance())
    return history.added(ranks(attribution), scale, frame, attribution.values[0, 0].numel())


def _written(history: MethodHistory, methods: int = _METHODS) -> bytes:
    names = [f"method_{number}" for number in range(methods)]
    # As each method has its own: what is shared would be written once.
    histories = {name: MethodHistory.from_state_dict(history.state_dict()) for name in names}
    file = io.BytesIO()
    torch.save({name: kept.state_dict() for name, kept in histories.items()}, file)
    return file.getvalue()


@pytest.mark.parametrize("spatial", [(224, 224), (600, 800), (48, 64, 64), (100_000,)])
@pytest.mark.parametrize("n_observations", [2, 15, 31])
def test_16_samples_of_4_methods_take_less_than_4_mib(spatial, n_observations):
    attribution, history = _attribution(*spatial), MethodHistory()
    once = _observed(history, attribution)
    history = once
    for _ in range(n_observations - 1):
        history = history.added(once.previous, once.scale, once.frames.kept[0], attribution.values[0, 0].numel())
    assert len(history.frames.shown) >= min(n_observations, 8)
    assert len(_written(history)) < _LIMIT


def test_long_text_inputs_keep_fewer_frames():
    scores, history = torch.randn(_SAMPLES, 8000), MethodHistory()
    for number in range(40):
        frame = Frame(f"epoch {number}", scores).rounded()
        history = history.added(torch.arange(1.0, 7057).expand(_SAMPLES, -1), torch.ones(_SAMPLES), frame, 8000)
    assert history.frames.kept[0].moment == "epoch 0"
    assert history.frames.shown[-1].moment == "epoch 39"
    assert len(_written(history)) < _LIMIT


@pytest.mark.parametrize("spatial", [(40, 50), (200, 300), (20, 30, 30)])
def test_a_resumed_run_scores_and_draws_the_same(spatial):
    history = _observed(MethodHistory(), _attribution(*spatial, channels=3))
    history = _observed(history, _attribution(*spatial, channels=3, seed=1))
    state = MonitorState.from_state_dict(MonitorState(histories={"m": history}).state_dict())
    again, now = state.histories["m"], ranks(_attribution(*spatial, channels=3, seed=2))
    for kept in ("initial", "previous"):
        assert torch.equal(drift(now, getattr(again, kept)), drift(now, getattr(history, kept)))
    assert all(map(torch.equal, *([frame.maps for frame in one.frames.shown] for one in (again, history))))
    assert again.compares_with(torch.zeros(_SAMPLES, 3, *spatial))
    assert not again.compares_with(torch.zeros(_SAMPLES, 3, *spatial[:-1], spatial[-1] + 1))


@pytest.mark.parametrize("spatial", [(40, 50), (200, 300), (6, 40, 60)])
def test_a_checkpoint_that_kept_all_ranks_and_larger_frames_loads(spatial):
    first, now = _attribution(*spatial, samples=2), _attribution(*spatial, samples=2, seed=1)
    all_ranks = first.values.flatten(1).argsort().argsort().float() + 1
    peak = first.magnitude.flatten(1).amax(dim=1)
    relative = (first.magnitude / peak.reshape(-1, *[1] * len(spatial))).half()
    frame = {"moment": "epoch 0", "peak": peak, "relative": relative, "wrong": None}
    frames = {"kept": [frame], "stride": 1, "count": 1, "limit": 16, "newest": None}
    old = {"initial": all_ranks, "previous": all_ranks, "scale": peak, "frames": frames}
    restored, new = MethodHistory.from_state_dict(old), _observed(MethodHistory(), first)
    assert restored.compares_with(now.values)
    assert torch.equal(drift(ranks(now), restored.initial), drift(ranks(now), new.initial))
    assert restored.frames.kept[0].maps.shape == new.frames.kept[0].maps.shape
    torch.testing.assert_close(restored.frames.kept[0].maps, new.frames.kept[0].maps, rtol=0, atol=0.1)
    assert len(_observed(restored, now).frames.kept) == 2
