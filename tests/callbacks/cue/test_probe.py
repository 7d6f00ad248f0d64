"""A probe without and with a cue."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from saliency_callbacks.callbacks.cue.image_probe import ImageCueProbe
from saliency_callbacks.callbacks.cue.probe import checked_cue
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.errors import CueError, ProbeError, SaliencyWarning
from saliency_callbacks.probe import BackgroundCue, BrightnessCue, PatchCue, freeze

_PATCH = PatchCue((0, 0, 2, 2))


def _images(count=10, channels=1):
    return torch.rand(count, channels, 6, 6, generator=torch.Generator().manual_seed(0)) * 0.9


def _prepared(batch, cue=_PATCH, suspect=0, **changes):
    reading = {name: changes.pop(name) for name in ("attribute_to", "shared", "layout", "seed") if name in changes}
    arguments = {"normalization": None, "removal": None, "n_shown": 3, **changes}
    return ImageCueProbe.prepare(batch, cue, suspect, settings=Settings((), **reading), **arguments)


def _labels(count=10):
    return torch.arange(count) % 5


def test_every_sample_gets_the_cue_and_only_others_can_tell():
    images = _images()
    images[3, :, :2, :2] = 1  # has it already
    with pytest.warns(SaliencyWarning, match="only 7 samples"):
        probe = _prepared(freeze(images, _labels()), suspect=2)
    expected = images.clone()
    expected[:, :, :2, :2] = 1
    assert torch.equal(probe.cued, expected)
    assert torch.equal(probe.inputs.explained, images)
    assert probe.usable.nonzero().flatten().tolist() == [0, 1, 4, 5, 6, 8, 9]
    assert probe.shown.tolist() == [0, 1, 4]
    assert probe.region.sum().item() == 10 * 4
    assert probe.removed is None
    assert not probe.bearing.any()


def test_pairs_come_in_turn():
    images = _images()
    probe = _prepared(freeze(images, _labels()))
    assert probe.shown.tolist() == [1, 2, 3]
    for pairs in (probe.pairs(), probe.pair_images()):
        assert torch.equal(pairs[0::2], images[1:4])
        assert torch.equal(pairs[1::2], probe.cued[1:4])


def test_what_else_a_sample_has_goes_with_it():
    images, ages = _images(), torch.arange(10.0)
    batch = freeze({"scan": images, "age": ages, "scale": torch.tensor(2.0)}, _labels())
    probe = _prepared(batch, attribute_to="scan")
    pairs = probe.pairs()
    assert pairs["age"].tolist() == [1, 1, 2, 2, 3, 3]
    assert pairs["scale"] == 2
    whole = probe.with_explained(probe.cued)
    assert torch.equal(whole["scan"], probe.cued)
    assert torch.equal(whole["age"], ages)


def test_fewer_usable_samples_than_are_shown():
    with pytest.warns(SaliencyWarning, match="only 2 samples of the probe can be used"):
        probe = _prepared(freeze(_images(3), torch.tensor([0, 1, 2])), n_shown=8)
    assert probe.shown.tolist() == [1, 2]


@pytest.mark.parametrize(("count", "warned"), [(7, True), (8, False)])
def test_fewer_than_eight_are_few(count, warned, recwarn):
    _prepared(freeze(_images(count), torch.ones(count, dtype=torch.long)))
    assert bool(recwarn) == warned


def test_a_normalized_probe():
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    images = _images(channels=3)
    inputs = (images - mean[:, None, None]) / std[:, None, None]
    expected = images.clone()
    expected[:, :, :2, :2] = torch.tensor([1.0, 0.5, 0.0])[:, None, None]
    cue = PatchCue((0, 0, 2, 2), [1.0, 0.5, 0.0])
    by_argument = _prepared(freeze(inputs, _labels()), cue, normalization=(mean.tolist(), std.tolist()))
    by_dataset = _prepared(freeze(inputs, _labels(), normalization=(mean.tolist(), std.tolist())), cue)
    for probe in (by_argument, by_dataset):
        torch.testing.assert_close(probe.cued, (expected - mean[:, None, None]) / std[:, None, None])
        assert torch.equal(probe.cued[:, :, 2:], inputs[:, :, 2:])
        assert torch.equal(probe.cued[:, :, :, 2:], inputs[:, :, :, 2:])
        torch.testing.assert_close(probe.pair_images()[1::2], expected[1:4])


def test_the_same_cue_in_other_samples():
    probe = _prepared(freeze(_images() * 255, _labels()))
    others = freeze(torch.zeros(3, 1, 6, 6), torch.zeros(3, dtype=torch.long))
    inserted = probe.insert(others)
    assert inserted.shape == (3, 1, 6, 6)
    assert inserted[:, :, :2, :2].eq(255).all(), "in the range of the probe"
    assert inserted.sum() == 3 * 4 * 255


def test_a_background_has_the_masks_of_the_samples_it_is_put_into():
    masks = torch.zeros(10, 6, 6, dtype=torch.bool)
    masks[:, 2:4, 2:4] = True
    cue = BackgroundCue("probe", 1.0)
    probe = _prepared(freeze(_images(), _labels(), masks=masks), cue)
    assert torch.equal(probe.region, ~masks)
    assert torch.equal(probe.cued[:, 0][masks], _images()[:, 0][masks])
    assert probe.cued[:, 0][~masks].eq(1).all()
    assert cue.masks == "probe", "the cue itself is left alone"
    other_masks = torch.zeros(2, 6, 6)
    other_masks[:, 0] = 1
    others = freeze(torch.zeros(2, 1, 6, 6), masks=other_masks)
    assert torch.equal(probe.insert(others)[:, 0] == 0, other_masks == 1)


@pytest.mark.parametrize(
    ("cue", "expected"),
    [
        (PatchCue((0, 0, 3, 6)), False),
        (PatchCue((0, 0, 4, 5)), True),
        (BrightnessCue(0.1), True),
        (PatchCue((0, 0, 1, 1)), False),
    ],
)
def test_more_than_half_of_the_image_is_most_of_it(cue, expected):
    assert _prepared(freeze(_images(), _labels()), cue).is_global == expected


def test_removal_paints_over_the_masks_alone():
    images, masks = _images(), torch.zeros(10, 6, 6)
    masks[:4, 2:4, 2:4] = 1
    probe = _prepared(freeze(images, _labels(), masks=masks), removal="local_mean")
    assert probe.bearing.tolist() == [True] * 4 + [False] * 6
    inside = masks[:, None].bool()
    assert torch.equal(probe.removed[~inside], images[~inside])
    ring = [images[0, 0, r, c] for r in range(6) for c in range(6) if not (2 <= r < 4 and 2 <= c < 4)]
    assert probe.removed[0, 0, 2:4, 2:4].flatten().tolist() == pytest.approx([float(sum(ring) / len(ring))] * 4)


def test_removal_repeats_its_noise():
    masks = torch.zeros(10, 6, 6)
    masks[:, 2:4, 2:4] = 1
    batch = freeze(_images(), _labels(), masks=masks)
    before = torch.get_rng_state()
    one, other, another = (_prepared(batch, removal="noise", seed=seed).removed for seed in (0, 0, 1))
    assert torch.equal(one, other)
    assert not torch.equal(one, another)
    assert torch.equal(torch.get_rng_state(), before)


def test_removal_needs_regions():
    with pytest.raises(CueError, match="removal='noise', but the probe has no masks"):
        _prepared(freeze(_images(), _labels()), removal="noise")
    with pytest.raises(ProbeError, match="all masks of the probe are empty"):
        _prepared(freeze(_images(), _labels(), masks=torch.zeros(10, 6, 6)), removal="noise")


def test_no_sample_that_can_tell():
    images = _images(4)
    with pytest.raises(CueError, match=r"the probe has no sample outside class 0 .*\(labels \[0\]\)"):
        _prepared(freeze(images, torch.zeros(4, dtype=torch.long)))
    images[1:, :, :2, :2] = 1
    with pytest.raises(CueError, match="that the cue changes"):
        _prepared(freeze(images, torch.tensor([0, 1, 2, 3])))
    images[:, :, :2, :2] = 1
    with pytest.raises(CueError, match="changes none of the probe's 4 samples"):
        _prepared(freeze(images, torch.tensor([0, 1, 2, 3])))


def test_without_labels_every_sample_counts():
    with pytest.warns(SaliencyWarning, match="the probe has no labels, so samples of class 0 itself are included"):
        probe = _prepared(freeze(_images()))
    assert probe.usable.all()


def test_a_cue_of_ones_own():
    class Own:
        name = "own"

        def insert(self, images):
            return 1 - images

        def mask(self, images):
            return torch.ones(len(images), *images.shape[2:], dtype=torch.bool)

    cue = Own()
    assert checked_cue(cue) is cue
    probe = _prepared(freeze(_images(), _labels()), cue)
    torch.testing.assert_close(probe.cued, 1 - _images())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("patch", "cue='patch' is of type str"),
        (None, "expected a cue"),
        (PatchCue, "expected a cue"),
        (lambda images: images, "expected a cue"),
        (SimpleNamespace(name="a/b", insert=abs, mask=abs), r"name='a/b'\) cannot be part of a tag"),
        (SimpleNamespace(name=3, insert=abs, mask=abs), "cannot be part of a tag"),
    ],
)
def test_no_cue(given, message):
    with pytest.raises(CueError, match=message):
        checked_cue(given)
