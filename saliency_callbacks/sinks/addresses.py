"""Addresses such as ``s3://bucket/runs``: directories that fsspec reads and writes."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from os import PathLike, fspath
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from saliency_callbacks.config.secrets import without_secrets
from saliency_callbacks.errors import ConfigurationError

__all__ = ["checked_address", "fetch", "fetched", "file_system", "is_remote"]


def is_remote(directory: object) -> bool:
    """Return whether a path is an address, such as ``s3://bucket/runs``.

    Example:
        >>> is_remote("s3://bucket"), is_remote("runs")
        (True, False)
    """
    return "://" in str(directory)


def checked_address(name: str, address: str) -> str:
    """Return an address whose file system can be used, without a slash at its end.

    Args:
        name: Name of the argument, for messages.
        address: What was given.

    Raises:
        ConfigurationError: If fsspec does not know it, or a package is missing.
    """
    from fsspec import get_filesystem_class  # noqa: PLC0415 - slow, and for addresses only

    try:
        get_filesystem_class(re.split("://|::", address, maxsplit=1)[0])
    except (ImportError, ValueError) as error:
        raise ConfigurationError(
            f"{name}={without_secrets(address)!r} cannot be used ({without_secrets(error)}); expected a directory on "
            "this machine, or an address that fsspec can write, such as s3://bucket/runs with the package s3fs"
        ) from error
    return address.rstrip("/")


def file_system(address: str) -> tuple[Any, str]:
    """Return the file system of an address, and its path there."""
    from fsspec.core import url_to_fs  # noqa: PLC0415 - slow, and for addresses only

    system, path = url_to_fs(address)
    return system, str(path).rstrip("/")


def fetch(
    address: str,
    directory: Path,
    names: Sequence[str] | None = None,
    *,
    on_progress: Callable[[], None] = lambda: None,
) -> None:
    """Copy files from below an address into a directory.

    Args:
        address: Where they are.
        directory: Where they are put.
        names: Their paths below the address; ``None`` for all. One that is not there is left out.
        on_progress: Called after each file.

    Raises:
        ConfigurationError: If the address cannot be read.
    """
    try:
        system, root = file_system(address)
        if names is None:
            found = [posixpath.relpath(path, root) for path in system.find(root, withdirs=False)]
            # What lists others comes last.
            names = sorted(found, key=lambda name: (name.endswith((".json", ".jsonl")), name))
        for name in names:
            path = directory / name
            if not path.resolve().is_relative_to(directory.resolve()):
                raise ConfigurationError(f"{name!r} leads out of {without_secrets(address)!r}; it is no DiskSink's")
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                path.write_bytes(system.cat_file(f"{root}/{name}"))
            except FileNotFoundError:
                continue
            finally:
                on_progress()
    except ConfigurationError:
        raise
    except Exception as error:
        raise ConfigurationError(
            f"{without_secrets(address)!r} cannot be read ({type(error).__name__}: {without_secrets(error)}); expected "
            "what a run wrote there. Check the address and the network, or copy it to this machine and name the copy"
        ) from error


@contextmanager
def fetched(directory: str | PathLike[str], names: Sequence[str] | None = None) -> Iterator[Path]:
    """Give a local directory: ``directory`` itself, or a temporary copy of what is below an address.

    Args:
        directory: A path or an address.
        names: Which files are wanted, as of :func:`fetch`.
    """
    if not is_remote(directory):
        yield Path(directory)
        return
    with TemporaryDirectory() as copy:
        # Named after the original, by which reports call it.
        parts = without_secrets(fspath(directory)).split("://")[-1].split("/")
        local = Path(copy, *[part for part in parts if part.strip(".")][-2:])
        local.mkdir(parents=True, exist_ok=True)
        fetch(fspath(directory), local, names)
        yield local
