import matplotlib as mpl
import numpy as np
import pytest
import torch

from saliency_callbacks.errors import ConfigurationError, InputError
from saliency_callbacks.rendering import STYLES, colormap, display_images, render, signed_scale
from saliency_callbacks.rendering.legend import color_bar
from saliency_callbacks.types import Attribution


def attribution(values, magnitude):
    count = len(values)
    peak = magnitude.flatten(1).amax(1).view(-1, *[1] * (magnitude.ndim - 1))
    zeros = torch.zeros(count)
    return Attribution("gradient", values, magnitude, magnitude / peak, zeros.long(), zeros)


def example(spatial=(12, 10), channels=3, layer=None):
    values = torch.randn(4, channels, *spatial, generator=torch.Generator().manual_seed(0))
    inputs = torch.rand(4, 3, *spatial)
    found = attribution(values, values.abs().amax(1))
    if layer is not None:
        found = attribution(torch.randn(4, 1, *layer), found.magnitude)
    return found, display_images(inputs)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(
    ("spatial", "layer"),
    [((12, 10), None), ((12, 10), (3, 2)), ((40,), None), ((40,), (5,)), ((6, 8, 9), None), ((6, 8, 9), (2, 2, 3))],
)
@pytest.mark.parametrize("scale", [None, torch.tensor([0.0, 1.0, 2.0, float("nan")])])
def test_every_style_draws_every_kind_of_input(style, spatial, layer, scale):
    found, images = example(spatial, layer=layer)
    drawn = render(found, images, style=style, scale=scale)
    assert drawn.dtype == np.uint8
    assert drawn.shape == images.shape
    assert drawn[1].std() > 0


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 40])
def test_signed_styles_take_any_number_of_channels(channels):
    found, images = example(channels=channels)
    for style in ("signed", "signed_color"):
        assert render(found, images, style=style).shape == images.shape


def test_each_map_has_its_own_scale_unless_one_is_given():
    found, images = example()
    assert np.array_equal(render(found, images, style="greyscale"), colormap.greyscale(found.heatmap.numpy()))
    shared = render(found, images, style="greyscale", scale=torch.full((4,), 5.0))
    assert np.array_equal(shared, colormap.greyscale(found.magnitude.numpy() / 5))
    assert np.array_equal(shared, render(found, images, style="greyscale", scale=torch.tensor(5.0)))


def test_overlay_and_heatmap_use_the_color_map_and_opacity():
    found, images = example()
    heat = found.heatmap.numpy()
    assert np.array_equal(render(found, images, style="heatmap", colormap="magma"), colormap.apply(heat, "magma"))
    expected = colormap.overlay(images, heat, colormap="magma", alpha=0.3)
    assert np.array_equal(render(found, images, colormap="magma", alpha=0.3), expected)


def test_a_scale_that_is_not_positive_shows_nothing():
    found, images = example()
    assert np.array_equal(render(found, images, scale=torch.zeros(4)), colormap.ground(images))
    assert np.array_equal(render(found, images, scale=torch.zeros(4), colormap="rainbow"), images)


def test_signed_values_at_layer_resolution_are_interpolated():
    found, images = example((12, 10), layer=(3, 2))
    smooth = torch.nn.functional.interpolate(found.values, size=(12, 10), mode="bilinear", align_corners=False)
    expected = colormap.signed(smooth[:, 0].numpy(), np.full(4, 0.7))
    assert np.array_equal(render(found, images, style="signed", scale=torch.full((4,), 0.7)), expected)


def test_signed_shows_the_channel_sum():
    found, images = example()
    total = found.values.sum(1)
    expected = colormap.signed(total.numpy(), signed_scale(total).numpy())
    assert np.array_equal(render(found, images, style="signed"), expected)


def test_signed_scale_is_the_99th_percentile_or_the_maximum():
    values = torch.zeros(3, 1, 10, 20)
    values[0] = -torch.arange(200.0).view(1, 10, 20)
    values[1, 0, 0, 0] = -4.0
    values[2, 0, 0, 0] = float("nan")
    assert signed_scale(values).tolist() == [197.0, 4.0, 0.0]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("scale", [None, torch.ones(4)])
def test_what_is_not_finite_does_not_crash(style, scale):
    nothing = torch.full((4, 3, 12, 10), float("nan"))
    nothing[:, :, 0] = float("inf")
    found = Attribution("gradient", nothing, nothing[:, 0], nothing[:, 0], torch.zeros(4), torch.zeros(4))
    images = example()[1]
    drawn = render(found, images, style=style, scale=scale)
    assert drawn.shape == images.shape
    if style == "overlay":
        assert np.array_equal(drawn, colormap.ground(images))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_any_dtype_is_drawn(dtype):
    found, images = example()
    cast = attribution(found.values.to(dtype), found.magnitude.to(dtype))
    for style in STYLES:
        assert render(cast, images, style=style).shape == images.shape


def test_mistakes_are_refused():
    found, images = example()
    with pytest.raises(ConfigurationError, match="did you mean 'overlay'"):
        render(found, images, style="overlya")
    with pytest.raises(InputError, match="3 images for an attribution of 4"):
        render(found, images[:3])
    with pytest.raises(InputError, match="2 scales for 4"):
        render(found, images, scale=torch.ones(2))


def test_auto_is_the_color_map_of_the_style():
    found, images = example()
    assert np.array_equal(
        render(found, images, style="heatmap"), render(found, images, style="heatmap", colormap="inferno")
    )
    for style, first in (("heatmap", 0), ("overlay", 0.55)):
        expected = mpl.colormaps["inferno"](np.linspace(first, 1, 256), bytes=True)[:, :3]
        assert np.array_equal(color_bar(style), expected)
