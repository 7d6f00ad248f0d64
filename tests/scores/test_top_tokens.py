"""The words that speak for each class, against sums made by hand."""

from __future__ import annotations

import math
from collections import defaultdict

import markdown
import pytest
import torch

from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.scores import TopToken, top_tokens, top_tokens_table

TOKENS = [["[CLS]", "Great", "film"], ["[CLS]", "great", "great"], ["[CLS]", "bad"]]
SCORES = torch.tensor([[9.0, 1.0, 2.5], [9.0, 2.0, 0.0], [9.0, 3.0, 7.0]])
SPECIAL = torch.tensor([[True, False, False]] * 3)


def test_ranked_by_the_sum_and_case_folded():
    found = top_tokens(TOKENS, SCORES, [1, 1, 0], special=SPECIAL)
    assert found == {0: [("bad", 3.0, 1)], 1: [("great", 1.0, 3), ("film", 2.5, 1)]}
    assert list(found) == [0, 1]
    assert isinstance(found[0][0], TopToken)


def test_as_counted_by_hand():
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(20, 30, generator=generator)
    ids = torch.randint(0, 12, (20, 30), generator=generator).tolist()
    classes = torch.randint(0, 3, (20,), generator=generator)
    tokens = [[f"w{index}" for index in row] for row in ids]
    by_hand = defaultdict(list)
    for sample in range(20):
        for place in range(30):
            by_hand[int(classes[sample]), tokens[sample][place]].append(float(scores[sample, place]))
    for label, words in top_tokens(tokens, scores, classes, k=4).items():
        sums = {word: math.fsum(values) for (of, word), values in by_hand.items() if of == label}
        expected = sorted((word for word in sums if sums[word] > 0), key=lambda word: -sums[word])[:4]
        assert [word for word, _, _ in words] == expected
        for word, mean, times in words:
            assert times == len(by_hand[label, word])
            assert mean == pytest.approx(sums[word] / times)


def test_what_is_not_finite_or_negative_does_not_count():
    scores = torch.tensor([[math.nan, 1.0, -5.0]])
    assert top_tokens([["a", "b", "c"]], scores, [0]) == {0: [("b", 1.0, 1)]}
    assert top_tokens([["a"]], torch.tensor([[-1.0]]), [0]) == {0: []}


def test_the_table_is_one():
    found = {0: [TopToken("a|b`", 0.5, 2)], 1: []}
    page = markdown.markdown(top_tokens_table(found, ["no", "yes"].__getitem__), extensions=["tables"])
    assert page.count("<tr>") == 3
    assert page.count("<td>") == 8
    assert "+0.5" in page


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scores": SCORES[:2]}, r"scores \[2, 3\]"),
        ({"scores": SCORES[:, :2]}, "up to 3 words"),
        ({"classes": [0]}, "1 classes for 3 text inputs"),
        ({"k": 0}, "k=0"),
        ({"special": SPECIAL[:1]}, "special has shape"),
    ],
)
def test_what_does_not_fit_is_named(changes, message):
    with pytest.raises(ConfigurationError, match=message):
        top_tokens(**{"tokens": TOKENS, "scores": SCORES, "classes": [0, 1, 1], **changes})
