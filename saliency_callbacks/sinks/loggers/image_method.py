"""Pictures to any logger that has a method for images, called by the names of its arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from saliency_callbacks.errors import ObservationError
from saliency_callbacks.sinks.image_files import is_animation
from saliency_callbacks.types import Picture, Snapshot

__all__ = ["ImageMethodSink", "image_method"]

_METHODS = ("log_image", "add_image", "report_image")

_ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "tag": ("tag", "key", "name", "title", "image_name", "file_name", "file"),
    "image": ("image", "img_tensor", "img", "image_data", "val", "value", "data", "array"),
    "images": ("images",),
    "step": ("step", "global_step", "iteration"),
    "run": ("run_id",),
    "layout": ("dataformats",),
    "moment": ("series",),
    "captions": ("captions",),
}
"""What is handed over → names of the arguments that take it."""

_FILE_NAMES = frozenset({"image_name", "file_name", "file"})
"""Arguments for the tag that are names of files."""

_OF_DVCLIVE = ("name", "val")
"""The arguments of DVCLive's method: its name is that of a file as well."""

_KINDS = {name: kind for kind, names in _ARGUMENTS.items() for name in names}


def image_method(logger: object) -> Callable[..., Any] | None:
    """Return the method for images of a logger or of its ``experiment``; ``None`` if there is none that can be called.

    The method has to be defined, and no coroutine function: an object that answers every attribute, as a proxy, a mock
    and Lightning's ``DummyLogger`` do, has none. Each argument without a default has to have one of the known names.

    Example:
        >>> class Recorder:
        ...     def log_image(self, key, images, step=None): ...
        >>> image_method(Recorder()).__name__
        'log_image'
        >>> image_method(object()) is None
        True
    """
    for owner in (logger, _attribute(logger, "experiment")):
        for name in _METHODS:
            method = None if inspect.getattr_static(owner, name, None) is None else _attribute(owner, name)
            if callable(method) and not inspect.iscoroutinefunction(method) and _takes_images(method):
                found: Callable[..., Any] = method
                return found
    return None


class ImageMethodSink:
    """Write pictures by a logger's own ``log_image``, ``add_image`` or ``report_image``, whatever its signature.

    A picture is a ``uint8 [height, width, 3]`` array, and ``[3, height, width]`` for an ``add_image`` without
    ``dataformats``, as TensorBoard's was first; an argument ``images`` gets a list of one. A tag that is the name of a
    file ends with ``.png``. Animations, texts and tables are left out.

    Args:
        logger: A logger that has such a method, or whose ``experiment`` has.

    Example:
        >>> class Recorder:
        ...     def log_image(self, key, images, step=None):
        ...         print(key, images[0].shape, step)
        >>> import numpy as np
        >>> snapshot = Snapshot(epoch=0, step=10, stage="fit", attributions={})
        >>> ImageMethodSink(Recorder()).write(snapshot, {"saliency/gradient": np.zeros((4, 6, 3), np.uint8)})
        saliency/gradient (4, 6, 3) 10
    """

    def __init__(self, logger: object) -> None:
        self.logger = logger

    def write(self, snapshot: Snapshot, pictures: Mapping[str, Picture]) -> None:
        """Write the pictures at the snapshot's step; see :class:`~saliency_callbacks.types.Sink`.

        Raises:
            ObservationError: If the logger no longer has the method.
        """
        # Looked up every time: an experiment may be closed after a run, and another opened for the next.
        method = image_method(self.logger)
        if method is None:
            raise ObservationError(
                f"{type(self.logger).__name__} no longer has a method for images; expected {', '.join(_METHODS)} of "
                "the logger or its experiment, as at the start of the run. Keep the experiment open until the run ends"
            )
        for tag, picture in pictures.items():
            if not is_animation(picture):
                self._call(method, snapshot, tag, picture)

    def _call(self, method: Callable[..., Any], snapshot: Snapshot, tag: str, picture: Picture) -> None:
        values = {
            "tag": tag + _suffix(method),
            "image": _with_axes(method, picture),
            "images": [picture],
            "step": snapshot.step,
            "run": getattr(self.logger, "run_id", None),
            "layout": "HWC",
            "moment": snapshot.moment,
            "captions": [snapshot.moment],
        }
        _call_by_name(method, values)


def _suffix(method: Callable[..., Any]) -> str:
    """Return what the tag ends with where it is the name of a file, which tells the format of the picture."""
    arguments = _arguments(method)
    tag, image = arguments["tag"].name, arguments["image"].name if "image" in arguments else None
    return ".png" if tag in _FILE_NAMES or (tag, image) == _OF_DVCLIVE else ""


def _with_axes(method: Callable[..., Any], picture: Picture) -> Picture:
    is_channels_first = getattr(method, "__name__", "") == "add_image" and "layout" not in _arguments(method)
    return np.ascontiguousarray(np.moveaxis(picture, -1, 0)) if is_channels_first else picture


def _call_by_name(method: Callable[..., Any], values: Mapping[str, Any]) -> None:
    positional, named = [], {}
    for what, parameter in _arguments(method).items():
        if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
            positional.append(values[what])
        else:
            named[parameter.name] = values[what]
    method(*positional, **named)


def _takes_images(method: Callable[..., Any]) -> bool:
    arguments = _arguments(method)
    known = {parameter.name for parameter in arguments.values()}
    takes_all = known >= {name for name, one in _parameters(method).items() if _is_required(one)}
    return takes_all and "tag" in arguments and ("image" in arguments) != ("images" in arguments)


def _arguments(method: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return what the method takes → the first argument that takes it."""
    found: dict[str, inspect.Parameter] = {}
    for name, parameter in _parameters(method).items():
        if name in _KINDS:
            found.setdefault(_KINDS[name], parameter)
    return found


def _is_required(parameter: inspect.Parameter) -> bool:
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return parameter.default is inspect.Parameter.empty and parameter.kind not in variadic


def _parameters(method: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(method).parameters
    except (TypeError, ValueError):
        # Of some methods that are written in C.
        return {}


def _attribute(owner: object, name: str) -> Any:
    try:
        return getattr(owner, name, None)
    except Exception:  # a logger that cannot reach its server says so elsewhere
        return None
