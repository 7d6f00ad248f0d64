import numpy as np
import pytest
import torch

from saliency_callbacks.callbacks.runtime.appearance import Appearance
from saliency_callbacks.callbacks.saliency import filmstrips
from saliency_callbacks.callbacks.saliency import pictures as module
from saliency_callbacks.callbacks.saliency.filmstrips import FramePictures
from saliency_callbacks.callbacks.saliency.history import Frame
from saliency_callbacks.callbacks.saliency.pictures import Pictures, for_filmstrips, for_panels
from saliency_callbacks.callbacks.saliency.scales import frame_of, scale_of
from saliency_callbacks.rendering import Caption, render
from saliency_callbacks.rendering.theme import WRONG
from saliency_callbacks.types import Attribution, Snapshot


def _attribution(values: torch.Tensor) -> Attribution:
    magnitude = values.abs().amax(1)
    heatmap = magnitude / magnitude.flatten(1).amax(1)[:, None, None]
    count = len(values)
    return Attribution("m", values, magnitude, heatmap, torch.zeros(count, dtype=torch.long), torch.zeros(count))


def _frames(values: torch.Tensor, look: Appearance, earlier: float) -> list[Frame]:
    return [
        frame_of(_attribution(factor * values), look, f"epoch {index}") for index, factor in enumerate((earlier, 1.0))
    ]


