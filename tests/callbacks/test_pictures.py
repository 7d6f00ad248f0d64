import numpy as np
import pytest
import torch

from saliency_callbacks.callbacks.pictures import Appearance, Pictures, frame_of, scale_of
from saliency_callbacks.rendering import Caption
from saliency_callbacks.types import Attribution, Snapshot


def _attribution(values: torch.Tensor) -> Attribution:
    magnitude = values.abs().amax(1)
    heatmap = magnitude / magnitude.flatten(1).amax(1)[:, None, None]
    return Attribution("m", values, magnitude, heatmap, torch.zeros(2, dtype=torch.long), torch.zeros(2))


def _pictures(values: torch.Tensor, scale: float, look: Appearance, *, size: tuple[int, ...] = (8, 8)) -> Pictures:
    attribution = _attribution(values)
    snapshot = Snapshot(epoch=3, step=9, stage="fit", attributions={"m": attribution})
    frames = [frame_of(attribution, look, f"epoch {index}") for index in range(2)]
    images = np.full((2, *size, 3), 128, dtype=np.uint8)
    return Pictures(
        snapshot,
        images=images,
        captions=[Caption("a"), Caption("b")],
        scales={"m": torch.full((2,), scale)},
        frames={"m": frames},
        appearance=look,
        namespace="n",
    )


@pytest.fixture
def values() -> torch.Tensor:
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("style", ["overlay", "heatmap", "greyscale", "signed", "signed_color"])
@pytest.mark.parametrize("color_scale", ["shared", "per_map"])
def test_a_panel_and_a_filmstrip_for_each_method(values, style, color_scale):
    pictures = _pictures(values, 1.0, Appearance(style, color_scale))
    assert list(pictures) == ["n/m", "n/m/filmstrip"]
    assert len(pictures) == 2
    for picture in pictures.values():
        assert picture.dtype == np.uint8
        assert picture.ndim == 3
        assert len(np.unique(picture)) > 8


def test_a_picture_is_rendered_once_and_only_when_asked_for(values, monkeypatch):
    calls = []
    module = "saliency_callbacks.callbacks.pictures.panel"
    monkeypatch.setattr(module, lambda *args, **kwargs: calls.append(1) or np.zeros((1, 1, 3), dtype=np.uint8))
    pictures = _pictures(values, 1.0, Appearance())
    assert calls == []
    assert pictures["n/m"] is pictures["n/m"]
    assert len(calls) == 1


@pytest.mark.parametrize("tag", ["n/m", "n/m/filmstrip"])
def test_a_shared_scale_makes_weak_maps_faint_and_a_scale_of_its_own_does_not(values, tag):
    def rendered(factor, color_scale):
        return _pictures(values * factor, 1.0, Appearance("heatmap", color_scale))[tag]

    assert np.array_equal(rendered(1.0, "per_map"), rendered(1e-2, "per_map"))
    assert rendered(1e-2, "shared").mean() < rendered(1.0, "shared").mean()


def test_the_scale_of_a_map_is_its_99th_percentile_else_its_maximum():
    values = torch.zeros(2, 1, 20, 20)
    values[0] = torch.arange(400.0).reshape(20, 20)
    values[1, 0, 0, 0] = -7
    scale = scale_of(_attribution(values), Appearance())
    assert scale.tolist() == pytest.approx([np.percentile(np.arange(400), 99), 7.0], rel=1e-3)
    assert scale_of(_attribution(values), Appearance("signed")).tolist() == pytest.approx(scale.tolist(), rel=1e-3)


def test_a_frame_keeps_the_sign_where_it_is_drawn(values):
    kept = frame_of(_attribution(values), Appearance("signed"), "x").maps()
    torch.testing.assert_close(kept, values.sum(1), rtol=1e-2, atol=1e-2)
    kept = frame_of(_attribution(values), Appearance("overlay"), "x").maps()
    torch.testing.assert_close(kept, values.abs().amax(1), rtol=1e-2, atol=1e-2)


def test_maps_that_were_made_smaller_are_drawn_over_smaller_pictures():
    values = torch.rand(2, 1, 200, 100, generator=torch.Generator().manual_seed(0))
    look = Appearance()
    frame = frame_of(_attribution(values), look, "epoch 0")
    assert frame.maps().shape == (2, 96, 48)
    small, large = (_pictures(one, 1.0, look, size=one.shape[2:]) for one in (values[:, :, :96, :48], values))
    assert large["n/m/filmstrip"].shape == small["n/m/filmstrip"].shape
    assert large["n/m"].shape != small["n/m"].shape
