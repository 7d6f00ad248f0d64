"""What samples must be for a search, and what is said where there are few."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch

from saliency_callbacks.discovery.checks import checked_samples
from saliency_callbacks.errors import ProbeError, SaliencyWarning

_IMAGES = torch.rand(48, 1, 4, 4)
_LABELS = torch.arange(48) % 2


def test_images_and_labels_become_samples() -> None:
    samples = checked_samples(_IMAGES, _LABELS, ids=[f"image {n}" for n in range(48)], class_names=["a", "b"], seed=3)
    assert torch.equal(samples.inputs, _IMAGES)
    assert samples.labels.dtype == torch.int64
    assert (samples.ids[47], samples.name_of(1), samples.seed) == ("image 47", "b", 3)
    assert tuple(checked_samples(_IMAGES, _LABELS).ids[:2]) == (0, 1)


@pytest.mark.parametrize(
    "labels",
    [_LABELS.tolist(), _LABELS.numpy(), _LABELS.float(), _LABELS[:, None]],
    ids=["list", "array", "0.0", "[N, 1]"],
)
def test_other_forms_of_labels(labels: Any) -> None:
    assert torch.equal(checked_samples(_IMAGES, labels).labels, _LABELS)


@pytest.mark.parametrize(
    "images",
    [(_IMAGES * 255).round().to(torch.uint8), (_IMAGES * 255).round() / 255, list((_IMAGES * 255).round() / 255)],
    ids=["uint8", "floats", "a list"],
)
def test_other_forms_of_images(images: Any) -> None:
    assert torch.equal(checked_samples(images, _LABELS).inputs, (_IMAGES * 255).round() / 255)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (_IMAGES[:, 0], _LABELS, "expected a tensor \\[N, C, H, W\\]"),
        ([torch.rand(1, 4, 4), torch.rand(1, 5, 4)], [0, 1], r"of 2 sizes \(\[1, 4, 4\], \[1, 5, 4\]\); expected one"),
        (_IMAGES * 2 - 1, _LABELS, "values from -.* to .*; expected display images in \\[0, 1\\]"),
        (_IMAGES / 0, _LABELS, "non-finite"),
        (torch.rand(48, 1, 1, 9), _LABELS, "at least 2×2 pixels. Shortcuts in signals are not supported"),
        (_IMAGES, _LABELS[:9], "for 48 samples"),
        (_IMAGES, torch.rand(48), "not classes"),
        (_IMAGES, torch.zeros(48, 3), "one label at a time"),
        (_IMAGES, _LABELS - 1, "go down to -1"),
        (_IMAGES, ["cat"] * 48, "expected one class per sample"),
        (_IMAGES, torch.ones(48), "all 48 samples are of class \\[1\\]"),
        (_IMAGES, torch.arange(48) // 5, "10 classes leave at most 5 per class; .*size=240"),
        (_IMAGES, torch.cat([torch.zeros(44), torch.ones(4)]), "at least 6 for two classes"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_what_cannot_be_searched(images: Any, labels: Any, message: str) -> None:
    with pytest.raises(ProbeError, match=message):
        checked_samples(images, labels)


@pytest.mark.parametrize("sizes", ["large", [9] * 48, [[9, 0]] * 48], ids=["no numbers", "one a sample", "a zero"])
def test_sizes_are_height_and_width_of_each(sizes: Any) -> None:
    with pytest.raises(ProbeError, match="for 48 images; expected the height and width of each"):
        checked_samples(_IMAGES, _LABELS, sizes=sizes)


def test_ids_are_one_for_each() -> None:
    with pytest.raises(ProbeError, match="2 ids, 2 of them different, for 48 samples"):
        checked_samples(_IMAGES, _LABELS, ids=["a", "b"])
    with pytest.raises(ProbeError, match="48 ids, 2 of them different, for 48 samples; expected a unique id"):
        checked_samples(_IMAGES, _LABELS, ids=["a", "b"] * 24)


def test_few_are_told_with_their_number_and_hardly_any_are_left_out() -> None:
    labels = torch.cat([torch.zeros(26), torch.ones(18), torch.full((4,), 2)])
    with pytest.warns(SaliencyWarning) as caught:
        samples = checked_samples(_IMAGES, labels)
    (message,) = (str(one.message) for one in caught)
    assert message.startswith("there are fewer than 24 samples in 2 of 3 classes (18 of class 1, 4 of class 2)")
    assert "Classes with fewer than 6 samples are left out (1)" in message
    assert samples.classes == (0, 1)
    assert torch.equal(samples.inputs, _IMAGES[:44])
    assert tuple(samples.ids) == tuple(range(44))


def test_enough_are_not_warned_of() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checked_samples(_IMAGES, np.asarray(_LABELS))