def _pictures(
    values: torch.Tensor, scale: float, look: Appearance, *, size: tuple[int, ...] = (8, 8), earlier: float = 1.0
) -> Pictures:
    attribution = _attribution(values)
    snapshot = Snapshot(epoch=3, step=9, stage="fit", attributions={"m": attribution})
    images = np.full((2, *size, 3), 128, dtype=np.uint8)
    return Pictures(
        snapshot,
        images=images,
        small_images=for_filmstrips(images, n_spatial=2),
        captions=[Caption("a"), Caption("b")],
        scales={"m": torch.full((2,), scale)},
        frames={"m": _frames(values, look, earlier)},
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
    monkeypatch.setattr(module, "panel", lambda *args, **kwargs: calls.append(1) or np.zeros((1, 1, 3), dtype=np.uint8))
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


@pytest.mark.parametrize("style", ["overlay", "heatmap", "greyscale", "signed", "signed_color"])
@pytest.mark.parametrize("color_scale", ["shared", "per_map"])
def test_the_columns_of_a_filmstrip_are_its_frames_rendered_in_one_call(values, monkeypatch, style, color_scale):
    calls, strips = [], []
    monkeypatch.setattr(filmstrips, "render", lambda *args, **kwargs: calls.append(1) or render(*args, **kwargs))
    monkeypatch.setattr(filmstrips, "filmstrip", lambda *args, **kwargs: strips.append(args) or args[0][0])
    pictures = _pictures(values, 0.7, Appearance(style, color_scale), earlier=-0.25)
    assert pictures["n/m/filmstrip"] is not None
    assert len(calls) == 1
    ((images, columns, captions),) = strips
    assert np.array_equal(images, for_filmstrips(pictures.images, n_spatial=2))
    assert captions == ["a", "b"]
    assert [name for name, _ in columns] == ["epoch 0", "epoch 1"]
    for (_, column), frame in zip(columns, _frames(values, pictures.appearance, -0.25), strict=True):
        alone = render(
            _attribution(frame.maps.unsqueeze(1)),
            images,
            style="signed" if style == "signed_color" else style,
            scale=torch.full((2,), 0.7) if color_scale == "shared" else None,
            alpha=pictures.appearance.alpha,
        )
        np.testing.assert_array_equal(column, alone)
    if color_scale == "shared":
        assert not np.array_equal(columns[0][1], columns[1][1])


def test_the_scale_of_a_map_is_its_99th_percentile_else_its_maximum():
    values = torch.zeros(2, 1, 20, 20)
    values[0] = torch.arange(400.0).reshape(20, 20)
    values[1, 0, 0, 0] = -7
    scale = scale_of(_attribution(values), Appearance())
    assert scale.tolist() == pytest.approx([np.percentile(np.arange(400), 99), 7.0], rel=1e-3)
    assert scale_of(_attribution(values), Appearance("signed")).tolist() == pytest.approx(scale.tolist(), rel=1e-3)


def test_a_frame_keeps_the_sign_where_it_is_drawn(values):
    kept = frame_of(_attribution(values), Appearance("signed"), "x").maps
    torch.testing.assert_close(kept, values.sum(1), rtol=1e-2, atol=1e-2)
    kept = frame_of(_attribution(values), Appearance("overlay"), "x").maps
    torch.testing.assert_close(kept, values.abs().amax(1), rtol=1e-2, atol=1e-2)


def test_maps_that_were_made_smaller_are_drawn_over_smaller_pictures():
    values = torch.rand(2, 1, 200, 100, generator=torch.Generator().manual_seed(0))
    look = Appearance()
    frame = frame_of(_attribution(values), look, "epoch 0")
    assert frame.maps.shape == (2, 64, 32)
    small, large = (_pictures(one, 1.0, look, size=one.shape[2:]) for one in (values[:, :, :72, :36], values))
    assert large["n/m/filmstrip"].shape == small["n/m/filmstrip"].shape
    assert large["n/m"].shape != small["n/m"].shape


@pytest.mark.parametrize(("size", "expected"), [((144, 72), (72, 36)), ((100, 300), (24, 72)), ((224, 224), (72, 72))])
def test_pictures_are_averaged_to_the_size_of_the_frames(size, expected):
    images = np.random.default_rng(0).integers(0, 256, (2, *size, 3), dtype=np.uint8)
    small = for_filmstrips(images, n_spatial=2)
    assert small.shape == (2, *expected, 3)
    assert small.dtype == np.uint8
    assert abs(small.mean() - images.mean()) < 1
    if size == (144, 72):
        blocks = images.reshape(2, 72, 2, 36, 2, 3).mean((2, 4))
        assert np.abs(small - blocks).max() <= 1


@pytest.mark.parametrize(("size", "n_spatial"), [((72, 40), 2), ((8, 8), 2), ((120, 640), 1), ((72, 72), 3)])
def test_small_pictures_and_those_of_signals_stay_as_they_are(size, n_spatial):
    images = np.zeros((2, *size, 3), dtype=np.uint8)
    assert for_filmstrips(images, n_spatial) is images
    assert for_panels(images, n_spatial) is images


@pytest.mark.parametrize(("n_spatial", "size"), [(2, (222, 296)), (3, (416, 554))])
def test_large_maps_are_drawn_at_the_size_they_are_shown_in(values, n_spatial, size):
    images = np.random.default_rng(0).integers(0, 256, (2, 600, 800, 3), dtype=np.uint8)
    shown = for_panels(images, n_spatial)
    assert shown.shape == (2, *size, 3)
    assert for_panels(shown, n_spatial) is shown
    # A map of blocks, each as large as a pixel that is shown, is drawn as that of the blocks alone.
    coarse = values[..., :3, :4]
    fine = _attribution(coarse.repeat_interleave(200, dim=2).repeat_interleave(200, dim=3))
    small = np.zeros((2, 3, 4, 3), dtype=np.uint8)
    np.testing.assert_array_equal(render(fine, small), render(_attribution(coarse), small))


def test_several_methods_share_a_picture_whose_columns_are_their_maps(values, monkeypatch):
    strips = []
    monkeypatch.setattr(module, "filmstrip", lambda *args, **kwargs: strips.append((args, kwargs)) or args[0][0])
    look = Appearance()
    attributions = {"a": _attribution(values), "b": _attribution(values.flip(-1))}
    images = np.full((2, 8, 8, 3), 128, dtype=np.uint8)
    pictures = Pictures(
        Snapshot(epoch=3, step=9, stage="fit", attributions=attributions),
        images=images,
        small_images=images,
        captions=[Caption("x", "pred y · 0.50", True), Caption("y")],
        scales=dict.fromkeys(attributions, torch.ones(2)),
        frames={name: _frames(values, look, 1.0) for name in attributions},
        appearance=look,
        namespace="n",
    )
    assert list(pictures) == ["n/a", "n/a/filmstrip", "n/b", "n/b/filmstrip", "n/methods"]
    assert pictures["n/methods"] is not None
    (((shown, columns, captions), settings),) = strips
    assert np.array_equal(shown, images)
    assert captions == pictures.captions
    assert settings["max_columns"] == 2
    for (name, maps), (expected_name, attribution) in zip(columns, attributions.items(), strict=True):
        assert name == expected_name
        assert np.array_equal(maps, render(attribution, images, scale=torch.ones(2)))


@pytest.mark.parametrize("style", ["overlay", "heatmap", "signed"])
def test_the_outline_is_around_the_largest_pixels_of_what_is_drawn(style):
    values = 0.1 * torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    values[:, :, 2:4, 5:7] = -1.0 if style == "signed" else 1.0
    pictures = {contour: _pictures(values, 1.0, Appearance(style, contour=contour)) for contour in (None, 4 / 64)}
    for tag in ("n/m", "n/m/filmstrip"):
        assert not np.array_equal(pictures[None][tag], pictures[4 / 64][tag])
    (region,) = pictures[4 / 64]._regions("m")[:1]
    expected = np.zeros((8, 8), dtype=bool)
    expected[2:4, 5:7] = True
    assert np.array_equal(region, expected)


def test_an_animation_has_a_frame_a_moment_in_order_with_wrong_predictions_framed(values):
    look = Appearance("heatmap", color_scale="shared")
    wrong = [torch.tensor([True, True]), torch.tensor([False, True]), torch.tensor([False, False])]
    frames = [
        frame_of(_attribution(factor * values), look, f"epoch {index}", each)
        for index, (factor, each) in enumerate(zip((0.01, 0.3, 1.0), wrong, strict=True))
    ]
    images = np.full((2, 8, 8, 3), 128, dtype=np.uint8)
    story = FramePictures("m", frames, images, ["a", "b"], torch.ones(2), look).evolution()
    assert story.dtype == np.uint8
    assert len(story) == 3
    brightness = story.astype(float).mean((1, 2, 3))
    assert (story != story[0]).any(), "the frames differ"
    red = (story == np.array(WRONG, dtype=np.uint8)).all(-1).sum((1, 2))
    assert red[0] > 1.5 * red[1] > 0 == red[2]
    assert brightness[2] > brightness[0], "one scale: weak maps stay dark"
