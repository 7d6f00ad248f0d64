from saliency_callbacks import types


def test_every_public_name_is_there_and_sorted():
    assert types.__all__ == sorted(types.__all__)
    assert all(hasattr(types, name) for name in types.__all__)
