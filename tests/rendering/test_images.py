import numpy as np
import pytest
import torch
from PIL import Image

from saliency_callbacks.arrays.slices import ContactSheet
from saliency_callbacks.errors import InputError
from saliency_callbacks.rendering.images import display_images, display_maps, display_slices


def test_the_normalization_is_undone():
    pixels = torch.rand(2, 3, 5, 4)
    mean, std = torch.tensor([0.4, 0.5, 0.6]), (0.2, 0.3, 0.1)
    normalized = (pixels - mean.view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    expected = (pixels * 255 + 0.5).to(torch.uint8).permute(0, 2, 3, 1).numpy()
    assert np.abs(display_images(normalized, mean=mean, std=std).astype(int) - expected).max() <= 1
    assert np.array_equal(display_images(pixels), expected)
    assert np.array_equal(display_images(pixels - 0.5, mean=0.5), expected)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64, torch.int64])
def test_eight_bit_pixels_are_recognized(dtype):
    pixels = torch.tensor([[[[0, 40], [128, 200]]]]).to(dtype)
    assert display_images(pixels)[0, :, :, 0].tolist() == [[0, 40], [128, 200]]


def test_other_ranges_are_scaled_over_the_whole_batch():
    batch = torch.tensor([[-2.0, 0.0], [1.0, 2.0]]).view(2, 1, 1, 2)
    assert display_images(batch)[:, 0, :, 0].tolist() == [[0, 128], [191, 255]]
    assert display_images(torch.tensor([0.0, 16.0]).view(1, 1, 1, 2)).max() == 255
    overshoot = torch.tensor([0.0, 0.5, 1.01]).view(1, 1, 1, 3)
    assert display_images(overshoot)[0, 0, :, 0].tolist() == pytest.approx([0, 126, 255], abs=1)
    assert display_images(torch.full((1, 3, 4, 4), 7.0)).shape == (1, 4, 4, 3)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_channels(channels):
    batch = torch.rand(2, channels, 4, 5)
    drawn = display_images(batch)
    assert drawn.shape == (2, 4, 5, 3)
    assert drawn.flags["C_CONTIGUOUS"]
    wanted = batch[:, :3] if channels in (3, 4) else batch.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    assert np.abs(drawn - wanted.permute(0, 2, 3, 1).numpy() * 255).max() <= 1.5


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.bool])
def test_any_dtype(dtype):
    assert display_images(torch.ones(1, 1, 2, 2, dtype=dtype)).min() == 255


def test_what_is_not_finite_is_shown_as_zero():
    batch = torch.rand(1, 1, 2, 2)
    batch[0, 0, 0] = torch.tensor([float("nan"), float("inf")])
    assert display_images(batch)[0, 0].max() == 0
    assert np.isfinite(display_maps(batch[:, 0], (2, 2))).all()
    assert display_images(torch.full((1, 1, 50), float("nan"))).shape[1] == 96


def test_impossible_inputs_are_refused():
    with pytest.raises(InputError, match="spatial"):
        display_images(torch.rand(2, 3))
    with pytest.raises(InputError, match="spatial"):
        display_maps(torch.rand(2), (4, 4))
    with pytest.raises(InputError, match="mean has 2 values; expected 1 or 3"):
        display_images(torch.rand(1, 3, 2, 2), mean=(0.1, 0.2))


@pytest.mark.parametrize(
    ("depth", "shown", "columns"),
    [(1, [0], 1), (2, [0, 1], 1), (9, [1, 3, 5, 7], 2), (200, [25, 75, 125, 175], 2)],
)
def test_a_volume_is_shown_as_evenly_spaced_slices_and_so_is_its_map(depth, shown, columns):
    volume = torch.rand(2, 1, depth, 6, 7, generator=torch.Generator().manual_seed(0))
    pictures = display_images(volume)
    rows = len(shown) // columns
    assert pictures.shape == (2, 6 * rows, 7 * columns, 3)
    maps = display_maps(volume[:, 0], pictures.shape[1:3])
    for place, index in enumerate(shown):
        row, column = divmod(place, columns)
        part = np.s_[:, 6 * row : 6 * (row + 1), 7 * column : 7 * (column + 1)]
        assert np.array_equal(pictures[part], display_images(volume[:, :, index]))
        assert np.array_equal(maps[part], volume[:, 0, index].numpy())
    assert np.array_equal(display_slices(volume)[:, shown[-1]], display_images(volume[:, :, shown[-1]]))


