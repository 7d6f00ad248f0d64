"""Similarity to a reference, against autograd by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from transformers import SiglipConfig, SiglipModel

from saliency_callbacks import explain
from saliency_callbacks.errors import DegenerateMapWarning, TargetError
from saliency_callbacks.probe import freeze
from saliency_callbacks.targets import SimilarityTarget
from saliency_callbacks.targets.link import Link
from saliency_callbacks.targets.prompts import text_embeddings
from saliency_callbacks.targets.resolution import class_target, pins_after, resolve_target, samples_of, target_name


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 5)
    )


@pytest.fixture
def images():
    return torch.rand(4, 1, 6, 6, generator=torch.Generator().manual_seed(1))


def _by_hand(encoder, images, reference):
    images = images.clone().requires_grad_()
    score = F.cosine_similarity(encoder(images), reference.expand(len(images), -1), dim=1)
    return score.detach(), torch.autograd.grad(score.sum(), images)[0]


@pytest.mark.parametrize("shape", [(5,), (4, 5)], ids=["for all", "for each"])
@pytest.mark.parametrize("rows", [None, 1, 3])
def test_a_given_embedding(encoder, images, shape, rows):
    reference = torch.randn(shape, generator=torch.Generator().manual_seed(2))
    found = explain(encoder, images, methods="gradient", target=SimilarityTarget(reference), internal_batch_size=rows)[
        "gradient"
    ]
    score, gradient = _by_hand(encoder, images, reference)
    torch.testing.assert_close(found.score, score)
    torch.testing.assert_close(found.values, gradient)
    assert found.target.tolist() == [-1] * 4


def test_another_view(encoder, images):
    view = images.flip(3)
    target = SimilarityTarget(view=view)
    found = explain(encoder, images, methods="gradient", target=target, internal_batch_size=3)["gradient"]
    score, gradient = _by_hand(encoder, images, encoder(view).detach())
    torch.testing.assert_close(found.score, score)
    torch.testing.assert_close(found.values, gradient)


def test_its_own_embedding_of_now(encoder, images):
    """Its similarity has no gradient; what remains of one would be rounding."""
    own = encoder(images).detach()
    lengthened = images.clone().requires_grad_()
    embedding = encoder(lengthened)
    projection = (embedding * own).sum(dim=1) / own.square().sum(dim=1)
    expected = torch.autograd.grad(projection.sum(), lengthened)[0]
    for target in (SimilarityTarget(), SimilarityTarget(own), SimilarityTarget(view=images)):
        found = explain(encoder, images, methods="gradient", target=target)["gradient"]
        torch.testing.assert_close(found.score, torch.ones(4))
        torch.testing.assert_close(found.values, expected)


_SCALED = {
    "length 1": F.normalize,
    "length 30": lambda found: 30 * F.normalize(found),
    "of each coordinate": lambda found: F.rms_norm(found, found.shape[1:], eps=0.0),
    "centered": lambda found: F.layer_norm(found, found.shape[1:], eps=0.0),
    "in half precision": lambda found: F.normalize(found.bfloat16()),
}


class _Scaled(nn.Module):
    def __init__(self, encoder, scale):
        super().__init__()
        self.encoder, self.scale = encoder, scale

    def forward(self, inputs):
        return self.scale(self.encoder(inputs))


@pytest.mark.filterwarnings("ignore::saliency_callbacks.errors.DegenerateMapWarning")
@pytest.mark.parametrize("scale", _SCALED.values(), ids=_SCALED)
def test_embeddings_of_one_length_have_a_layer_and_no_rounding(encoder, images, scale):
    model = _Scaled(encoder, scale)
    elsewhere = explain(model, images, methods="grad_cam", target=SimilarityTarget(torch.arange(5.0)))["grad_cam"]
    for target in (SimilarityTarget(), SimilarityTarget(model(images).detach()), SimilarityTarget(view=images)):
        found = explain(model, images, methods=["gradient", "grad_cam"], target=target)
        assert found["grad_cam"].layer == elsewhere.layer == "encoder.1"
        assert not any(attribution.values.any() for attribution in found.values())
        torch.testing.assert_close(found["gradient"].score, torch.ones(4))


def test_why_an_embedding_of_one_length_has_no_map_is_said(encoder, images):
    model = _Scaled(encoder, F.normalize)
    with pytest.warns(DegenerateMapWarning, match="a normalized embedding compared with itself"):
        explain(model, images, methods="grad_cam", target=SimilarityTarget(model(images).detach()))


def test_only_some_embeddings_of_one_length_are_those_of_before(encoder, images):
    model = _Scaled(encoder, F.normalize)
    reference = model(images).detach()
    reference[1] = reference[1].flip(0)
    with pytest.warns(DegenerateMapWarning, match="3 of 4 maps"):
        found = explain(model, images, methods="gradient", target=SimilarityTarget(reference))["gradient"]
    score, gradient = _by_hand(model, images, reference)
    torch.testing.assert_close(found.score, score)
    torch.testing.assert_close(found.values[1], gradient[1])


def test_equal_samples_are_of_one_length_by_chance(encoder, images):
    found = explain(encoder, images[:1].expand(3, -1, -1, -1), methods="gradient", target=SimilarityTarget())
    assert found["gradient"].values.flatten(1).any(dim=1).all()


def test_an_output_among_others(encoder, images):
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = encoder

        def forward(self, inputs):
            embedding = self.encoder(inputs)
            return embedding, embedding * 2

    reference = torch.ones(5)
    found = explain(
        Pair(), images, methods="gradient", target=SimilarityTarget(reference), output_fn=lambda pair: pair[1]
    )["gradient"]
    torch.testing.assert_close(found.values, _by_hand(encoder, images, reference)[1])


@pytest.mark.parametrize(
    ("reference", "match"),
    [
        ("first", "reference='first'; expected 'initial'"),
        (torch.ones(2, 3, 4), r"expected 'initial', 'text', an embedding \[D\]"),
        (torch.ones(3, dtype=torch.long), "in floating point"),
        ({"a": 1}, "expected 'initial'"),
    ],
    ids=str,
)
def test_what_is_no_reference(reference, match):
    with pytest.raises(TargetError, match=match):
        SimilarityTarget(reference)


def test_a_reference_and_a_view():
    with pytest.raises(TargetError, match="both given"):
        SimilarityTarget(torch.ones(3), view=torch.ones(2, 1, 3, 3))


def test_a_reference_of_another_size(encoder, images):
    with pytest.raises(TargetError, match="the reference has 3 values, but the model's embeddings have 5"):
        explain(encoder, images, methods="gradient", target=SimilarityTarget([1.0, 2.0, 3.0]))
    with pytest.raises(TargetError, match=r"or one for each of at least 4 samples"):
        explain(encoder, images, methods="gradient", target=SimilarityTarget(torch.ones(2, 5)))


def test_the_first_embeddings_are_the_reference():
    probe = freeze(torch.zeros(3, 1, 2, 2))
    link = Link("embeddings")
    first = resolve_target(None, probe, None, link)
    assert isinstance(first, SimilarityTarget)
    assert first.is_open
    start = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 2.0]])
    reference = pins_after(first, {}, start)["reference"]
    assert torch.equal(reference, start)
    pins = {"reference": reference}
    second = resolve_target(None, probe, None, link, pins)
    now = torch.ones(3, 2)
    kept = pins_after(second, pins, now)["reference"]
    assert kept.tolist() == [[1, 0], [1, 1], [0, 2]], "an embedding of zeros has no direction"
    given = SimilarityTarget(torch.ones(2))
    assert resolve_target(given, probe, None, link, pins) is given
    assert pins_after(given, {}, now) == {}
    assert pins_after("predicted", {}, now) == {}
    assert target_name(None, probe, link) == "SimilarityTarget('initial')"
    assert (class_target("label"), class_target(3), class_target(given)) == ("target='label'", None, None)


class Pair(nn.Module):
    """Embeds pictures and texts, as open_clip does."""

    context_length = 6

    def __init__(self, form):
        super().__init__()
        torch.manual_seed(0)
        self.form, self.visual, self.textual = form, nn.Linear(9, 5), nn.Embedding(10, 5)

    def encode_image(self, image):
        return self.visual(image.flatten(1))

    def encode_text(self, text):
        return self.textual(text).mean(dim=1)

    def forward(self, image, text=None):
        pictures = self.encode_image(image)
        if self.form == "tensor":
            return pictures
        found = pictures, self.encode_text(text), torch.tensor(1.0)
        return (
            found
            if self.form == "tuple"
            else dict(zip(("image_features", "text_features", "scale"), found, strict=True))
        )


def _tokens(texts):
    return torch.tensor([[len(word) for word in text.split()] for text in texts])


@pytest.mark.parametrize("form", ["tensor", "tuple", "dict"])
@pytest.mark.parametrize("rows", [None, 1])
def test_prompts(form, rows):
    model, images, texts = Pair(form), torch.rand(3, 1, 3, 3), torch.randint(0, 10, (3, 4))
    inputs = images if form == "tensor" else {"image": images, "text": texts}
    target = SimilarityTarget(prompt="a red square", tokenizer=_tokens)
    found = explain(model, inputs, methods="gradient", target=target, internal_batch_size=rows)
    reference = model.encode_text(_tokens(["a red square"])).detach()
    copies = images.clone().requires_grad_()
    score = F.cosine_similarity(model.encode_image(copies), reference)
    (gradient,) = torch.autograd.grad(score.sum(), copies)
    torch.testing.assert_close(found["gradient"].score, score.detach())
    torch.testing.assert_close(found["gradient"].values, gradient)


class Unmasked:
    """The tokenizer of SigLIP: texts come with no mask, and padding is a token of its own."""

    model_max_length, pad_token_id = 64, 1

    def __call__(self, texts, *, padding, return_tensors):
        ids = [[2 + len(word) for word in text.split()] for text in texts]
        longest = max(map(len, ids))
        return {"input_ids": torch.tensor([[*each, *[1] * (longest - len(each))] for each in ids])}


def test_texts_without_a_mask_have_the_length_that_the_encoder_was_trained_with():
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = SiglipConfig(
        text_config={**sizes, "vocab_size": 12, "max_position_embeddings": 7},
        vision_config={**sizes, "image_size": 8, "patch_size": 4},
    )
    model = SiglipModel(config).eval()
    whole = model.get_text_features(torch.tensor([[3, 5, 1, 1, 1, 1, 1]])).pooler_output.detach()
    for prompts in (["a dog"], ["a dog", "a photo of a cat"]):
        labels = torch.zeros(1).long()
        samples = samples_of(freeze(torch.zeros(1, 3, 8, 8), labels=labels))
        target = SimilarityTarget(prompts=prompts, tokenizer=Unmasked()).of(samples)
        torch.testing.assert_close(text_embeddings(model, target)[:1], whole)


@pytest.mark.parametrize("form", ["tuple", "dict"])
def test_each_picture_has_its_own_text(form):
    model, images, texts = Pair(form), torch.rand(3, 1, 3, 3), torch.randint(0, 10, (3, 4))
    found = explain(model, {"image": images, "text": texts}, methods="gradient", target=SimilarityTarget("text"))
    expected = F.cosine_similarity(model.encode_image(images), model.encode_text(texts))
    torch.testing.assert_close(found["gradient"].score, expected.detach())
    with pytest.raises(TargetError, match="reference='text' compares 3 pictures with their own texts"):
        explain(Pair("tensor"), images, methods="gradient", target=SimilarityTarget("text"))


def test_the_prompt_of_each_label():
    probe = freeze(torch.zeros(3, 1, 3, 3), labels=[1, 0, 1])
    target = SimilarityTarget(prompts=["a b", "a bcd"], tokenizer=_tokens).of(samples_of(probe))
    assert target.settled(torch.tensor([[1.0, 0], [0, 1]])).reference.tolist() == [[0, 1], [1, 0], [0, 1]]
    assert target == SimilarityTarget(prompts=["a b", "a bcd"], tokenizer=_tokens).of(samples_of(probe))


@pytest.mark.parametrize(
    ("tokenizer", "match"),
    [
        (lambda texts: torch.ones(len(texts), 9).long(), "has 9 tokens, but Pair takes 6"),
        (lambda texts: texts, "tokenizer returned list of 1"),
        (lambda texts: 1 / 0, "tokenizer fails on the prompts .*ZeroDivisionError"),
    ],
)
def test_tokenizers_that_do_not_fit(tokenizer, match):
    with pytest.raises(TargetError, match=match):
        explain(
            Pair("tensor"),
            torch.rand(3, 1, 3, 3),
            methods="gradient",
            target=SimilarityTarget(prompt="a dog", tokenizer=tokenizer),
        )
