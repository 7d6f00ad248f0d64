"""Attention of the models of several libraries: however it is written, and without changing what they compute."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from saliency_callbacks import explain
from saliency_callbacks.capture.attention.recorder import AttentionRecorder
from saliency_callbacks.errors import LayerError
from saliency_callbacks.methods import LeGrad
from tests.capture.attention.models import TEXTS, VISION, images, texts, timm_vit

METHODS = ["gradient", "attention_rollout", "gradient_x_attention", LeGrad(score="output", name="output"), "legrad"]
WITHOUT_OWN_SCORES = {"timm, pooled by attention", "MultiheadAttention", "MultiheadAttention, sequence first"}


def pair(make):
    """Return the same model with fused attention and with a softmax."""
    torch.manual_seed(0)
    fused = make(True).eval()
    for parameter in fused.parameters():
        # Attention that differs between tokens.
        if parameter.ndim == 2:
            nn.init.normal_(parameter, std=0.4)
    explicit = make(False).eval()
    explicit.load_state_dict(fused.state_dict())
    return fused, explicit


def assert_alike(found, others, **tolerance):
    for name, attribution in found.items():
        assert attribution.values.flatten(1).std(dim=1).gt(0).all(), name
        torch.testing.assert_close(
            attribution.values, others[name].values, msg=lambda text, name=name: f"{name}: {text}", **tolerance
        )


@pytest.mark.parametrize("name", VISION)
def test_fused_and_explicit_attention_of_pictures_give_the_same_maps(name):
    methods = METHODS[:-1] if name in WITHOUT_OWN_SCORES else METHODS
    fused, explicit = pair(VISION[name])
    found, others = (explain(model, images(), methods=methods, target=1) for model in (fused, explicit))
    assert found["attention_rollout"].values.shape == (2, 1, 4, 4)
    assert_alike(found, others, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", TEXTS)
def test_fused_and_explicit_attention_of_texts_give_the_same_maps(name):
    fused, explicit = pair(TEXTS[name])
    found, others = (
        explain(model, texts(), methods=METHODS, target=1, embedding="auto") for model in (fused, explicit)
    )
    assert_alike(found, others, rtol=1e-3, atol=1e-5)
    rollout = found["attention_rollout"]
    assert rollout.values.shape == (2, 1, 6)
    torch.testing.assert_close(rollout.values.sum(dim=2), torch.ones(2, 1))
    assert not rollout.values[1, 0, 4:].any(), "nobody attends to padding"
    assert not rollout.counted[1, 4:].any()


@pytest.mark.parametrize("is_fused", [True, False])
@pytest.mark.parametrize("name", [*VISION, *TEXTS])
def test_the_result_does_not_change_by_a_bit(name, is_fused):
    model = pair((VISION | TEXTS)[name])[not is_fused]
    inputs = texts() if name in TEXTS else {"x": images()}
    run = (lambda: model(**inputs).logits) if name in TEXTS else (lambda: logits_of(model(inputs["x"])))
    expected = run()
    with AttentionRecorder() as recorder:
        found = run()
    assert torch.equal(found, expected)
    assert len(recorder.calls) >= 2
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for one, other in zip(
        torch.autograd.grad(found.sum(), parameters, allow_unused=True),
        torch.autograd.grad(expected.sum(), parameters, allow_unused=True),
        strict=True,
    ):
        assert (one is None) == (other is None)
        assert one is None or torch.equal(one, other)


def logits_of(output):
    return output if isinstance(output, torch.Tensor) else output.logits


@pytest.mark.parametrize("name", ["ViT", "BERT", "Llama, grouped queries"])
def test_weights_are_those_that_transformers_puts_out(name):
    fused, explicit = pair((VISION | TEXTS)[name])
    inputs = texts() if name in TEXTS else {"pixel_values": images()}
    expected = explicit(**inputs, output_attentions=True).attentions
    for model in (fused, explicit):
        with AttentionRecorder() as recorder:
            model(**inputs)
        assert len(recorder.calls) == len(expected)
        for call, weights in zip(recorder.calls, expected, strict=True):
            torch.testing.assert_close(call.weights(2)(slice(None)), weights.detach(), rtol=1e-5, atol=1e-6)


class Wrapped(nn.Module):
    """Runs the blocks of a vision transformer in another way."""

    def __init__(self, model, run):
        super().__init__()
        self.model, self.run = model, run

    def forward(self, x):
        tokens = self.model._pos_embed(self.model.patch_embed(x))
        for block in self.model.blocks:
            tokens = self.run(block, tokens)
        return self.model.forward_head(self.model.norm(tokens))


def no_grad(block, tokens):
    with torch.no_grad():
        return block(tokens)


@pytest.mark.parametrize(
    "run",
    [
        lambda block, tokens: checkpoint(block, tokens, use_reentrant=False),
        lambda block, tokens: checkpoint(block, tokens, use_reentrant=True),
        no_grad,
    ],
    ids=["checkpointed", "reentrant", "no_grad"],
)
def test_however_the_blocks_are_run(run):
    model = pair(VISION["timm"])[0]
    expected = explain(model, images(), methods=METHODS, target=1)
    assert_alike(explain(Wrapped(model, run), images(), methods=METHODS, target=1), expected)


@pytest.mark.parametrize("is_fused", [True, False])
def test_autocast_to_bfloat16(is_fused):
    model = pair(VISION["timm"])[not is_fused]
    expected = explain(model, images(), methods=METHODS, target=1)

    class Autocast(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, x):
            with torch.autocast("cpu", torch.bfloat16):
                return self.model(x)

    found = explain(Autocast(), images(), methods=METHODS, target=1)
    for name, attribution in found.items():
        assert attribution.values.dtype == torch.float32
        cosine = torch.cosine_similarity(attribution.values.flatten(1), expected[name].values.flatten(1))
        assert (cosine > 0.98).all(), (name, cosine)


def test_a_head_of_zeros_leaves_the_rollout():
    model = pair(VISION["timm"])[0]
    expected = explain(model, images(), methods="attention_rollout", target=1)["attention_rollout"]
    nn.init.zeros_(model.head.weight)
    found = explain(model, images(), methods="attention_rollout", target=1)["attention_rollout"]
    assert torch.equal(found.values, expected.values)


def test_several_targets_and_predictions_take_one_pass():
    model = pair(VISION["timm"])[0]
    one, other = explain(model, images(), methods=METHODS, targets=[0, 2])
    for target, found in ((0, one), (2, other)):
        assert_alike(found, explain(model, images(), methods=METHODS, target=target))
    predicted = explain(model, images(), methods=METHODS, target="predicted")
    classes = model(images()).argmax(dim=1)
    assert_alike(predicted, explain(model, images(), methods=METHODS, target=classes))
    assert torch.equal(one["attention_rollout"].values, other["attention_rollout"].values)
    assert not torch.equal(one["legrad"].values, other["legrad"].values)


def test_rectangular_inputs_and_a_transform_of_the_tokens():
    model = timm_vit(img_size=(16, 24)).eval()
    inputs = torch.randn(2, 3, 16, 24)
    found = explain(model, inputs, methods="attention_rollout", target=1)["attention_rollout"].values
    assert found.shape == (2, 1, 4, 6)
    given = explain(
        model,
        inputs,
        methods="attention_rollout",
        target=1,
        reshape_transform=lambda tokens: tokens[:, 1:].transpose(1, 2).unflatten(2, (4, 6)),
    )["attention_rollout"].values
    assert torch.equal(given, found)
    with pytest.raises(LayerError, match=r"reshape_transform turned tokens \[1, 25, 1\] into \[1, 1, 24\]"):
        explain(
            model,
            inputs,
            methods="attention_rollout",
            target=1,
            reshape_transform=lambda tokens: tokens[:, 1:].transpose(1, 2),
        )
