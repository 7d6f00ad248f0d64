"""Answers of models by what their outputs are, against scipy and torchmetrics."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import expit, softmax
from torchmetrics.functional.classification import multiclass_accuracy, multilabel_accuracy

from saliency_callbacks.targets.link import LOGITS, Link, Predictions


@pytest.fixture
def logits():
    return 3 * torch.randn(40, 5, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def labels():
    return torch.randint(5, (40,), generator=torch.Generator().manual_seed(1))


def test_probabilities_of_a_softmax_are_answered_as_their_logits(logits, labels):
    truth = softmax(logits.numpy(), axis=1)
    for found in (
        LOGITS.predictions(logits, labels),
        LOGITS.predictions(logits.log_softmax(dim=1), labels),
        Link("softmax").predictions(torch.from_numpy(truth), labels),
    ):
        assert found.classes.tolist() == truth.argmax(axis=1).tolist()
        np.testing.assert_allclose(found.confidences, truth.max(axis=1), atol=1e-5)
        expected = multiclass_accuracy(logits, labels, num_classes=5, average="micro")
        assert found.correct.mean() == pytest.approx(float(expected))


def test_each_against_the_rest_has_the_highest_sigmoid(logits, labels):
    truth = expit(logits.numpy())
    found = Link("sigmoid").predictions(torch.from_numpy(truth), labels)
    assert found.classes.tolist() == truth.argmax(axis=1).tolist()
    np.testing.assert_allclose(found.confidences, truth.max(axis=1), atol=1e-5)
    assert found.correct.tolist() == (truth.argmax(axis=1) == labels.numpy()).astype(float).tolist()


@pytest.mark.parametrize("has_labels", [True, False])
def test_a_single_probability_is_that_of_the_second_class(has_labels):
    p = torch.tensor([[0.1], [0.6], [0.45]])
    found = Link("sigmoid").predictions(p, torch.tensor([0, 1, 1]) if has_labels else None)
    assert found.classes.tolist() == [0, 1, 0]
    assert found.confidences.tolist() == pytest.approx([0.9, 0.6, 0.55])
    assert (found.correct.tolist() if has_labels else found.correct) == ([1, 1, 0] if has_labels else None)


@pytest.mark.parametrize("kind", ["label_logits", "sigmoid"])
def test_several_labels_are_each_right_or_wrong(logits, kind):
    several = torch.rand(40, 5, generator=torch.Generator().manual_seed(2)) > 0.5
    outputs = logits.sigmoid() if kind == "sigmoid" else logits
    found = Link(kind, is_multi_label=True).predictions(outputs, None, several)
    expected = multilabel_accuracy(logits.sigmoid(), several.long(), num_labels=5, average="micro")
    assert found.correct.mean() == pytest.approx(float(expected))
    np.testing.assert_allclose(found.confidences, expit(logits.numpy()).max(axis=1), atol=1e-5)
    assert found.classes.tolist() == logits.argmax(dim=1).tolist()


def test_decisions(logits):
    assert torch.equal(LOGITS.decisions(logits).int().argmax(dim=1), logits.argmax(dim=1))
    assert LOGITS.decisions(logits).sum(dim=1).eq(1).all()
    assert torch.equal(Link("label_logits", is_multi_label=True).decisions(logits), logits > 0)
    assert torch.equal(Link("sigmoid", is_multi_label=True).decisions(logits.sigmoid()), logits > 0)
    assert Link("sigmoid").decisions(torch.tensor([[0.2], [0.7]])).tolist() == [[True, False], [False, True]]


def test_an_output_that_is_not_finite_answers_nothing():
    outputs = torch.tensor([[math.nan, 0.5], [0.2, 0.8]])
    for kind in ("softmax", "sigmoid", "logits"):
        found = Link(kind).predictions(outputs, torch.tensor([0, 1]))
        assert found.confidences.isfinite().tolist() == found.correct.isfinite().tolist() == [False, True]
        assert Link(kind).decisions(outputs).any(dim=1).tolist() == [False, True]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_logits_behind_probabilities(dtype):
    z = torch.linspace(-12, 12, 25, dtype=dtype)[:, None] * torch.tensor([1.0, -0.5], dtype=dtype)
    torch.testing.assert_close(Link("sigmoid").logits(z.sigmoid()), z, rtol=1e-2, atol=1e-3)
    behind = Link("softmax").logits(z.softmax(dim=1))
    torch.testing.assert_close(behind.diff(), z.diff(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_probabilities_that_are_rounded_to_0_or_1_stay_finite(dtype):
    for kind in ("sigmoid", "softmax"):
        found = Link(kind).logits(torch.tensor([[0.0, 1.0]], dtype=dtype))
        assert found.isfinite().all()
        assert found[0, 0] < found[0, 1]
        assert found.dtype == torch.float32


def test_embeddings_answer_nothing(logits, labels):
    assert Link("embeddings").predictions(logits, labels) == Predictions()
    assert LOGITS.predictions(None, labels) == Predictions()
    assert LOGITS.predictions(logits[:, :1], None) == Predictions(), "a regression"
