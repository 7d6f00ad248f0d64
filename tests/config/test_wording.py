from saliency_callbacks.config.wording import capitalized, counted, joined


def test_a_noun_agrees_with_its_number():
    assert [counted(number, "evaluation") for number in (0, 1, 2)] == ["0 evaluations", "1 evaluation", "2 evaluations"]
    assert [counted(number, "pass", "passes") for number in (1, 2)] == ["1 pass", "2 passes"]


def test_names_are_joined_as_in_a_sentence():
    assert [joined(names) for names in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == ["", "a", "a and b", "a, b and c"]


def test_only_the_first_letter_becomes_a_capital():
    assert [capitalized(text) for text in ("", "a CAM of 2", "Ärger")] == ["", "A CAM of 2", "Ärger"]
