"""Five networks trained on scikit-learn's digits: which methods pass, and with which numbers."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits

from saliency_callbacks.randomization import randomization_test
from tests.trainer.runs import digits_net

METHODS = ["gradient", "input_x_gradient", "integrated_gradients", "guided_backprop", "grad_cam"]
N_TRAINING, N_PROBE, N_EPOCHS = 1400, 32, 8


def train(seed, images, labels):
    torch.manual_seed(seed)
    model = digits_net()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    for _ in range(N_EPOCHS):
        for rows in torch.randperm(N_TRAINING).split(64):
            optimizer.zero_grad()
            F.cross_entropy(model(images[rows]), labels[rows]).backward()
            optimizer.step()
    return model.eval()


@pytest.fixture(scope="module", params=range(5), ids="seed{}".format)
def result(request):
    images, labels = load_digits(return_X_y=True)
    images = torch.tensor(images / 16, dtype=torch.float32).reshape(-1, 1, 8, 8)
    labels = torch.tensor(labels)
    model = train(request.param, images, labels)
    with torch.no_grad():
        assert (model(images[N_TRAINING:]).argmax(1) == labels[N_TRAINING:]).float().mean() > 0.85
    probe = slice(N_TRAINING, N_TRAINING + N_PROBE)
    return randomization_test(model, images[probe], methods=METHODS, target=labels[probe], seed=request.param)


def signed(result, method):
    return result.similarity(method).mean


def absolute(result, method):
    return result.similarity(method, "abs_spearman").mean


def test_gradient(result):
    assert abs(signed(result, "gradient")) < 0.1
    assert absolute(result, "gradient") < 0.2
    assert result.logit("gradient") < 0.2
    assert result.verdicts["gradient"] == "depends on the weights"


@pytest.mark.parametrize("method", ["integrated_gradients", "input_x_gradient"])
def test_products_with_the_input_look_alike_without_their_signs(result, method):
    assert abs(signed(result, method)) < 0.1
    assert absolute(result, method) > 0.85
    assert result.logit(method) < 0.2
    assert result.verdicts[method] == "depends on the weights"


def test_guided_backprop_does_not_depend_on_the_weights(result):
    assert signed(result, "guided_backprop") > 0.4
    assert result.logit("guided_backprop") > 0.5
    assert result.floor("guided_backprop").mean > 0.3
    assert result.verdicts["guided_backprop"] == "does not depend on the weights"
    # Calibrated alone, it would seem to pass best of all.
    assert result.calibrated("guided_backprop") < 0


def test_guided_backprop_is_above_the_gradient_everywhere(result):
    for name in ("spearman", "abs_spearman"):
        guided, gradient = (result.last_values(method, name) for method in ("guided_backprop", "gradient"))
        assert (guided.mean(dim=1) > gradient.mean(dim=1)).all()
        assert result.floor("guided_backprop", name).mean > result.floor("gradient", name).mean
    assert result.logit("guided_backprop") > result.logit("gradient")


def test_grad_cam_is_not_accused(result):
    assert abs(absolute(result, "grad_cam")) < 0.3
    assert result.floor("grad_cam").mean < 0.3
    assert result.verdicts["grad_cam"] != "does not depend on the weights"
