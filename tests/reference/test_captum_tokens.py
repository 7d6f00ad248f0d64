"""Captum as a second opinion on texts: a BERT, an LSTM and a convolutional network, in float64."""

from __future__ import annotations

import captum.attr
import pytest
import torch

from saliency_callbacks import explain
from saliency_callbacks.methods import IntegratedGradients
from tests import texts

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:captum")

MODELS = {
    "bert": (texts.bert, "bert.embeddings.word_embeddings"),
    "lstm": (lambda: texts.Recurrent(sequence_first=False), "embedding"),
    "cnn": (texts.Convolutional, "embedding"),
}


@pytest.fixture(params=list(MODELS))
def case(request):
    make, name = MODELS[request.param]
    torch.manual_seed(0)
    model = make().double().eval()
    tokens = texts.ids()
    given = texts.batch(tokens) if request.param == "bert" else tokens
    mask = (given["attention_mask"],) if request.param == "bert" else ()

    def logits(ids, *attention_mask):
        return model(ids, *attention_mask).logits if attention_mask else model(ids)

    return model, model.get_submodule(name), given, tokens, mask, logits


@pytest.fixture
def target():
    return torch.tensor([0, 1, 2, 1])


def assert_agree(found, reference):
    """Compare values ``[N, D, T]`` with Captum's ``[N, T, D]``."""
    reference = reference.detach().movedim(2, 1)
    assert reference.abs().max() > 0
    assert found.shape == reference.shape
    assert float((found - reference).abs().max() / reference.abs().max()) < 1e-5


def test_gradient_and_input_x_gradient(case, target):
    model, layer, given, tokens, mask, logits = case
    found = explain(model, given, methods=["gradient_norm", "input_x_gradient"], target=target, embedding="auto")
    reference = captum.attr.LayerGradientXActivation(logits, layer)
    products = reference.attribute(tokens, target=target, additional_forward_args=mask)
    assert_agree(found["input_x_gradient"].values, products)
    plain = captum.attr.LayerGradientXActivation(logits, layer, multiply_by_inputs=False)
    gradients = plain.attribute(tokens, target=target, additional_forward_args=mask)
    assert_agree(found["gradient_norm"].values, gradients)
    norm = gradients.detach().norm(dim=2)
    torch.testing.assert_close(found["gradient_norm"].magnitude, norm, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("internal_batch_size", [None, 3])
def test_integrated_gradients_from_padding(case, target, internal_batch_size):
    model, layer, given, tokens, mask, logits = case
    method = IntegratedGradients(n_steps=12, baselines="pad_token")
    options = {"target": target, "embedding": layer, "internal_batch_size": internal_batch_size}
    found = explain(model, given, methods=method, **options)[method.name]
    reference, delta = captum.attr.LayerIntegratedGradients(logits, layer).attribute(
        tokens,
        torch.zeros_like(tokens),
        target=target,
        additional_forward_args=mask,
        n_steps=12,
        return_convergence_delta=True,
    )
    assert_agree(found.values, reference)
    torch.testing.assert_close(found.extras["convergence_delta"], delta, rtol=1e-5, atol=1e-7)


def test_special_tokens_stay_in_the_baseline(case, target):
    model, layer, given, tokens, mask, logits = case
    method = IntegratedGradients(n_steps=12, baselines="mask_token")
    options = {"target": target, "embedding": "auto", "tokenizer": texts.tokenizer()}
    found = explain(model, given, methods=method, **options)[method.name]
    baseline = torch.where((tokens < 3) | (tokens == 29), tokens, 29)
    reference = captum.attr.LayerIntegratedGradients(logits, layer).attribute(
        tokens, baseline, target=target, additional_forward_args=mask, n_steps=12
    )
    assert_agree(found.values, reference)
    assert not found.values.movedim(2, 1)[tokens < 3].any()
