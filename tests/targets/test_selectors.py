"""What may be written as a target, and what is said about labels of a model with one score."""

import numpy as np
import pytest
import torch

from saliency_callbacks.errors import TargetError
from saliency_callbacks.targets.selectors import Labels, selector

LOGITS = torch.tensor([[0.5, 2.0, -1.0], [1.5, -0.5, 0.25]])
SAMPLES = torch.arange(2)


@pytest.mark.parametrize(
    "target", [1, np.int64(1), np.uint8(1), torch.tensor(1), torch.tensor([1, 1], dtype=torch.uint8)]
)
def test_integers_of_any_library_are_class_indices(target):
    score, classes = selector(target, 2)(LOGITS, SAMPLES)
    assert score.tolist() == [2.0, -0.5]
    assert classes.tolist() == [1, 1]


@pytest.mark.parametrize("target", [True, np.bool_(True), 1.0, np.float64(1), None])
def test_what_is_no_integer_is_an_error(target):
    with pytest.raises(TargetError, match="expected a class index"):
        selector(target, 2)


def test_labels_of_a_single_score():
    score, classes = selector(Labels(torch.tensor([0, 1])), 2)(LOGITS[:, :1], SAMPLES)
    assert score.tolist() == [-0.5, 1.5]
    assert classes.tolist() == [0, 1]


@pytest.mark.parametrize("label", [-1, 2, 7])
def test_labels_that_a_single_score_cannot_have(label):
    with pytest.raises(TargetError, match=rf"single score.*labels \[{label}\].*target=0.*callable") as caught:
        selector(Labels(torch.tensor([1, label])), 2)(LOGITS[:, :1], SAMPLES)
    assert "2 classes" not in str(caught.value)


def test_the_default_device_does_not_matter():
    with torch.device("meta"):
        select = selector(1, 2)
    assert select(LOGITS, SAMPLES)[0].tolist() == [2.0, -0.5]
