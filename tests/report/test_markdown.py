import re

from hypothesis import given
from hypothesis import strategies as st

from saliency_callbacks.report.markdown import parse_markdown


def plain(spans):
    return "".join(text for _, text in spans)


def test_a_table_and_a_paragraph():
    table, paragraph = parse_markdown("| method | s |\n|---|--:|\n| `a` | 0.20 ± 0.10 |\n| *b* |\n\nworst **0.0%**")
    assert [plain(cell) for cell in table["table"]["head"]] == ["method", "s"]
    assert table["table"]["rows"] == [[[["code", "a"]], [["text", "0.20 ± 0.10"]]], [[["em", "b"]]]]
    assert paragraph == {"paragraph": [["text", "worst "], ["strong", "0.0%"]]}


def test_names_with_underscores_stay_whole():
    (block,) = parse_markdown("input_x_gradient and layer_cam")
    assert block == {"paragraph": [["text", "input_x_gradient and layer_cam"]]}


def test_a_bar_in_a_cell():
    (block,) = parse_markdown("| a |\n|---|\n| x \\| y |")
    assert plain(block["table"]["rows"][0][0]) == "x | y"


def test_an_escaped_mark_is_a_letter():
    (block,) = parse_markdown(r"0\.99 **\[UNK\]** \*no\* `\*`")
    expected = [["text", "0.99 "], ["strong", "[UNK]"], ["text", " *no* "], ["code", "\\*"]]
    assert block == {"paragraph": expected}


def test_markup_stays_text():
    (block,) = parse_markdown("<img src=x onerror=alert(1)>")
    assert block == {"paragraph": [["text", "<img src=x onerror=alert(1)>"]]}


@given(st.text(alphabet="ab|-*`_#: \n", max_size=60))
def test_any_text_ends_and_keeps_its_letters(text):
    blocks = parse_markdown(text)
    cells = [
        spans
        for block in blocks
        for spans in (
            [block["paragraph"]]
            if "paragraph" in block
            else [cell for row in (block["table"]["head"], *block["table"]["rows"]) for cell in row]
        )
    ]
    assert re.sub("[^ab]", "", "".join(map(plain, cells))) == re.sub("[^ab]", "", text)
