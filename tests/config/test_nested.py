"""Descriptions are short, and never show content."""

import torch

from saliency_callbacks.config.nested import describe


def test_long_sequences_are_cut():
    assert describe([1] * 9) == "list of 9 (int, int, int, int, int, int, int, int, …)"


def test_long_descriptions_are_cut():
    long = describe({"key" * 30: torch.zeros(2), "other" * 60: ["secret"] * 3})
    assert len(long) <= 300
    assert long.endswith("…")
    assert "secret" not in long


def test_deep_structures_are_cut():
    assert describe([[[[[1]]]]]) == "list of 1 (list of 1 (list of 1 (list of 1 (…))))"
