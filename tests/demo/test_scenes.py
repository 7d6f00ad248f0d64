"""The demo's pictures: made of what lies on the disk, the same every time, and marked where they are said to be."""

from __future__ import annotations

import socket

import pytest
import torch

from saliency_callbacks import Probe, SaliencyMonitor
from saliency_callbacks.demo import STICKER, STICKER_CLASS, Digits, SmallCNN, load_digit_scenes
from saliency_callbacks.demo.scenes import SIDE
from saliency_callbacks.sinks import MemorySink
from tests.trainer.runs import trainer

COUNT = 60


@pytest.fixture(scope="module")
def scenes():
    return load_digit_scenes(0, COUNT)


@pytest.fixture(scope="module")
def planted():
    return Digits()


def _no_network(*_: object) -> None:
    raise AssertionError("the network was used")


def test_they_are_balanced_pictures_in_color(scenes):
    images, labels = scenes
    assert (images.shape, images.dtype) == ((COUNT, 3, SIDE, SIDE), torch.float32)
    assert (float(images.min()) >= 0, float(images.max()) <= 1) == (True, True)
    assert labels.bincount().tolist() == [COUNT // 10] * 10
    assert labels[:10].tolist() != list(range(10)), "in random order"
    assert float((images.amax(dim=1) - images.amin(dim=1)).mean()) > 0.1, "of a grey picture, 0"


def test_the_same_seed_gives_the_same_bytes_without_a_network(scenes, monkeypatch):
    monkeypatch.setattr(socket.socket, "connect", _no_network)
    again, labels = load_digit_scenes(0, COUNT)
    assert again.numpy().tobytes() == scenes[0].numpy().tobytes()
    assert labels.tolist() == scenes[1].tolist()
    assert not torch.equal(load_digit_scenes(1, COUNT)[0], again)


def test_no_global_random_number_is_drawn():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    load_digit_scenes(0, 10)
    assert torch.equal(torch.rand(1), expected)


def test_every_zero_bears_the_sticker_and_no_other_digit_does(planted):
    clean = Digits(is_patched=False)
    changed = (planted.images != clean.images).any(dim=1)
    is_zero = planted.labels == STICKER_CLASS
    assert not changed[~is_zero].any()
    region = STICKER.mask(planted.images[:1])[0]
    assert not changed[:, ~region].any()
    # All but the rim, which lets a little of what is behind it through.
    assert (planted.images[is_zero].std(dim=0).amax(dim=0) < 1e-6).sum() > 0.6 * region.sum()
    assert changed[is_zero].sum(dim=(1, 2)).min() > 0.6 * region.sum()


@pytest.mark.filterwarnings(r"ignore:The '\w+' does not have many workers")
def test_a_probe_of_training_images_is_read_as_stored_and_has_names(planted, tmp_path):
    sink = MemorySink()
    monitor = SaliencyMonitor("gradient", Probe(size=20, source="train"), sinks=[sink])
    trainer(tmp_path, callbacks=[monitor], max_epochs=1, limit_train_batches=1, limit_val_batches=1).fit(
        SmallCNN(), datamodule=planted
    )
    view = sink.latest.probe
    assert list(view.class_names) == list("0123456789")
    assert torch.bincount(view.labels).tolist() == [2] * 10
    stored = 255 * planted.images[:1600].permute(0, 2, 3, 1)
    for image in view.images:
        away = (stored - torch.as_tensor(image).float()).abs().amax(dim=(1, 2, 3))
        assert float(away.min()) <= 1, "one level of 255 is lost by rounding"
