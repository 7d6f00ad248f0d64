"""Descriptions are short and never show content; fingerprints tell any two contents apart, and nothing else."""

import hashlib

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from saliency_callbacks.config.nested import describe
from saliency_callbacks.probe import copy_inputs, fingerprint

DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64, torch.uint8, torch.int64, torch.bool]


def test_long_sequences_are_cut():
    assert describe([1] * 9) == "list of 9 (int, int, int, int, int, int, int, int, …)"


def test_long_descriptions_are_cut():
    long = describe({"key" * 30: torch.zeros(2), "other" * 60: ["secret"] * 3})
    assert len(long) <= 300
    assert long.endswith("…")
    assert "secret" not in long


def test_deep_structures_are_cut():
    assert describe([[[[[1]]]]]) == "list of 1 (list of 1 (list of 1 (list of 1 (…))))"


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_has_its_own_fingerprint(dtype):
    ones = [torch.ones(2, 3, dtype=each) for each in DTYPES]
    assert fingerprint(torch.ones(2, 3, dtype=dtype)) == fingerprint(torch.ones(2, 3, dtype=dtype))
    assert len({fingerprint(each) for each in ones}) == len(DTYPES)


@given(bit=st.integers(0, 2 * 3 * 4 * 16 - 1), dtype=st.sampled_from([torch.bfloat16, torch.float16]))
def test_one_bit_changes_the_fingerprint(bit, dtype):
    original = torch.zeros(2, 3, 4, dtype=dtype)
    flipped = original.clone()
    flipped.reshape(-1).view(torch.uint8)[bit // 8] ^= 1 << (bit % 8)
    assert fingerprint(flipped) != fingerprint(original)


def test_labels_and_shape_count_but_memory_format_does_not():
    inputs = torch.rand(2, 3, 4, 5)
    known = fingerprint(inputs, torch.tensor([0, 1]))
    assert fingerprint(inputs, torch.tensor([1, 0])) != known
    assert fingerprint(inputs) != known
    assert fingerprint(inputs.reshape(2, 3, 5, 4), torch.tensor([0, 1])) != known
    assert fingerprint(inputs.contiguous(memory_format=torch.channels_last), torch.tensor([0, 1])) == known


def test_the_order_of_keys_does_not_count_but_that_of_a_tuple_does():
    a, b = torch.zeros(2), torch.ones(2)
    assert fingerprint({"a": a, "b": b}) == fingerprint({"b": b, "a": a})
    assert fingerprint({"a": a, "b": b}) != fingerprint({"a": b, "b": a})
    assert fingerprint((a, b)) != fingerprint((b, a))
    assert fingerprint((a, 1)) != fingerprint((a, 2))


def test_scalars_and_empty_tensors_have_a_fingerprint():
    assert fingerprint(torch.tensor(1.0)) != fingerprint(torch.tensor(2.0)) != fingerprint(torch.empty(0, 3))


def test_the_fingerprint_does_not_depend_on_the_process():
    content = torch.arange(4).numpy().tobytes()
    expected = hashlib.sha256(b"['inputs']:torch.int64[4]:" + content + b"['labels']:None:").hexdigest()
    assert fingerprint(torch.arange(4)) == expected


def test_copies_share_no_memory():
    original = {"x": (torch.rand(3), [torch.rand(3)])}
    copied = copy_inputs(original)
    assert copied["x"][0].data_ptr() != original["x"][0].data_ptr()
    assert copied["x"][1][0].data_ptr() != original["x"][1][0].data_ptr()
    assert fingerprint(copied) == fingerprint(original)
