"""Images of several sizes: what is searched, what is said, and what their sizes tell."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from saliency_callbacks import discover_shortcuts
from saliency_callbacks.discovery.changes import OtherSize
from saliency_callbacks.discovery.images.resized import are_of_several_sizes, brought_to_one_size
from saliency_callbacks.errors import ProbeError, SaliencyWarning

_SMALL, _N_CLASSES = 2, 8


def _images(seed: int = 0) -> tuple[list[Tensor], Tensor]:
    """Return noise, and most of one class in smaller images."""
    draws = torch.Generator().manual_seed(seed)
    labels = torch.arange(480) % _N_CLASSES
    is_small = (labels == _SMALL) & (torch.rand(480, generator=draws) < 0.9)
    sides = [16 if one else 32 for one in is_small.tolist()]
    return [torch.rand(3, side, side, generator=draws) for side in sides], labels


class _Blur(nn.Module):
    """Votes for the small class by how even neighboring pixels are."""

    def forward(self, images: Tensor) -> Tensor:
        evenness = 8 * (0.4 - images.diff(dim=3).abs().mean(dim=(1, 2, 3)))
        scores = torch.stack([0.1 * images[:, 0, :, part::8].mean(dim=(1, 2)) for part in range(_N_CLASSES)], dim=1)
        return scores + evenness[:, None] * nn.functional.one_hot(torch.tensor(_SMALL), _N_CLASSES)


def test_small_files_of_a_class_are_found_and_their_blur_is_used() -> None:
    images, labels = _images()
    assert are_of_several_sizes(images)
    with pytest.warns(SaliencyWarning, match="of 2 sizes and were resized to one.* copies and places are not searched"):
        found = discover_shortcuts(_Blur(), images, labels)
    assert [one.class_index for one in found] == [_SMALL]
    assert found[0].is_used
    assert found[0].what in ("smaller files", "less sharpness")


def test_sizes_that_are_given_are_properties() -> None:
    draws = torch.Generator().manual_seed(1)
    images, labels = torch.rand(480, 1, 16, 16, generator=draws), torch.arange(480) % _N_CLASSES
    sizes = torch.full((480, 2), 100)
    sizes[labels == _SMALL, 1] = 150
    model = nn.Sequential(nn.Flatten(), nn.Linear(256, _N_CLASSES))
    found = discover_shortcuts(model, images, labels, sizes=sizes)
    assert [(one.class_index, one.what) for one in found] in (
        [(_SMALL, "a wider format")],
        [(_SMALL, "larger files")],
    )
    assert isinstance(found[0].change, OtherSize)
    assert found[0].share == 1
    assert found[0].to_cue().insert(images[:2]).shape == (2, 1, 16, 16)
    assert discover_shortcuts(model, images, labels) == []


def test_images_are_brought_to_their_median_size() -> None:
    resized, sizes = brought_to_one_size([torch.full((1, side, 8), 255, dtype=torch.uint8) for side in (4, 8, 8)])
    assert torch.equal(resized, torch.ones(3, 1, 8, 8))
    assert sizes.tolist() == [[4, 8], [8, 8], [8, 8]]


def test_what_cannot_be_searched_is_an_error() -> None:
    images, labels = _images()
    with pytest.raises(ProbeError, match=r"kinds=\['copies'\] cannot be searched for; expected 'properties'"):
        discover_shortcuts(_Blur(), images, labels, kinds="copies")
    with pytest.raises(ProbeError, match=r"channels; expected the same number"):
        discover_shortcuts(_Blur(), [torch.rand(1, 4, 4), torch.rand(3, 5, 5)], [0, 1])
    with pytest.raises(ProbeError, match=r"sizes=.*expected the height and width of each in pixels"):
        discover_shortcuts(_Blur(), torch.rand(96, 3, 8, 8), torch.arange(96) % 2, sizes=torch.ones(96))
