"""Words by the marks on their tokens, for every scheme."""

from __future__ import annotations

import pytest
from tokenizers import pre_tokenizers

from saliency_callbacks.text.subwords import ids_of_words, join_pieces, scheme_of

CASES = {
    "wordpiece": (["film", "##s", "are", "bad", "##ness"], ["films", "are", "badness"]),
    "sentencepiece": (["▁film", "s", "▁are", "▁", "bad"], ["films", "are", "bad"]),
    "byte_level": (["film", "s", "Ġare", "ĠcafÃ©", "ĊĊ"], ["films", "are", "café", "\n\n"]),
    "end_mark": (["film", "s</w>", "are</w>", "bad</w>"], ["films", "are", "bad"]),
    "words": (["films", "are", "bad"], ["films", "are", "bad"]),
}


@pytest.mark.parametrize("scheme", CASES)
def test_words_of_a_scheme(scheme):
    tokens, words = CASES[scheme]
    assert scheme_of(tokens) == scheme
    ids = ids_of_words(tokens, [False] * len(tokens), scheme)
    assert ids[0] == 0
    groups = [[token for token, of in zip(tokens, ids, strict=True) if of == word] for word in range(max(ids) + 1)]
    assert [join_pieces(group, scheme) for group in groups] == words


def test_a_special_token_ends_a_word():
    assert ids_of_words(["a", "[SEP]", "##b"], [False, True, False], "wordpiece") == [0, None, 1]


def test_every_byte_has_its_letter():
    """Byte-level pre-tokenization of another package writes each character; joining reads it."""
    splitter = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    text = "".join(map(chr, range(33, 0x250))) + "мир世界😀"
    assert join_pieces([token for token, _ in splitter.pre_tokenize_str(text)], "byte_level") == text


def test_what_is_no_byte_is_left_as_it_is():
    assert join_pieces(["世"], "byte_level") == "世"
