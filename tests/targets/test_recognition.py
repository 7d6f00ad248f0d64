"""What outputs are taken for, and what they are not taken for."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from saliency_callbacks.errors import OutputError
from saliency_callbacks.targets.recognition import ClassCount, recognize

_LOGITS = 2 * torch.randn(12, 6, generator=torch.Generator().manual_seed(0))
_LABELS = torch.arange(12) % 6


def _kind(outputs, **known):
    return recognize(outputs, **known).kind


def test_logits():
    assert _kind(_LOGITS, labels=_LABELS) == "logits"
    assert _kind(_LOGITS, is_multi_label=True) == "label_logits"
    assert _kind(_LOGITS.log_softmax(dim=1)) == "logits", "whose softmax is the same"


@pytest.mark.parametrize(
    "outputs",
    [torch.zeros(4, 1), torch.full((4, 3), 0.3), torch.tensor([[0.1, 0.7], [0.9, 0.4], [0.2, 0.6]]), torch.ones(4, 1)],
)
def test_logits_that_lie_between_0_and_1_by_chance(outputs):
    assert _kind(outputs) == "logits"
    assert _kind(outputs, are_probabilities=True) == "sigmoid"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_rows_that_sum_to_1_are_a_softmax(dtype):
    outputs = _LOGITS.softmax(dim=1).to(dtype)
    assert _kind(outputs) == "softmax"
    assert _kind(outputs, are_probabilities=True) == "softmax"
    assert _kind(outputs, is_multi_label=True) == "sigmoid", "each label is a question of its own"
    assert _kind(outputs * 1.1) == "logits"


def test_a_function_that_has_been_left_behind():
    assert _kind(_LOGITS, are_probabilities=True) == "logits", "its values are no probabilities"


def test_what_is_declared_is_believed():
    assert _kind(_LOGITS.sigmoid(), declared="logits", are_probabilities=True) == "logits"
    assert _kind(_LOGITS, declared="embeddings", labels=_LABELS) == "embeddings"
    assert _kind(torch.rand(4, 2), declared="probabilities") == "sigmoid"
    assert _kind(_LOGITS.softmax(dim=1), declared="probabilities") == "softmax"
    assert recognize(_LOGITS, declared="embeddings").reason is None
    with pytest.raises(OutputError, match=r"outputs='probabilities', but the model's outputs lie in \[-"):
        recognize(_LOGITS, declared="probabilities")


@pytest.mark.parametrize(
    ("width", "count", "kind"),
    [
        (6, ClassCount(6), "logits"),
        (6, ClassCount(5), "logits"),  # a background class
        (6, ClassCount(4), "embeddings"),
        (4, ClassCount(6), "logits"),
        (1, ClassCount(2), "logits"),
        (6, ClassCount(3, n_labels=100), "embeddings"),
        (6, ClassCount(4, n_labels=100), "logits"),
        (6, ClassCount(3, n_labels=11), "logits"),  # three more that nobody looked at
        (16, ClassCount(4, n_labels=8), "embeddings"),
        (16, ClassCount(4, n_labels=7), "logits"),
        (15, ClassCount(4, n_labels=16), "logits"),
        (6, None, "logits"),
    ],
)
def test_how_many_classes_there_are(width, count, kind):
    assert _kind(_LOGITS.repeat(1, 3)[:, :width], count=count) == kind


def test_labels_beyond_the_width():
    found = recognize(_LOGITS[:, :3], labels=_LABELS)
    assert found.kind == "embeddings"
    assert found.reason == "the model returns 3 values per sample, but labels go up to 5"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_vectors_of_length_1(dtype):
    found = recognize(F.normalize(_LOGITS, dim=1).to(dtype), labels=_LABELS)
    assert found.kind == "embeddings"
    assert "length 1" in found.reason
    assert _kind(torch.eye(6)) == "softmax", "decisions"
    assert _kind(torch.ones(3, 1)) == "logits"
