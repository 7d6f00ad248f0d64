import pytest
import torch

from saliency_callbacks.arrays.slices import ContactSheet
from saliency_callbacks.callbacks.saliency.history import Frame, Frames, MethodHistory, frame_size
from saliency_callbacks.callbacks.saliency.state import MonitorState


def _frame(name: str = "epoch 0") -> Frame:
    return Frame.of(name, torch.rand(2, 4, 4))


@pytest.mark.parametrize("shape", [(3, 20), (3, 8, 8), (3, 6, 5, 4)])
def test_a_small_map_is_kept_to_a_hundredth_and_a_checkpoint_loses_nothing_more(shape):
    maps = torch.randn(shape) * 1e-6
    frame = Frame.of("epoch 1", maps)
    assert frame.moment == "epoch 1"
    assert frame.maps.dtype == torch.float32
    # Of a volume, all of its six slices: three rows of two, or two of three.
    shown = maps if maps.ndim < 4 else torch.from_numpy(ContactSheet.of(maps.shape[1:]).arranged(maps.numpy()))
    peak = shown.flatten(1).abs().amax(1)
    assert frame.maps.shape == shown.shape
    # Half a step of the root is most at the peak, and far less where most values are.
    assert ((frame.maps - shown).flatten(1).abs() <= peak[:, None] * 0.0081).all()
    low = shown.flatten(1).abs() < peak[:, None] / 16
    assert ((frame.maps - shown).flatten(1).abs()[low] <= (peak[:, None] * 0.0021).expand_as(low)[low]).all()
    state = frame.state_dict()
    torch.testing.assert_close(state["peak"], peak)
    assert state["relative"].dtype == torch.int8
    restored = Frame.from_state_dict(state)
    assert restored.moment == "epoch 1"
    assert torch.equal(restored.maps, frame.maps)


def test_a_frame_without_evidence_survives_a_checkpoint():
    assert torch.equal(
        Frame.from_state_dict(Frame.of("", torch.zeros(2, 3, 4)).state_dict()).maps, torch.zeros(2, 3, 4)
    )


def test_a_frame_loses_nothing_in_a_second_checkpoint():
    once = Frame.from_state_dict(_frame().state_dict())
    twice = Frame.from_state_dict(once.state_dict())
    torch.testing.assert_close(twice.maps, once.maps, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("shape", "kept"), [((1, 200), (1, 72)), ((1, 192, 96), (1, 64, 32)), ((1, 1, 8, 960), (1, 1, 72))]
)
def test_a_large_map_shrinks_and_keeps_its_peaks(shape, kept):
    maps = torch.zeros(shape)
    maps.view(-1)[7] = -3.0
    maps.view(-1)[-1] = 2.0
    small = Frame.of("", maps).maps
    assert small.shape == kept
    assert small.min() == -3.0
    assert small.max() == pytest.approx(2.0, rel=1e-2)


@pytest.mark.parametrize(
    ("spatial", "expected"),
    [
        ((72,), [72]),
        ((8, 12), [8, 12]),
        ((73, 10), [72, 10]),
        ((45, 45), [45, 45]),
        ((224, 224), [45, 45]),
        ((768, 1024), [39, 52]),
        ((120, 360), [24, 72]),
        ((1, 1000), [1, 72]),
    ],
)
def test_a_frame_has_the_aspect_of_the_maps_and_is_never_larger(spatial, expected):
    assert frame_size(spatial) == expected
    assert list(Frame.of("", torch.rand(1, *spatial)).maps.shape[1:]) == expected


def test_the_stronger_sign_stands_for_its_neighbors():
    maps = torch.zeros(1, 144)
    maps[0, :2] = torch.tensor([1.0, -2.0])
    maps[0, 2:4] = torch.tensor([3.0, -2.0])
    assert Frame.of("", maps).maps[0, :2].tolist() == pytest.approx([-2.0, 3.0], rel=1e-2)


