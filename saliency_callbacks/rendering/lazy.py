"""Pictures that are drawn at most once, at the first access."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from saliency_callbacks.errors import PictureError

__all__ = ["JoinedPictures", "LazyPictures"]


class LazyPictures(Mapping[str, npt.NDArray[np.uint8]]):
    """Tag → ``uint8 [height, width, 3]``, drawn at the first access and then kept.

    Pictures cost more than maps and scores; a picture that no sink looks at is never drawn. Safe to read from several
    threads: different pictures are drawn at the same time, each of them once.

    Args:
        draw: Tag → the function that draws it.

    Raises:
        PictureError: At an access whose drawing failed; the next access tries again.

    Example:
        >>> pictures = LazyPictures({"grad_cam/panel": lambda: np.zeros((2, 3, 3), dtype=np.uint8)})
        >>> list(pictures)
        ['grad_cam/panel']
        >>> pictures["grad_cam/panel"].shape
        (2, 3, 3)
    """

    def __init__(self, draw: Mapping[str, Callable[[], npt.NDArray[np.uint8]]]) -> None:
        self._draw = dict(draw)
        self._drawn: dict[str, npt.NDArray[np.uint8]] = {}
        self._locks = {tag: Lock() for tag in self._draw}

    def __getitem__(self, tag: str) -> npt.NDArray[np.uint8]:
        with self._locks[tag]:
            if tag not in self._drawn:
                self._drawn[tag] = self._try_to_draw(tag)
            return self._drawn[tag]

    def __iter__(self) -> Iterator[str]:
        return iter(self._draw)

    def __len__(self) -> int:
        return len(self._draw)

    def _try_to_draw(self, tag: str) -> npt.NDArray[np.uint8]:
        try:
            return self._draw[tag]()
        except Exception as error:
            message = f"the picture {tag!r} cannot be drawn ({type(error).__name__}: {error})"
            raise PictureError(message) from error


class JoinedPictures(Mapping[str, Any]):
    """The pictures of several mappings as one, without drawing any.

    Args:
        parts: Mappings without a tag in common.
    """

    def __init__(self, *parts: Mapping[str, Any]) -> None:
        self._parts = parts

    def __getitem__(self, tag: str) -> Any:
        for part in self._parts:
            if tag in part.keys():  # noqa: SIM118 - to look a picture up would draw it
                return part[tag]
        raise KeyError(tag)

    def __iter__(self) -> Iterator[str]:
        return chain.from_iterable(self._parts)

    def __len__(self) -> int:
        return sum(map(len, self._parts))