def test_slices_of_a_volume_have_one_range():
    volume = torch.stack([torch.zeros(4, 4), torch.full((4, 4), 1000.0)])[None, None]
    assert display_slices(volume)[0, :, 0, 0, 0].tolist() == [0, 255]


@pytest.mark.parametrize("size", [(20, 20), (8, 40), (40, 8), (3, 100)])
@pytest.mark.parametrize("depth", [1, 2, 5, 7, 9, 50])
def test_a_contact_sheet_is_no_strip_and_has_few_empty_places(depth, size):
    sheet = ContactSheet.of((depth, *size))
    height, width = sheet.rows * size[0], sheet.columns * size[1]
    alone = max(size) / min(size)
    assert max(height / width, width / height) <= max(alone, 3)
    assert sheet.rows * sheet.columns - len(sheet.indices) < sheet.columns


def test_maps_are_resampled_to_the_nearest_pixel_as_pillow_does():
    maps = torch.rand(2, 7, 5)
    expected = [np.asarray(Image.fromarray(one).resize((23, 30), Image.Resampling.NEAREST)) for one in maps.numpy()]
    assert np.array_equal(display_maps(maps, (30, 23)), np.stack(expected))


def test_shrunken_bands_keep_peaks_of_either_sign():
    values = torch.zeros(1, 4000)
    values[0, 1000], values[0, 3000] = 2.0, -3.0
    bands = display_maps(values, (96, 512))
    assert (bands.max(), bands.min()) == (2.0, -3.0)


def test_bands_have_scales_of_their_own():
    bands = torch.stack([torch.linspace(low, high, 400).reshape(20, 20) for low, high in ((0, 1), (5, 9), (-3, 3))])
    batch = torch.cat([bands, torch.rand(2, 20, 20), 1e6 * torch.ones(1, 20, 20)])[None]
    batch[0, 0, 0, 0] = -1e9  # a broken pixel
    expected = np.percentile(batch[0, :3].double().numpy(), (2, 98), axis=(1, 2))
    low, high = (torch.from_numpy(found).view(3, 1, 1) for found in expected)
    scaled = ((batch[0, :3].double() - low) / (high - low)).clamp(0, 1)
    drawn = display_images(batch, bands=(2, 0, 1))[0]
    assert np.abs(drawn - scaled[[2, 0, 1]].permute(1, 2, 0).numpy() * 255).max() <= 1
    assert drawn.std() > 50, "one outlying value and one outlying band darken nothing"
    grey = display_images(batch, bands=(1,))[0]
    assert np.array_equal(grey[..., 0], grey[..., 2])
    assert np.abs(grey[..., 0] - scaled[1].numpy() * 255).max() <= 1
    mean = display_images(batch)[0, ..., 0]
    assert mean.std() > 10
    normalized = (batch - 3) / 7
    assert np.abs(display_images(normalized, mean=3, std=7, bands=(2, 0, 1))[0].astype(int) - drawn).max() <= 1


def test_bands_of_a_picture_keep_its_range():
    batch = torch.rand(2, 3, 4, 4) * 0.3
    assert np.array_equal(display_images(batch, bands=(2, 1, 0)), display_images(batch)[..., ::-1])


@pytest.mark.parametrize("bands", [(0, 1), (0, 1, 6), (-1,)])
def test_bands_that_are_not_there(bands):
    with pytest.raises(InputError, match="one or three channels from 0 to 5"):
        display_images(torch.rand(1, 6, 4, 4), bands=bands)


def test_the_normalization_of_eight_bit_pixels_is_undone():
    pixels = torch.rand(2, 3, 6, 6) * 255
    mean, std = (123.0, 117.0, 104.0), (58.0, 57.0, 57.0)
    normalized = (pixels - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    assert np.abs(display_images(normalized, mean=mean, std=std).astype(int) - display_images(pixels)).max() <= 1
    assert np.abs(display_images(pixels / 255, mean=0, std=255).astype(int) - display_images(pixels)).max() <= 1
