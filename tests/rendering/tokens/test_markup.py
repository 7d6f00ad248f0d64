"""Text inputs as HTML and Markdown, read by a parser, by TensorBoard's own sanitizer, and by a browser's rules."""

from __future__ import annotations

import warnings
from html.parser import HTMLParser

import pytest
import torch

from saliency_callbacks.errors import ConfigurationError, InputError
from saliency_callbacks.rendering import Caption, token_html, token_markdown

TOKENS = [["[CLS]", "<b>", "great|*film*", "мир"], ["[CLS]", "bad_", "1.", "#"]]
SCORES = torch.tensor([[9.0, 0.5, 2.0, -1.0], [0.0, -4.0, 0.0, 0.25]])
SPECIAL = torch.tensor([[True, False, False, False]] * 2)
CAPTIONS = [Caption("#0 · <script>", "pred a · 0.93", wrong=True), Caption("#1 · negative")]


class Reader(HTMLParser):
    """Collects tags, attributes and text, and checks that tags close in order."""

    def __init__(self, source):
        super().__init__()
        self.open, self.tags, self.attributes, self.texts = [], [], [], []
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append((data, self.open[-1] if self.open else None))

    def inside(self, tag):
        return [text for text, where in self.texts if where == tag]


def markdown_to_safe_html(source):
    """What TensorBoard's text plugin shows."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="html5lib's sanitizer is deprecated")
        from tensorboard.plugin_util import markdown_to_safe_html as of_tensorboard
    return of_tensorboard(source)


def html(**settings):
    return token_html(TOKENS, SCORES, CAPTIONS, **{"title": "<t>", "special": SPECIAL, **settings})


def markdown(**settings):
    return token_markdown(TOKENS, SCORES, CAPTIONS, **{"special": SPECIAL, **settings})


def test_html_is_escaped_and_has_inline_styles_only():
    page = Reader(html(scale_note="<n>"))
    assert set(page.tags) == {"div", "span", "strong"}
    assert {name for name, _ in page.attributes} <= {"style", "title", "dir"}
    assert not any("url" in value or "expression" in value for _, value in page.attributes)
    words = page.inside("span")
    for word in (*TOKENS[0], *TOKENS[1]):
        assert word in words
    assert page.inside("strong") == ["<t>"]


def test_html_has_the_colors_of_the_panel():
    page = Reader(html())
    styles = [value for name, value in page.attributes if name == "style"]
    assert any("background:#9e081e;color:#ffffff" in style for style in styles)
    assert any("background:#103496" in style for style in styles)
    assert "+2" in [value for name, value in page.attributes if name == "title"]


def test_markdown_survives_tensorboard():
    page = Reader(markdown_to_safe_html(markdown()))
    assert page.inside("strong") == ["wrong", "<b>", "great|*film*", "#"]
    assert page.inside("em") == ["мир", "bad_"]
    assert page.inside("code") == ["[CLS]", "[CLS]"]
    assert page.inside("h4")[0].startswith("#0 · <script> · pred a · 0.93")
    assert "(+2)" in "".join(page.inside("p"))
    assert "1." in "".join(page.inside("p"))
    assert "\\" not in "".join(text for text, _ in page.texts)


def test_tensorboard_lets_no_color_through():
    """Why there is a Markdown form: were this to change, colors would be better."""
    assert "style" not in markdown_to_safe_html('<strong style="color:red">a</strong>')


def test_only_the_strongest_are_marked():
    page = Reader(markdown_to_safe_html(markdown(strongest=1)))
    assert page.inside("strong") == ["wrong", "great|*film*"]
    assert page.inside("em") == ["bad_"]


def test_a_magnitude_has_no_sign():
    titles = [value for name, value in Reader(html(signed=False)).attributes if name == "title"]
    assert titles == ["9", "0.5", "2", "0", "0", "0", "0", "0.25"]
    assert "(2)" in markdown(signed=False)


@pytest.mark.parametrize("write", [html, markdown])
def test_a_long_text_is_cut_and_says_so(write):
    assert "2 more words" in write(max_words=2)
    assert "1 more word " in write(max_words=3)
    assert "more word" not in write(max_words=4)


@pytest.mark.parametrize("write", [html, markdown])
def test_no_words(write):
    assert isinstance(write(), str)
    empty = token_markdown([[]], torch.zeros(1, 0), [Caption("a")])
    assert empty.endswith("(no words)")


@pytest.mark.parametrize("write", [token_html, token_markdown])
def test_what_does_not_fit_is_named(write):
    title = {"title": "t"} if write is token_html else {}
    with pytest.raises(InputError, match="1 captions for 2 text inputs"):
        write(TOKENS, SCORES, CAPTIONS[:1], **title)
    with pytest.raises(ConfigurationError, match="max_words=0"):
        write(TOKENS, SCORES, CAPTIONS, max_words=0, **title)
