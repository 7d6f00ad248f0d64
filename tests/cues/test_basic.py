"""Each cue changes what it says and nothing else, can be written in YAML, and explains what does not fit."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from jsonargparse import ArgumentParser
from PIL import Image

from saliency_callbacks import probe
from saliency_callbacks.cues.basic import Cue
from saliency_callbacks.cues.checks import check_changed
from saliency_callbacks.errors import ConfigurationError, CueError
from saliency_callbacks.probe import BackgroundCue, BrightnessCue, ChannelShiftCue, FunctionCue, ImageCue, PatchCue

IMAGES = torch.rand(3, 3, 8, 10, generator=torch.Generator().manual_seed(0))
OBJECTS = torch.zeros(3, 8, 10, dtype=torch.bool)
OBJECTS[:, 2:6, 3:7] = True


def invert(images: torch.Tensor) -> torch.Tensor:
    return images.neg_().add_(1)  # in place, as a user's function may


def bright_pixels(images: torch.Tensor) -> torch.Tensor:
    return images.mean(dim=1) > 0.5


def left_half(images: torch.Tensor) -> torch.Tensor:
    images = images.clone()
    images[..., :5] = 3.0
    return images


CUES = [
    PatchCue((-2, -2, 2, 2)),
    PatchCue([0, 3, 2, 4], [0.0, 0.5, 1.0], name="sticker"),
    ImageCue(torch.rand(3, 5, 5), (1, 1, 4, 6), alpha=0.5),
    BrightnessCue(0.25),
    ChannelShiftCue([0.5, 0, -0.5]),
    ChannelShiftCue({2: 1.0}),
    BackgroundCue(OBJECTS, 0.5),
    BackgroundCue(bright_pixels, [0, 0.25, 1]),
    BackgroundCue("tests.cues.test_basic.bright_pixels", torch.rand(3, 4, 4)),
    FunctionCue(invert),
    FunctionCue("tests.cues.test_basic.left_half"),
]


@pytest.mark.parametrize("cue", CUES, ids=repr)
def test_every_cue_keeps_to_its_mask_and_range(cue):
    before = IMAGES.clone()
    after, mask = cue.insert(IMAGES), cue.mask(IMAGES)
    assert isinstance(cue, Cue)
    assert torch.equal(IMAGES, before), "the images that were given are left alone"
    assert (after.shape, after.dtype) == (IMAGES.shape, IMAGES.dtype)
    assert (mask.shape, mask.dtype) == (OBJECTS.shape, torch.bool)
    assert after.amin() >= 0
    assert after.amax() <= 1
    outside = (~mask)[:, None].expand_as(IMAGES)
    assert torch.equal(after[outside], IMAGES[outside])
    assert (after != IMAGES).flatten(1).any(dim=1).all()
    assert torch.equal(after, cue.insert(IMAGES)), "the same again"


@pytest.mark.parametrize("cue", CUES, ids=repr)
def test_a_copy_is_equal_and_does_the_same(cue):
    copy = pickle.loads(pickle.dumps(cue))
    assert copy == cue
    assert hash(copy) == hash(cue)
    assert repr(copy) == repr(cue)
    assert copy.name == cue.name
    assert torch.equal(copy.insert(IMAGES), cue.insert(IMAGES))


def test_cues_are_equal_by_their_settings():
    assert PatchCue([0, 0, 1, 1], 1) == PatchCue((0, 0, 1, 1))
    assert BackgroundCue(OBJECTS, 0.5) == BackgroundCue(OBJECTS.numpy(), 0.5)
    assert len({repr(cue) for cue in CUES}) == len(set(CUES)) == len(CUES)
    different = [
        (PatchCue((0, 0, 1, 1)), PatchCue((0, 0, 1, 1), name="other")),
        (ImageCue(torch.ones(2, 2), (0, 0, 1, 1)), ImageCue(torch.zeros(2, 2), (0, 0, 1, 1))),
        (BackgroundCue(OBJECTS, 0.5), BackgroundCue(~OBJECTS, 0.5)),
        (BrightnessCue(0.5), 0.5),
    ]
    assert all(one != other for one, other in different)


@given(arrays(np.float64, (2, 3, 4, 4), elements=st.floats(0, 1)), st.floats(-1, 1))
def test_brightness_and_shift_stay_in_range(values, amount):
    images = torch.from_numpy(values)
    expected = np.clip(values + amount, 0, 1)
    np.testing.assert_allclose(BrightnessCue(amount).insert(images).numpy(), expected, atol=1e-12)
    np.testing.assert_allclose(ChannelShiftCue([amount] * 3).insert(images).numpy(), expected, atol=1e-6)
    one = ChannelShiftCue({1: amount}).insert(images).numpy()
    np.testing.assert_allclose(one[:, 1], expected[:, 1], atol=1e-6)
    assert (one[:, [0, 2]] == values[:, [0, 2]]).all()


@pytest.mark.parametrize("spatial", [(6,), (4, 4), (3, 4, 5)])
@pytest.mark.parametrize("cue", [BrightnessCue(0.5), ChannelShiftCue([0.5, -0.5]), FunctionCue(invert)], ids=repr)
def test_signals_and_volumes(cue, spatial):
    images = torch.full((2, 2, *spatial), 0.25)
    assert cue.insert(images).shape == images.shape
    assert cue.mask(images).shape == (2, *spatial)
    assert cue.mask(images).all()


@pytest.mark.parametrize(
    ("box", "rows", "columns"),
    [((-2, -2, 2, 2), [6, 7], [6, 7]), ((0, -3, 1, 2), [0], [5, 6]), ((3, 0, 2, 1), [3, 4], [0])],
)
def test_a_box_counts_from_the_near_or_the_far_edge(box, rows, columns):
    mask = PatchCue(box).mask(torch.zeros(1, 1, 8, 8))[0]
    assert mask.any(dim=1).nonzero().flatten().tolist() == rows
    assert mask.any(dim=0).nonzero().flatten().tolist() == columns
    assert mask.sum() == len(rows) * len(columns)


def test_a_patch_has_a_color_for_each_channel():
    after = PatchCue((1, 1, 2, 2), [0.0, 0.5, 1.0]).insert(IMAGES)
    assert after[0, :, 1, 1].tolist() == [0.0, 0.5, 1.0]


def test_names():
    given = [PatchCue((0, 0, 1, 1)), ImageCue(torch.ones(1, 1), (0, 0, 1, 1)), BrightnessCue(0.1)]
    given += [ChannelShiftCue([0.1]), BackgroundCue("probe", 0), FunctionCue(invert), FunctionCue("torch.square")]
    assert [cue.name for cue in given] == [
        "patch",
        "image",
        "brightness",
        "channel_shift",
        "background",
        "invert",
        "square",
    ]
    assert FunctionCue(lambda images: images).name == "function"
    for wrong in ("", "a b", "a/b", "ä", 3):
        with pytest.raises(CueError, match=r"name=.*letters, digits, '_' and '-'"):
            BrightnessCue(0.1, name=wrong)


CONFIGURATIONS = {
    "PatchCue": ({"box": [-2, -2, 2, 2], "value": [0, 0.5, 1]}, PatchCue((-2, -2, 2, 2), [0, 0.5, 1])),
    "BrightnessCue": ({"delta": -0.5, "name": "dark"}, BrightnessCue(-0.5, name="dark")),
    "ChannelShiftCue": ({"shift": {0: 0.5, 2: -0.5}}, ChannelShiftCue({0: 0.5, 2: -0.5})),
    "ChannelShiftCue ": ({"shift": [0.5, 0, 0]}, ChannelShiftCue([0.5, 0, 0])),
    "BackgroundCue": ({"masks": "probe", "background": [0, 0, 1]}, BackgroundCue("probe", [0, 0, 1])),
    "BackgroundCue ": ({"masks": "tests.cues.test_basic.bright_pixels", "background": 0.5}, None),
    "FunctionCue": ({"function": "tests.cues.test_basic.invert"}, None),
    "ImageCue": ({"image": "WATERMARK", "box": [0, 0, 4, 4], "alpha": 0.5}, None),
    "BackgroundCue  ": ({"masks": "tests.cues.test_basic.bright_pixels", "background": "WATERMARK"}, None),
}


@pytest.mark.parametrize("key", CONFIGURATIONS)
def test_every_cue_can_be_written_in_yaml(key, tmp_path):
    watermark = tmp_path / "watermark.png"
    Image.new("RGBA", (4, 4), (255, 0, 0, 128)).save(watermark)
    arguments, expected = CONFIGURATIONS[key]
    arguments = {name: str(watermark) if value == "WATERMARK" else value for name, value in arguments.items()}
    name = key.strip()
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--cue", type=Cue)
    written = yaml.safe_dump({"cue": {"class_path": f"saliency_callbacks.probe.{name}", "init_args": arguments}})
    config = parser.parse_string(written)
    again = parser.parse_string(parser.dump(config))
    instantiate = getattr(parser, "instantiate", None) or parser.instantiate_classes  # renamed in jsonargparse 4.5x
    found, repeated = (instantiate(each).cue for each in (config, again))
    assert type(found) is getattr(probe, name)
    assert found == repeated
    assert expected is None or found == expected
    if expected is None:
        assert torch.equal(found.insert(IMAGES), getattr(probe, name)(**arguments).insert(IMAGES))


@pytest.mark.parametrize(
    "box", [(7, 0, 2, 1), (0, -11, 1, 1), (-9, 0, 1, 1), (0, 0, 9, 1), (-1, 0, 2, 1), (0, 9, 20, 20)], ids=str
)
@pytest.mark.parametrize("make", [PatchCue, lambda box: ImageCue(torch.ones(1, 1), box)])
def test_a_box_outside_the_image(make, box):
    for use in (make(box).insert, make(box).mask):
        with pytest.raises(CueError, match=r"extends beyond the images, which are 8 pixels high and 10 wide") as error:
            use(IMAGES)
        assert str(box) in str(error.value)
        valid = str(error.value).partition("inside them, such as (")[2].partition(")")[0]
        assert PatchCue([int(number) for number in valid.split(",")]).mask(IMAGES).any()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PatchCue((0, 0, 0, 2)), r"box=\(0, 0, 0, 2\).*\(-2, -2, 2, 2\)"),
        (lambda: PatchCue((0, 0, 2)), "four integers"),
        (lambda: PatchCue((0, 0, 2.5, 1)), "four integers"),
        (lambda: PatchCue(3), "four integers"),
        (lambda: PatchCue((0, 0, 1, 1), 255), r"value=255\); expected a number from 0 to 1.*by 255"),
        (lambda: PatchCue((0, 0, 1, 1), [0, -0.1]), r"value=-0.1\)"),
        (lambda: PatchCue((0, 0, 1, 1), float("nan")), r"value=nan\)"),
        (lambda: PatchCue((0, 0, 1, 1), True), r"value=True\)"),
        (lambda: BrightnessCue(2), r"delta=2\); expected a number from -1 to 1"),
        (lambda: ImageCue(torch.ones(1, 1), (0, 0, 1, 1), alpha=1.5), "alpha=1.5"),
        (lambda: ImageCue(torch.full((2, 2), 255.0), (0, 0, 1, 1)), "values from 255 to 255.*by 255"),
        (lambda: ImageCue(torch.ones(1, 1, 1, 1), (0, 0, 1, 1)), r"Tensor\[1, 1, 1, 1\]"),
        (lambda: ImageCue(3, (0, 0, 1, 1)), r"image=int"),
        (lambda: ImageCue("nowhere/logo.png", (0, 0, 1, 1)), r"'nowhere/logo.png'.*FileNotFoundError"),
        (lambda: ImageCue(__file__, (0, 0, 1, 1)), "UnidentifiedImageError"),
        (lambda: BackgroundCue("probe", "nowhere/sea.png"), r"background='nowhere/sea.png'"),
        (lambda: BackgroundCue("probe", 7), "background=7"),
        (lambda: BackgroundCue(None, 0.5), "masks=None"),
        (lambda: BackgroundCue("prob", 0.5), "masks=.*'prob'"),
        (lambda: ChannelShiftCue(0.5), r"shift=0.5.*\{0: 0.1\}"),
        (lambda: ChannelShiftCue([]), "shift="),
        (lambda: ChannelShiftCue({}), "shift="),
        (lambda: ChannelShiftCue({"red": 0.5}), "shift=.*red"),
        (lambda: ChannelShiftCue({0: 5}), r"shift\[0\]=5"),
        (lambda: FunctionCue(None), "function=None"),
        (lambda: FunctionCue("nowhere.function"), r"FunctionCue\(function=...\)='nowhere.function'"),
    ],
)
def test_settings_that_cannot_work(make, message):
    with pytest.raises(ConfigurationError, match=message):
        make()


@pytest.mark.parametrize(
    ("cue", "images", "message"),
    [
        (PatchCue((0, 0, 1, 1)), torch.zeros(1, 1, 8), r"\[1, 1, 8\].*BrightnessCue"),
        (PatchCue((0, 0, 1, 1)), torch.zeros(1, 1, 8, 8, 8), r"\[N, C, height, width\]"),
        (BackgroundCue(bright_pixels, 0.5), torch.zeros(1, 1, 8), r"\[1, 1, 8\]"),
        (PatchCue((0, 0, 1, 1), [1, 1, 1]), torch.zeros(1, 1, 8, 8), "3 numbers.*have 1 channel"),
        (ImageCue(torch.ones(3, 1, 1), (0, 0, 1, 1)), torch.zeros(1, 2, 8, 8), "3 color channels.*have 2"),
        (ChannelShiftCue([0.1, 0.1]), IMAGES, "2 numbers.*have 3 channels"),
        (ChannelShiftCue({3: 0.1}), IMAGES, "channel 3.*0 to 2"),
        (BackgroundCue(OBJECTS, 0.5), IMAGES[:2], r"Tensor\[3, 8, 10\].*expected \[2, 8, 10\], one mask"),
        (BackgroundCue(OBJECTS[:, None], 0.5), IMAGES, r"\[3, 1, 8, 10\].*squeeze\(1\)"),
        (BackgroundCue(lambda images: 3, 0.5), IMAGES, "masks int"),
        (BackgroundCue(OBJECTS, torch.ones(2, 3, 8, 10)), IMAGES, r"\[2, 3, 8, 10\].*\[3, 3, 8, 10\]"),
        (FunctionCue(lambda images: images[:1]), IMAGES, r"returned Tensor\[1, 3, 8, 10\]"),
        (FunctionCue(lambda images: images / 0), IMAGES, "not finite"),
        (FunctionCue(lambda images: 3), IMAGES, "returned int"),
    ],
)
def test_images_that_do_not_fit(cue, images, message):
    with pytest.raises(CueError, match=message):
        cue.insert(images)


def test_a_cue_that_changes_nothing():
    cue = PatchCue((0, 0, 1, 1))
    with pytest.raises(CueError, match=r"PatchCue\(box=\(0, 0, 1, 1\).*none of the probe's 2 samples"):
        check_changed(torch.tensor([False, False]), cue)
    check_changed(torch.tensor([False, True]), cue)
