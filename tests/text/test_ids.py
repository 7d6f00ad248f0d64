"""What goes with the ids when a word is inserted."""

from __future__ import annotations

import pytest
import torch

from saliency_callbacks.errors import CueError
from saliency_callbacks.text.ids import attention_mask_of, ids_key, with_insertion
from saliency_callbacks.text.insertion import insert_tokens

IDS = torch.tensor([[1, 5, 6, 2, 5, 2, 0], [1, 5, 2, 0, 0, 0, 0]])
PADDING = IDS == 0
SPECIAL = torch.isin(IDS, torch.tensor([1, 2]))


def inserted(ids=IDS, last=False):
    padding, special = ids == 0, torch.isin(ids, torch.tensor([1, 2]))
    begins = torch.ones_like(padding)
    return insert_tokens(ids, (7,), padding, special, begins, lambda row, places: places[-1 if last else 0])


def test_masks_segments_lengths_and_flags_follow():
    types = torch.tensor([[0, 0, 0, 0, 1, 1, 0], [0] * 7])
    inputs = {
        "input_ids": IDS,
        "attention_mask": (~PADDING).long(),
        "token_type_ids": types,
        "special_tokens_mask": SPECIAL.long(),
        "length": torch.tensor([6, 3]),
        "age": torch.tensor([6.0, 3.0]),
        "scale": torch.tensor(2.0),
    }
    found = with_insertion(inputs, "input_ids", inserted(last=True), PADDING)
    assert list(found) == list(inputs)
    assert found["input_ids"].tolist() == [[1, 5, 6, 2, 5, 7, 2], [1, 5, 7, 2, 0, 0, 0]]
    assert found["attention_mask"].tolist() == [[1] * 7, [1, 1, 1, 1, 0, 0, 0]]
    assert found["token_type_ids"].tolist() == [[0, 0, 0, 0, 1, 1, 1], [0] * 7]
    assert found["special_tokens_mask"].tolist() == [[1, 0, 0, 1, 0, 0, 1], [1, 0, 0, 1, 0, 0, 0]]
    assert found["length"].tolist() == [7, 4]
    assert found["age"] is inputs["age"]
    assert found["scale"] is inputs["scale"]


def test_positions_are_counted_anew_where_they_count_the_text():
    plain = torch.arange(7).expand(2, 7)
    found = with_insertion({"input_ids": IDS, "position_ids": plain}, "input_ids", inserted(), PADDING)
    assert torch.equal(found["position_ids"], plain)
    left = torch.tensor([[0, 0, 0, 1, 5, 6, 2], [0, 0, 1, 5, 5, 6, 2]])
    positions = torch.tensor([[1, 1, 1, 2, 3, 4, 5], [1, 1, 2, 3, 4, 5, 6]])
    found = with_insertion({"input_ids": left, "position_ids": positions}, "input_ids", inserted(left), left == 0)
    assert found["position_ids"].tolist() == [[1, 1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6, 7]]


def test_tuples_and_single_tensors():
    mask = ~PADDING
    found = with_insertion((IDS, mask), 0, inserted(), PADDING)
    assert isinstance(found, tuple)
    assert found[1].tolist() == [[True] * 7, [True] * 4 + [False] * 3]
    assert torch.equal(with_insertion(IDS, None, inserted(), PADDING), inserted().ids)


def test_pairs_of_tokens_cannot_follow():
    with pytest.raises(CueError, match="pairs of tokens"):
        with_insertion({"input_ids": IDS, "mask": torch.ones(2, 1, 7, 7)}, "input_ids", inserted(), PADDING)


@pytest.mark.parametrize(
    ("inputs", "attribute_to", "key"),
    [
        (IDS, None, None),
        ({"input_ids": IDS, "attention_mask": IDS}, None, "input_ids"),
        ({"text": IDS, "mask": IDS > 0}, None, "text"),
        ({"a": IDS, "b": IDS}, "b", "b"),
        ((IDS, IDS > 0), None, 0),
        ((IDS, IDS), 1, 1),
    ],
)
def test_the_ids_are_found(inputs, attribute_to, key):
    assert ids_key(inputs, attribute_to) == key


@pytest.mark.parametrize(
    ("inputs", "attribute_to"),
    [(IDS.float(), None), ({"a": IDS, "b": IDS}, None), ((IDS, IDS), None), ({"a": IDS}, "b"), (IDS[0], None)],
)
def test_what_holds_no_ids_is_named(inputs, attribute_to):
    with pytest.raises(CueError, match="integers"):
        ids_key(inputs, attribute_to)


def test_only_a_mask_of_the_same_shape_counts():
    assert attention_mask_of({"attention_mask": IDS}, IDS) is IDS
    assert attention_mask_of({"attention_mask": IDS[:, None]}, IDS) is None
    assert attention_mask_of(IDS, IDS) is None
