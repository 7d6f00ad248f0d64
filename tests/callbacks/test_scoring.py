import pytest
import torch
from scipy.stats import spearmanr

from saliency_callbacks.callbacks.history import Frame, MethodHistory
from saliency_callbacks.callbacks.scoring import predict, resolve_target, score
from saliency_callbacks.probe import freeze
from saliency_callbacks.probe.targets import Labels
from saliency_callbacks.scores import ranks
from saliency_callbacks.types import Attribution


def _attribution(values: torch.Tensor) -> Attribution:
    magnitude = values.abs().amax(1)
    n = len(values)
    return Attribution("m", values, magnitude, magnitude, torch.zeros(n, dtype=torch.long), torch.zeros(n))


def _after(history: MethodHistory, values: torch.Tensor) -> MethodHistory:
    return history.added(ranks(_attribution(values)), torch.ones(len(values)), Frame.of("", values.sum(1)))


@pytest.mark.parametrize(
    ("logits", "labels", "prediction", "confidence"),
    [
        ([[0.0, 2.0, 1.0]], [0], [1], [0.66524]),
        ([[0.0, 2.0, 1.0]], None, [1], [0.66524]),
        ([[2.0]], [1], [1], [0.88080]),
        ([[-2.0]], [1], [0], [0.88080]),
    ],
)
def test_predictions(logits, labels, prediction, confidence):
    found = predict(torch.tensor(logits), None if labels is None else torch.tensor(labels))
    assert found[0].tolist() == prediction
    assert found[1].tolist() == pytest.approx(confidence, abs=1e-4)


def test_a_regression_predicts_no_class():
    assert predict(torch.tensor([[2.0]]), None) == (None, None)
    assert predict(None, torch.tensor([1])) == (None, None)


def test_the_target_by_default_is_the_label_else_the_pinned_class():
    labelled, unlabelled = freeze(torch.zeros(2, 1, 3, 3), [1, 0]), freeze(torch.zeros(2, 1, 3, 3))
    pinned = torch.tensor([4, 5])
    found = resolve_target(None, labelled, pinned)
    assert isinstance(found, Labels)
    assert found.classes.tolist() == [1, 0]
    assert resolve_target(None, unlabelled, None) == "predicted"
    assert resolve_target(None, unlabelled, pinned) is pinned
    assert resolve_target("initial_prediction", labelled, pinned) is pinned
    assert resolve_target("predicted", labelled, pinned) == "predicted"
    assert resolve_target(3, labelled, pinned) == 3
    assert resolve_target(torch.sum, labelled, pinned) is torch.sum


def test_drift_is_of_the_channel_sum_with_the_first_and_the_last():
    first, second, third = torch.randn(3, 4, 2, 5, 5, generator=torch.Generator().manual_seed(0))
    history = _after(_after(MethodHistory(), first), second)
    probe = freeze(torch.zeros(4, 2, 5, 5), [0, 1, 1, 0])
    found = score({"m": _attribution(third)}, {"m": history}, probe, (torch.tensor([0, 1, 0, 0]), None), "n")
    for tag, reference in (("drift_initial", first), ("drift_previous", second)):
        signed = [(one.sum(0).flatten(), other.sum(0).flatten()) for one, other in zip(third, reference, strict=True)]
        expected = [1 - spearmanr(*pair).statistic for pair in signed]
        assert found.sample_scores[f"n/m/{tag}"].tolist() == pytest.approx(expected, abs=1e-5)
        assert found.scores[f"n/m/{tag}"] == pytest.approx(sum(expected) / 4, abs=1e-5)
    assert found.scores["n/probe_accuracy"] == 0.75
    assert "n/probe_confidence" not in found.scores


def test_a_first_observation_has_no_drift():
    probe = freeze(torch.zeros(1, 1, 3, 3))
    found = score({"m": _attribution(torch.rand(1, 1, 3, 3))}, {}, probe, (None, None), "n")
    assert set(found.scores) == {"n/m/entropy", "n/m/gini"}


def test_masks_give_localisation():
    masks = torch.zeros(1, 4, 4, dtype=torch.bool)
    masks[:, :2] = True
    values = torch.ones(1, 1, 4, 4)
    values[:, :, :2] = 3
    probe = freeze(torch.zeros(1, 1, 4, 4), masks=masks)
    found = score({"m": _attribution(values)}, {}, probe, (None, None), "n")
    assert found.scores["n/m/region_mass"] == pytest.approx(0.75)
    assert found.scores["n/m/region_lift"] == pytest.approx(1.5)
