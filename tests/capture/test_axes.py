"""Which axis of a volume or a video is what, as the model takes it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from saliency_callbacks import explain
from saliency_callbacks.capture.axes import checked_layout, describe_axes, recognize_layout
from saliency_callbacks.errors import ConfigurationError, InputError, LayerError


class _Frames(nn.Module):
    """A network of each frame, `[N, T, C, H, W]`, and one over time."""

    def __init__(self, channels=3, *, loops=False, normalizes=False):
        super().__init__()
        self.cnn = nn.Sequential(nn.Conv2d(channels, 6, 3, stride=2), nn.Tanh(), nn.Conv2d(6, 5, 2), nn.Tanh())
        self.rnn, self.head = nn.GRU(5, 4, batch_first=True), nn.Linear(4, 3)
        self.loops, self.normalizes = loops, normalizes

    def forward(self, x):
        x = (x - 0.4) / 0.2 if self.normalizes else x
        n, t = x.shape[:2]
        if self.loops:
            seen = torch.stack([self.cnn(x[:, i]).mean((2, 3)) for i in range(t)], 1)
        else:
            seen = self.cnn(x.view(n * t, *x.shape[2:])).mean((2, 3)).view(n, t, -1)
        return self.head(self.rnn(seen)[0][:, -1])


class _Volume(nn.Module):
    def __init__(self, channels=3, *, swaps=False):
        super().__init__()
        self.conv, self.head, self.swaps = nn.Conv3d(channels, 4, 2), nn.Linear(4, 3), swaps

    def forward(self, x):
        return self.head(self.conv(x.transpose(1, 2) if self.swaps else x).tanh().mean((2, 3, 4)))


class _ChannelsFolded(nn.Module):
    """A network of each frame of `[N, C, T, H, W]`."""

    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 2), nn.Linear(4, 3)

    def forward(self, x):
        n, c, t = x.shape[:3]
        return self.head(
            self.conv(x.transpose(1, 2).reshape(n * t, c, *x.shape[3:])).tanh().mean((2, 3)).view(n, t, -1).mean(1)
        )


def _video(*shape):
    return torch.rand(2, *shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("frames", [3, 5])
@pytest.mark.parametrize(
    ("model", "layout"),
    [
        (_Frames(), "NTCHW"),
        (_Frames(loops=True), "NTCHW"),
        (_Frames(normalizes=True), "NTCHW"),
        (_Volume(swaps=True), "NTCHW"),
        (_Volume(), "NCDHW"),
        (_ChannelsFolded(), "NCDHW"),
    ],
)
def test_the_first_convolution_tells(model, layout, frames):
    x = _video(3, frames, 8, 8) if layout == "NCDHW" else _video(frames, 3, 8, 8)
    assert recognize_layout(model, x, lambda: model(x[:1])) == layout
    given = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(given)[:, 1].sum(), given)
    found = explain(model, x, methods="gradient", target=1)["gradient"]
    assert torch.allclose(found.values, gradient if layout == "NCDHW" else gradient.transpose(1, 2), atol=1e-6)
    assert found.heatmap.shape == (2, frames, 8, 8)


def test_each_frame_has_its_own_class_activation_map():
    model, x = _Frames(), _video(4, 3, 9, 9)
    outputs = []
    with model.cnn.register_forward_hook(lambda module, args, output: outputs.append(output)):
        score = model(x)[:, 2].sum()
    (gradient,) = torch.autograd.grad(score, outputs[0])
    by_hand = (gradient.mean((2, 3), keepdim=True) * outputs[0]).sum(1).relu().reshape(2, 4, 3, 3)
    whole = explain(model, x, methods=["grad_cam", "layer_cam", "smooth_grad"], target=2)
    assert whole["grad_cam"].layer == "cnn"
    assert torch.allclose(whole["grad_cam"].values[:, 0], by_hand.detach(), atol=1e-7)
    assert by_hand.flatten(2).amax(2).gt(0).any()
    parts = explain(model, x, methods=["grad_cam", "layer_cam", "smooth_grad"], target=2, internal_batch_size=1)
    for name, found in whole.items():
        assert found.magnitude.shape == (2, 4, 9, 9)
        assert torch.allclose(found.values, parts[name].values, atol=1e-6)


def test_frames_in_turn_have_a_gradient_and_a_word_on_how_to_have_maps():
    in_turn, as_rows, x = _Frames(loops=True), _Frames(), _video(4, 3, 9, 9)
    as_rows.load_state_dict(in_turn.state_dict())
    with pytest.raises(LayerError, match=r"separate call.*frames\.flatten\(0, 1\)"):
        explain(in_turn, x, methods="grad_cam", target=2)
    one, other = (explain(model, x, methods="gradient", target=2)["gradient"] for model in (in_turn, as_rows))
    assert torch.allclose(one.values, other.values, atol=1e-7)
    assert explain(as_rows, x, methods="grad_cam", target=2)["grad_cam"].magnitude.shape == (2, 4, 9, 9)


class _PlaceByPlace(nn.Module):
    """Tokens of each frame; then all frames of one place in turn, or all places of one frame."""

    def __init__(self, *, frames_last):
        super().__init__()
        self.patches, self.mix, self.head = nn.Conv2d(3, 6, 4, 4), nn.Linear(6, 6), nn.Linear(6, 3)
        self.frames_last = frames_last

    def forward(self, x):
        n, t = x.shape[:2]
        tokens = self.patches(x.flatten(0, 1)).flatten(2).mT.reshape(n, t, -1, 6)
        tokens = (tokens.transpose(1, 2) if self.frames_last else tokens).flatten(1, 2)
        tokens = torch.cat([tokens.new_zeros(n, 1, 6), tokens], 1)
        return self.head(self.mix(tokens).tanh().square().sum(1))


@pytest.mark.parametrize("frames_last", [False, True])
def test_the_order_of_a_videos_tokens(frames_last):
    model, x = _PlaceByPlace(frames_last=frames_last), _video(3, 3, 8, 8)
    outputs = []
    with model.mix.register_forward_hook(lambda module, args, output: outputs.append(output)):
        score = model(x)[:, 2].sum()
    (gradient,) = torch.autograd.grad(score, outputs[0])
    product = (gradient * outputs[0])[:, 1:].sum(2).relu()
    by_hand = product.view(2, 2, 2, 3).permute(0, 3, 1, 2) if frames_last else product.view(2, 3, 2, 2)
    found = explain(model, x, methods="hires_cam", target=2, target_layers="mix")["hires_cam"]
    assert torch.allclose(found.values[:, 0], by_hand.detach(), atol=1e-6)


class _Flat(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.head = nn.Linear(size, 2)

    def forward(self, x):
        return self.head(x.flatten(1))


def test_without_a_convolution_a_size_of_one_or_three_tells():
    for shape, layout in (((1, 5, 4, 4), "NCDHW"), ((5, 1, 4, 4), "NTCHW"), ((6, 3, 4, 4), "NTCHW")):
        x = _video(*shape)
        model = _Flat(x[0].numel())
        assert recognize_layout(model, x, lambda model=model, x=x: model(x[:1])) == layout
    x = _video(5, 6, 4, 4)
    with pytest.raises(InputError, match=r"\[N, 5, 6, 4, 4\].*layout='NTCHW'"):
        explain(_Flat(480), x, methods="gradient", target=1)
    found = explain(_Flat(480), x, methods="gradient", target=1, layout="ntchw")["gradient"]
    assert found.magnitude.shape == (2, 5, 4, 4)


def test_a_layout_of_any_dimensions():
    x = _video(4, 5, 3)
    found = explain(_Flat(60), x, methods="gradient", target=0, layout="NHWC")["gradient"]
    assert found.values.shape == (2, 3, 4, 5)
    with pytest.raises(InputError, match="names 5 axes"):
        explain(_Flat(60), x, methods="gradient", target=0, layout="NTCHW")
    for wrong in ("TNCHW", "NTHW", "NCC", "NC", 5, "NCDHWT"):
        with pytest.raises(ConfigurationError, match="one letter per axis"):
            checked_layout(wrong)


def test_axes_in_words():
    assert describe_axes("NCDHW", torch.rand(1, 1, 9, 4, 4)) == "NCDHW: 9 frames or slices of 1 × 4 × 4"
    assert describe_axes("NHWC", torch.rand(1, 3, 4, 5)) == "NHWC: 3 channels of 4 × 5"
