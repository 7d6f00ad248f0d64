"""OpenCV, imported when it is first needed, and kept from the process around it."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from threading import Thread
from typing import Any, TypeVar

from saliency_callbacks.errors import ConfigurationError

__all__ = ["aside", "opencv"]

_Result = TypeVar("_Result")


def opencv() -> Any:
    """Return the module ``cv2``.

    Raises:
        ConfigurationError: If it is not installed.
    """
    try:
        return import_module("cv2")
    except ImportError as error:
        raise ConfigurationError(
            f"localization needs OpenCV, which cannot be imported ({error}). Install it with: pip install "
            "'saliency-callbacks[localization]'"
        ) from error


def aside(work: Callable[[Any], _Result]) -> _Result:
    """Return what ``work(cv2)`` returns, and leave OpenCV as it was found.

    Its random numbers belong to a thread, so work gets one of its own. It does not start the
    threads that OpenCV would divide work among: a data loader's worker that is forked from a process with such threads
    may wait for them forever.

    Args:
        work: What is done.

    Raises:
        ConfigurationError: If OpenCV is not installed.
        BaseException: What ``work`` raises.
    """
    cv2 = opencv()
    found: list[_Result] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            found.append(work(cv2))
        except BaseException as error:
            failed.append(error)

    n_threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        thread = Thread(target=run, name="saliency-localization")
        thread.start()
        thread.join()
    finally:
        cv2.setNumThreads(n_threads)
    if failed:
        raise failed[0]
    return found[0]
