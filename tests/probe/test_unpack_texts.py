"""Batches of texts as Hugging Face's collators make them."""

from __future__ import annotations

import pytest
import torch
from transformers import BatchEncoding

from saliency_callbacks.capture.inputs import ModelInputs
from saliency_callbacks.probe.unpack import unpack_batch
from tests import texts


@pytest.mark.parametrize("form", [dict, BatchEncoding])
@pytest.mark.parametrize("key", ["labels", "label"])
def test_labels_are_taken_out_and_what_is_no_input_is_left_out(form, key):
    given = texts.batch(texts.ids())
    labels = torch.tensor([0, 2, 1, 0])
    more = {key: labels, "special_tokens_mask": torch.zeros(4, 7), "length": torch.ones(4), "idx": torch.arange(4)}
    inputs, found = unpack_batch(form(given | more))
    assert inputs.keys() == {"input_ids", "attention_mask", "token_type_ids"}
    assert all(torch.equal(value, given[name]) for name, value in inputs.items())
    assert torch.equal(found, labels)


def test_a_pair_of_ids_and_labels():
    tokens, labels = texts.ids(), torch.tensor([0, 2, 1, 0])
    inputs, found = unpack_batch((tokens, labels))
    assert inputs is tokens
    assert torch.equal(found, labels)


def test_images_beside_a_text_are_the_input():
    images = torch.rand(4, 3, 8, 8)
    inputs, _ = unpack_batch(texts.batch(texts.ids()) | {"pixel_values": images})
    assert inputs is images


def test_a_forward_gets_the_entries_it_knows():
    images, mask, more = torch.rand(2, 1, 3), torch.ones(2, 3), torch.zeros(2)
    batch = ModelInputs.of({"x": images, "mask": mask, "more": more}, "x")
    rows = torch.arange(2)

    def some(x, mask):
        return x, mask

    def whole(batch):
        return batch

    def everything(**batch):
        return batch

    assert batch.call(some, images, rows)[0] is images
    assert torch.equal(batch.call(some, images, rows)[1], mask)
    assert batch.call(whole, images, rows).keys() == {"x", "mask", "more"}
    assert batch.call(everything, images, rows).keys() == {"x", "mask", "more"}
