import pytest

from saliency_callbacks.config.secrets import without_secrets


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ftp://me:p@ss@host/runs", "ftp://***@host/runs"),
        ("ftp://me:p/w@host/x", "ftp://***@host/x"),
        ("https://me:p'w@host and s3://k:s@bucket", "https://***@host and s3://***@bucket"),
        ("https://token@host/x", "https://***@host/x"),
        ("https://h/x?access_token=abc&v=1", "https://h/x?access_token=***&v=1"),
        ("https://h/a?pwd=xx&auth=yy&apikey=zz&key=aa", "https://h/a?pwd=***&auth=***&apikey=***&key=***"),
        (
            "https://h/x?X-Amz-Signature=abc&X-Amz-Credential=AK%2F",
            "https://h/x?X-Amz-Signature=***&X-Amz-Credential=***",
        ),
        ("AccountName=a;AccountKey=abc==;End", "AccountName=a;AccountKey=***"),
        ("Authorization: Bearer abc.def was rejected", "Authorization: Bearer *** was rejected"),
        ("a bearer abcdef", "a bearer ***"),
        ("{'token': 'hf abc', 'user': 'me'}", "{'token': ***, 'user': 'me'}"),
        ('{"client_secret": "abc"}', '{"client_secret": ***}'),
        ("api_key=abc", "api_key=***"),
        ("password: abc", "password: ***"),
    ],
)
def test_a_secret_is_not_shown(text, shown):
    assert without_secrets(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "s3://bucket/runs",
        "see https://docs.host/a@b",
        "label_key='target.label'; expected a key of the batch",
        "KeyError: 'saliency/gradient'",
        "the token 'good' is unknown",
        "forward(x: Tensor) has another signature",
    ],
)
def test_what_is_no_secret_is_shown(text):
    assert without_secrets(text) == text
