"""What a message must not show: passwords, tokens and keys."""

from __future__ import annotations

import re

__all__ = ["without_secrets"]

# With a password, to the last @ of the word: it may hold any of / : @ itself.
_NAME_AND_PASSWORD = re.compile(r"(?<=://)(?:[^\s/@]*:\S*|[^\s/@]*)@")
_SECRET = re.compile(
    r"""(?ix)
    (
        \b (?: [\w-]* (?: token | secret | passw(?:or)?d | passphrase | pwd | sig | signature | credentials?
                        | auth | authorization | (?: access | account | api | private | secret ) [_-]? key )
             | (?<= [?&;] ) [\w-]* key )
        ["']? \s* [=:] \s* (?: (?: basic | bearer ) \s+ )?
      | \b bearer \s+
    )
    (?: '[^']*' | "[^"]*" | [^&\s'"]+ )
    """
)


def without_secrets(text: object) -> str:
    """Return a text in which nothing shows a name and password, a token or a key.

    Example:
        >>> without_secrets("ftp://me:12@host/runs is away")
        'ftp://***@host/runs is away'
        >>> without_secrets("https://host/runs?sig=abc&v=1")
        'https://host/runs?sig=***&v=1'
        >>> without_secrets("Authorization: Bearer abc was rejected")
        'Authorization: Bearer *** was rejected'
    """
    return _SECRET.sub(r"\1***", _NAME_AND_PASSWORD.sub("***@", str(text)))
