"""Inputs made of ids alone are those that a tokenizer would have made."""

from __future__ import annotations

import pytest
import torch

from saliency_callbacks.capture.text.settings import TokenSettings, read_ids
from saliency_callbacks.discovery.texts.form import TextForm
from saliency_callbacks.discovery.texts.reader import TextReader
from saliency_callbacks.discovery.texts.reading import read_texts
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.errors import InputError
from tests.discovery.texts.cases import Bag, wordpieces

IDS = torch.tensor([[4, 5, 6], [7, 8, 0]])
OTHER = torch.tensor([[9, -1, -1], [9, 9, -1], [9, 9, 9]])
EMPTY = OTHER == -1


def _fed(inputs):
    return TextForm.of(read_ids(inputs), IDS == 0).fed(OTHER)


@pytest.mark.parametrize("side", ["left", "right"])
def test_other_texts_are_fed_as_a_tokenizer_encodes_them(side):
    tokenizer = wordpieces(padding_side=side)
    given = tokenizer(["the film", "the film was great"], padding=True, return_tensors="pt", return_token_type_ids=True)
    other = tokenizer(
        ["bad", "a film !", "the badness ."], padding=True, return_tensors="pt", return_token_type_ids=True
    )
    form = TextForm.of(read_ids(dict(given)), given["attention_mask"] == 0)
    fed = form.fed(torch.where(other["attention_mask"] == 0, -1, other["input_ids"]))
    assert fed.keys() == dict(given).keys()
    for name, value in other.items():
        assert torch.equal(fed[name], value), name


def test_ids_alone_are_fed_alone_in_their_type():
    fed = TextForm.of(read_ids(IDS.int()), IDS == 0).fed(OTHER)
    assert fed.dtype == torch.int32
    assert torch.equal(fed, OTHER.clamp(min=0).int())


def test_a_tuple_keeps_its_order():
    lengths, ids, constant = _fed((torch.tensor([3, 2]), IDS, 0.5))
    assert torch.equal(ids, OTHER.clamp(min=0))
    assert lengths.tolist() == [1, 2, 3]
    assert constant == 0.5


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (IDS != 0, ~EMPTY),
        (IDS == 0, EMPTY),
        ((IDS != 0).float(), (~EMPTY).float()),
        (torch.arange(3).expand(2, 3), torch.arange(3).expand(3, 3)),
        (torch.tensor([[5, 5, 5], [5, 5, 1]]), torch.where(EMPTY, 1, 5)),
        (torch.ones(7), torch.ones(7)),
    ],
    ids=["mask", "padding mask", "mask of floats", "positions", "one value", "shared"],
)
def test_what_goes_with_ids_follows(given, expected):
    found = _fed({"input_ids": IDS, "other": given})["other"]
    assert found.dtype == given.dtype
    assert torch.equal(found, expected)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (torch.ones(2, 3).long(), (~EMPTY).long()),
        (torch.ones(2, 3).bool(), ~EMPTY),
        (torch.zeros(2, 3).bool(), EMPTY),
        (torch.zeros(2, 3).long(), torch.zeros(3, 3).long()),
    ],
    ids=["mask", "mask of bools", "padding mask", "segments"],
)
def test_masks_of_texts_without_padding_are_known_for_masks(given, expected):
    form = TextForm.of(read_ids({"input_ids": IDS, "other": given}), torch.zeros(2, 3).bool())
    found = form.fed(OTHER)["other"]
    assert found.dtype == given.dtype
    assert torch.equal(found, expected)


@pytest.mark.parametrize("value", [torch.tensor([[0, 1, 1], [0, 1, 1]]), torch.rand(2, 5), torch.tensor([4, 9])])
def test_what_ids_do_not_tell_is_named(value):
    with pytest.raises(InputError, match=r"inputs\['token_type_ids'\].*holds information on each text"):
        _fed({"input_ids": IDS, "token_type_ids": value})


def _settings():
    return Settings(methods=(), tokens=TokenSettings())


def test_padding_is_known_from_the_embedding_layer():
    samples, form = read_texts(Bag(3), IDS, torch.tensor([0, 1]), range(2), settings=_settings())
    assert samples.inputs.tolist() == [[4, 5, 6], [7, 8, -1]]
    assert (samples.pad_id, form.pad_id) == (0, 0)


def test_the_mask_decides_what_is_padding():
    inputs = {"ids": torch.tensor([[4, 0, 6], [7, 9, 9]]), "attention_mask": torch.tensor([[1, 1, 1], [1, 0, 0]])}
    samples, form = read_texts(Bag(3), inputs, torch.tensor([0, 1]), range(2), settings=_settings())
    assert samples.inputs.tolist() == [[4, 0, 6], [7, -1, -1]]
    assert form.pad_id == 9


def test_a_model_without_an_embedding_layer_is_read_as_it_is():
    class OneHot(torch.nn.Module):
        def forward(self, ids):
            return torch.nn.functional.one_hot(ids, 9).sum(1).float()

    samples, _ = read_texts(OneHot(), IDS, torch.tensor([0, 1]), range(2), settings=_settings())
    assert torch.equal(samples.inputs, IDS)


def test_embeddings_are_refused():
    with pytest.raises(InputError, match=r"are embeddings \[2, 3, 4\].*expected token ids"):
        read_texts(Bag(3), torch.rand(2, 3, 4), torch.tensor([0, 1]), range(2), settings=_settings())


def test_nobody_has_gradients_of_ids():
    reader = TextReader.of_model(Bag(3), TextForm.of(read_ids(IDS), IDS == 0), _settings())
    with pytest.raises(InputError, match="which have none"):
        reader.gradients(OTHER, torch.zeros(3))


def test_logits_are_those_of_the_model():
    model = Bag(3).eval()
    reader = TextReader.of_model(model, TextForm.of(read_ids(IDS), IDS == 0), _settings())
    torch.testing.assert_close(reader.logits(torch.where(IDS == 0, -1, IDS)), model(IDS).detach())
