"""Where a probe was normalized: found in the dataset, by what a hook does, or in a processor."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from saliency_callbacks.probe.metadata import rgb_bands
from saliency_callbacks.probe.normalized import images_in, normalized_by

_MEAN, _STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.5)
_RAW = torch.rand(4, 3, 5, 5, generator=torch.Generator().manual_seed(0))


class Normalize(nn.Module):
    """By its name and attributes, as those of torchvision."""

    def __init__(self, mean=_MEAN, std=_STD):
        super().__init__()
        self.mean, self.std = mean, std


class Processor:
    """As the image processors of Hugging Face."""

    do_normalize, image_mean, image_std = True, list(_MEAN), list(_STD)

    def __call__(self, images):
        return _normalized(images)


_PROCESSOR = Processor()


def _normalized(images, mean=_MEAN, std=_STD):
    return (images - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)


def _collate(rows):
    return _PROCESSOR(torch.stack(rows))


def test_what_a_hook_does_is_measured():
    found = normalized_by(None, _RAW, _normalized(_RAW))
    assert found.statistics == (pytest.approx(_MEAN, abs=1e-4), pytest.approx(_STD, abs=1e-4))
    assert found.source == "a batch-transfer hook"
    half = normalized_by(None, _RAW, _normalized(_RAW).half())
    assert half.statistics[0] == pytest.approx(_MEAN, abs=1e-2)


def test_a_hook_after_the_datasets_transforms():
    dataset = SimpleNamespace(transform=Normalize())
    before = _normalized(_RAW)
    found = normalized_by(dataset, before, _normalized(before, (1.0, 2.0, 3.0), (0.5, 0.5, 2.0)))
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in found.statistics)
    after = _normalized(before, (1.0, 2.0, 3.0), (0.5, 0.5, 2.0))
    assert torch.allclose(after * std + mean, _RAW, atol=1e-3)
    assert found.source == "the dataset's transforms and a batch-transfer hook"


def test_a_hook_that_does_nothing():
    assert normalized_by(None, _RAW, _RAW.clone()) is None
    dataset = SimpleNamespace(transform=Normalize())
    assert normalized_by(dataset, _RAW, _RAW).statistics == (_MEAN, _STD)


def test_a_hook_that_does_more():
    module = nn.Sequential(nn.Conv2d(3, 3, 1), Normalize())
    after = _normalized(_RAW)[..., 1:]
    assert normalized_by(None, _RAW, after, [module]).statistics == (_MEAN, _STD)
    assert normalized_by(None, _RAW, after, [nn.Linear(1, 1)]) is None


def test_what_the_forward_normalizes_is_not_undone():
    module = nn.Sequential(Normalize(), nn.Conv2d(3, 3, 1))
    module.processor = Processor()
    assert normalized_by(None, _RAW, _RAW, [module]) is None


@pytest.mark.parametrize(
    "owner",
    [
        SimpleNamespace(image_processor=Processor()),
        SimpleNamespace(processor=SimpleNamespace(image_processor=Processor(), image_mean=None, __call__=print)),
        _collate,
        partial(_collate),
        SimpleNamespace(_format_kwargs={"transform": _collate}),
    ],
    ids=["attribute", "nested", "collate", "partial", "transform"],
)
def test_an_image_processor_is_found(owner):
    if isinstance(owner, SimpleNamespace) and hasattr(owner, "processor"):
        owner.processor = type("Multi", (), {"__call__": print, "image_processor": None})()
        owner.processor.image_processor = Processor()
    images = _normalized(_RAW)
    found = normalized_by(None, images, images, [owner])
    assert found.statistics == (_MEAN, _STD)
    assert "Processor" in found.source
    assert normalized_by(None, _RAW, _RAW, [owner]) is None, "images within [0, 1] were not normalized"


def test_a_processor_that_does_not_normalize():
    processor = Processor()
    processor.do_normalize = False
    images = _normalized(_RAW)
    assert normalized_by(None, images, images, [SimpleNamespace(processor=processor)]) is None


def test_images_in_a_batch():
    assert images_in(_RAW) is _RAW
    assert images_in({"image": _RAW, "age": torch.rand(4)}) is _RAW
    assert images_in((_RAW, _RAW)) is None
    assert images_in(torch.rand(4)) is None


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [
        (SimpleNamespace(bands=("B1", "B2", "B3", "B4"), rgb_bands=("B4", "B3", "B2")), (3, 2, 1)),
        (SimpleNamespace(all_bands=["a", "b", "c"], rgb_bands=["c", "a", "b"]), (2, 0, 1)),
        (SimpleNamespace(rgb_bands=[2, 1, 0]), (2, 1, 0)),
        (SimpleNamespace(dataset=SimpleNamespace(rgb_bands=[2, 1, 0])), (2, 1, 0)),
        (SimpleNamespace(bands=("B1", "B8"), rgb_bands=("B4", "B3", "B2")), None),
        (SimpleNamespace(rgb_bands=()), None),
        (None, None),
    ],
)
def test_the_bands_of_a_dataset(dataset, expected):
    assert rgb_bands(dataset) == expected