def test_what_is_not_finite_or_zero_stays_finite():
    maps = torch.tensor([[float("nan"), float("inf"), 1.0], [0.0, 0.0, 0.0]])
    assert Frame.of("", maps).maps.tolist() == [[0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]


@pytest.mark.parametrize("count", [1, 15, 16, 17, 40, 200])
def test_frames_are_thinned_evenly_and_keep_the_first(count):
    frames = Frames()
    for index in range(count):
        frames = frames.added(_frame(str(index)))
    kept = [int(frame.moment) for frame in frames.kept]
    assert frames.count == count
    assert len(kept) < 16
    assert kept == list(range(0, count, frames.stride))
    assert len(kept) >= 8 or frames.stride == 1


def test_a_history_keeps_the_first_the_last_and_the_largest():
    ranks = [torch.arange(6.0).reshape(2, 3) + index for index in range(3)]
    scales = [torch.tensor([1.0, 5.0]), torch.tensor([4.0, float("nan")]), torch.tensor([float("inf"), 2.0])]
    history = MethodHistory()
    for one, scale in zip(ranks, scales, strict=True):
        history = history.added(one, scale, _frame())
    assert torch.equal(history.initial, ranks[0])
    assert torch.equal(history.previous, ranks[2])
    assert history.scale.tolist() == [4.0, 5.0]
    assert len(history.frames.kept) == 3


def test_a_history_compares_with_maps_of_its_own_size_only():
    history = MethodHistory().added(torch.zeros(2, 12), torch.ones(2), _frame())
    assert MethodHistory().compares_with(torch.zeros(5, 1, 7, 7))
    assert history.compares_with(torch.zeros(2, 3, 3, 4))
    assert not history.compares_with(torch.zeros(3, 3, 3, 4))
    assert not history.compares_with(torch.zeros(2, 3, 4, 4))


@pytest.mark.parametrize("observed", [False, True])
def test_a_state_survives_a_checkpoint(tmp_path, observed):
    state = MonitorState()
    if observed:
        history = MethodHistory().added(torch.rand(2, 16).argsort() / 2 + 0.5, torch.ones(2), _frame())
        state = MonitorState(
            indices=(3, 1),
            fingerprint="ab",
            target_layers=("net.0",),
            pinned=torch.tensor([1, 2]),
            histories={"m": history},
            scores={"s": 0.5},
            last_observed=4,
            n_observations=7,
        )
    path = tmp_path / "state.ckpt"
    torch.save(state.state_dict(), path)
    restored = MonitorState.from_state_dict(torch.load(path, weights_only=True))
    plain = ("indices", "fingerprint", "target_layers", "scores", "last_observed", "n_observations")
    assert [getattr(restored, name) for name in plain] == [getattr(state, name) for name in plain]
    assert restored.histories.keys() == state.histories.keys()
    if observed:
        assert torch.equal(restored.pinned, state.pinned)
        again, once = restored.histories["m"], history
        assert torch.equal(again.initial, once.initial)
        assert torch.equal(again.scale, once.scale)
        torch.testing.assert_close(again.frames.kept[0].maps, once.frames.kept[0].maps, rtol=0, atol=2**-10)
        assert again.frames.kept[0].moment == once.frames.kept[0].moment
        assert (again.frames.stride, again.frames.count, again.frames.limit) == (1, 1, 16)


def test_a_sample_whose_first_map_has_no_order_starts_with_its_next():
    """As of a network whose last layer starts at zero; each sample on its own."""
    constant, broken, usable = torch.full((4,), 2.5), torch.full((4,), torch.nan), torch.tensor([1.0, 2, 3, 4])
    first = torch.stack([constant, broken, usable])
    second = torch.stack([usable.flip(0), usable.flip(0), usable.flip(0)])
    third = second.roll(1, dims=1)
    history = MethodHistory().added(first, torch.ones(3), _frame())
    history = history.added(second, torch.ones(3), _frame()).added(third, torch.ones(3), _frame())
    assert torch.equal(history.initial, torch.stack([usable.flip(0), usable.flip(0), usable]))
    assert torch.equal(history.previous, third)
