"""Real sentences with a natural class: what Python's own modules say of themselves.

The docstrings of the standard library are there wherever Python is, under its licence. A sentence's class is the family
of the module that it stands in. They differ a little between versions of Python.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import torch

# Modules that some versions of Python lack are passed over.
FAMILIES = {
    name: modules.split()
    for name, modules in {
        "network": "asyncio ftplib http imaplib ipaddress poplib selectors smtplib socket socketserver ssl urllib "
        "wsgiref xmlrpc",
        "numbers": "_pydatetime _pydecimal bisect calendar datetime fractions heapq numbers random statistics turtle",
        "files": "_pyio bz2 filecmp fileinput genericpath glob gzip lzma mailbox ntpath os pathlib posixpath shutil "
        "tarfile tempfile zipfile",
        "texts": "argparse configparser csv difflib email gettext html json locale optparse string textwrap xml",
    }.items()
}
CLASS_NAMES = list(FAMILIES)
SHORTEST, LONGEST = 6, 24


def sentences(per_class: int = 760) -> list[tuple[list[str], int]]:
    """Return sentences as lowercase words, each with its class, in an order that is always the same.

    Args:
        per_class: At most so many of each class.
    """
    families = [sorted(set(_of_family(modules))) for modules in FAMILIES.values()]
    per_class = min(per_class, *map(len, families))
    generator = torch.Generator().manual_seed(0)
    chosen = [
        (found[position].split(), label)
        for label, found in enumerate(families)
        for position in torch.randperm(len(found), generator=generator)[:per_class].tolist()
    ]
    return [chosen[position] for position in torch.randperm(len(chosen), generator=generator).tolist()]


def _of_family(modules: list[str]) -> Iterator[str]:
    library = Path(ast.__file__).parent
    for module in modules:
        for path in (library / f"{module}.py", *sorted((library / module).rglob("*.py"))):
            if path.is_file():
                for docstring in _docstrings(path):
                    yield from _sentences_of(docstring)


def _docstrings(path: Path) -> Iterator[str]:
    with_docstrings = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, with_docstrings):
            yield ast.get_docstring(node) or ""


def _sentences_of(docstring: str) -> Iterator[str]:
    for paragraph in re.split(r"\n\s*\n", docstring):
        if ">>>" in paragraph or not paragraph[:1].isupper():
            continue  # a session, a table or a list
        for sentence in re.split(r"(?<=[.!?])\s+(?=[A-Z])", " ".join(paragraph.split())):
            words = re.findall(r"[a-z]+", sentence.lower())
            if SHORTEST <= len(words) <= LONGEST and sentence.endswith("."):
                yield " ".join(words)
