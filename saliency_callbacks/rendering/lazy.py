"""Pictures that are drawn once, and only if somebody asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from threading import Lock

import numpy as np
import numpy.typing as npt

from saliency_callbacks.errors import PictureError

__all__ = ["LazyPictures"]


class LazyPictures(Mapping[str, npt.NDArray[np.uint8]]):
    """Tag → ``uint8 [height, width, 3]``, drawn at the first access.

    Args:
        draw: Tag → the function that draws it.
    """

    def __init__(self, draw: Mapping[str, Callable[[], npt.NDArray[np.uint8]]]) -> None:
        self._draw = dict(draw)
        self._drawn: dict[str, npt.NDArray[np.uint8]] = {}
        # One a picture: several may be drawn at once, each of them once.
        self._locks = {tag: Lock() for tag in self._draw}

    def __getitem__(self, tag: str) -> npt.NDArray[np.uint8]:
        draw = self._draw[tag]
        with self._locks[tag]:
            if tag not in self._drawn:
                try:
                    self._drawn[tag] = draw()
                except Exception as error:
                    message = f"the picture {tag!r} cannot be drawn ({type(error).__name__}: {error})"
                    raise PictureError(message) from error
            return self._drawn[tag]

    def __iter__(self) -> Iterator[str]:
        return iter(self._draw)

    def __len__(self) -> int:
        return len(self._draw)
